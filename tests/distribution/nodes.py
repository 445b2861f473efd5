"""Nodes as processes of the operating system, for the tests of the cluster."""

import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from ports import free_port  # noqa: E402, F401

PATIENCE = 15.0  # seconds


def eventually(condition, limit=PATIENCE):
    """Waits for a true value, and answers it; the last one when time is up."""
    deadline = time.monotonic() + limit
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(0.005)


def freeze(pid):
    """Answers when every thread has stopped, which may come after a while on a busy machine."""
    os.kill(pid, signal.SIGSTOP)

    def is_stopped(thread):
        with open(f"/proc/{pid}/task/{thread}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "T"
    assert eventually(lambda: all(map(is_stopped, os.listdir(f"/proc/{pid}/task"))))


class Refused(Exception):
    """What a node answered with `error`."""


class Node:
    def __init__(self, program, prefix=(), env=None, **options):
        self.options = options
        self.name = options.get("name", "nonode@nohost")
        self.log_file = tempfile.NamedTemporaryFile("w+", suffix=".log")
        words = []
        for key, value in options.items():
            for one in value if isinstance(value, list) else [value]:
                words.append(f"{key}={one}")
        self.process = subprocess.Popen(
            [*prefix, program, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log_file, text=True,
            env={**os.environ, **(env or {})})
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.kept = []
        try:
            self._answer(PATIENCE)
        except Refused:
            self.process.wait(PATIENCE)
            raise

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def _answer(self, limit):
        line = self.lines.get(timeout=limit)
        if line is None:
            raise Refused("the node has ended")
        word, _, rest = line.partition(" ")
        if word == "error":
            raise Refused(rest)
        return rest

    def do(self, command, limit=PATIENCE):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer(limit)

    def events(self):
        """What has happened so far: (time in ms, text)."""
        fresh = self.do("events")
        for one in filter(None, fresh.split("|")):
            at, _, text = one.partition(" ")
            self.kept.append((float(at), text))
        return self.kept

    def saw(self, text, limit=PATIENCE):
        """The time of the first event that begins with the text; waits for it."""
        def found():
            return next((at for at, event in self.events() if event.startswith(text)), None)
        return eventually(found, limit)

    def count(self, text):
        return sum(event.startswith(text) for _, event in self.events())

    def list(self, kind=""):
        return sorted(self.do(f"list {kind}").split())

    def log(self):
        with open(self.log_file.name) as log:
            return log.read()

    def logged(self, text, limit=PATIENCE):
        return eventually(lambda: text in self.log(), limit)

    def memory(self):
        return int(self.do("memory"))

    def freeze(self):
        freeze(self.process.pid)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self):
        """Answers when, in ms."""
        at = time.time() * 1000
        self.process.kill()
        self.process.wait()
        return at

    def leave(self):
        self.process.stdin.close()
        return self.process.wait(PATIENCE)

    def end(self):
        if self.process.poll() is None:
            self.thaw()
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.log_file.close()


class Cluster:
    """Nodes with a secret and a port mapper of their own."""

    def __init__(self, program, **options):
        self.program = program
        self.options = {"cookie": secrets.token_hex(32), "epmd_port": free_port(), **options}
        self.nodes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.end()

    def start(self, short, program=None, prefix=(), env=None, host="127.0.0.1", **options):
        merged = {**self.options, "name": f"{short}@{host}", **options}
        merged = {key: value for key, value in merged.items() if value is not None}
        node = Node(program or self.program, prefix, env, **merged)
        self.nodes.append(node)
        return node
