"""The conformance application as a process, for the tests that talk to it from outside."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from ports import free_port  # noqa: E402


def eventually(condition, limit=10.0):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class Node:
    """Started when this returns. Nodes with the same `cluster` (see new_cluster) find each other."""

    def __init__(self, program, settings=(), name="node", cluster=None, peers=()):
        self.program, self.port = program, free_port()
        self.folder = tempfile.TemporaryDirectory()
        self.log = open(os.path.join(self.folder.name, "log"), "w+")
        self.environment = dict(
            os.environ, PORT=str(self.port), NODE_NAME=f"{name}{os.getpid()}@127.0.0.1",
            PEERS=",".join(f"{peer}{os.getpid()}@127.0.0.1" for peer in peers),
            RELEASE_TMP=self.folder.name, **(cluster or new_cluster()))
        self.arguments = [word for setting in settings for word in ("--set", setting)]
        self.start()

    def start(self):
        """Also after its end: with the same name and port."""
        self.process = subprocess.Popen(
            [self.program, "start", *self.arguments], stdout=self.log, stderr=self.log,
            env=self.environment)
        if not eventually(self.answers):
            self.process.kill()
            self.process.wait()
            raise RuntimeError("expected the node to start within 10 s\n" + self.text())

    def answers(self):
        try:
            return bool(self.stats())
        except OSError:
            return False

    def get(self, path, scheme="http", port=None, data=None, headers=None):
        """Status, headers and body of the answer."""
        request = urllib.request.Request(
            f"{scheme}://127.0.0.1:{port or self.port}{path}", data=data, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def stats(self):
        return json.loads(self.get("/admin/stats")[2])

    def memory(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def command(self, *words):
        return subprocess.run(
            [self.program, *words, *self.arguments], env=self.environment, capture_output=True,
            text=True, timeout=60)

    def text(self):
        with open(self.log.name) as file:
            return file.read()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop_process(self):
        """Answers the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)

    def stop(self):
        code = self.stop_process()
        self.log.close()
        self.folder.cleanup()
        return code


def new_cluster():
    return {"ERL_EPMD_PORT": str(free_port()), "RELEASE_COOKIE": secrets.token_hex(32)}
