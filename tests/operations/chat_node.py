"""Nodes of the chat example as processes, for the tests of operations."""

import os
import secrets
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "channels"))
from conformance_node import eventually, free_port  # noqa: E402


def new_cluster():
    """Variables that nodes need in order to find each other, and nobody else."""
    return {"ERL_EPMD_PORT": str(free_port()), "RELEASE_COOKIE": secrets.token_hex(32)}


class ChatNode:
    """Started when this returns, and connected to those before it."""

    def __init__(self, program, cluster, name="a", others=(), settings=()):
        self.program = program
        self.name = f"{name}{os.getpid()}@127.0.0.1"
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory()
        self.log_path = os.path.join(self.folder.name, "node.log")
        self.environment = dict(
            os.environ, **cluster, HOME=self.folder.name, RELEASE_TMP=self.folder.name,
            PORT=str(self.port))
        self.arguments = ["--name", self.name]
        for setting in (f"cluster.hosts=[{', '.join(one.name for one in others)}]", *settings):
            self.arguments += ["--set", setting]
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                [program, "start", *self.arguments], stdout=log, stderr=log, env=self.environment)
        if not eventually(self.is_ready, 20):
            self.kill()
            raise RuntimeError("expected the node to be ready within 20 s\n" + self.log())

    def get(self, path, port=None, headers=None):
        """The status and the body of the answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{port or self.port}{path}", headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def is_ready(self):
        try:
            return self.get("/ready")[0] == 200
        except OSError:
            return False

    def command(self, *words, env=None):
        """Such as command("rpc", "Node.self()")."""
        return subprocess.run(
            [self.program, words[0], *self.arguments, *words[1:]],
            env={**self.environment, **(env or {})}, capture_output=True, text=True, timeout=90)

    def rpc(self, code):
        done = self.command("rpc", code)
        if done.returncode != 0:
            raise AssertionError(f"expected {code} to answer, got {done.stderr}")
        return done.stdout.strip()

    def log(self):
        with open(self.log_path) as file:
            return file.read()

    def memory(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Answers the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(40)
        self.folder.cleanup()
        return code
