"""A program in a pseudo-terminal, as an operator sits before it."""

import os
import pty
import re
import select
import signal
import subprocess
import time

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>()][B0]?|\x07|\r")


class Terminal:
    def __init__(self, command, env, rows=50, columns=160):
        self.master, slave = pty.openpty()
        import fcntl
        import struct
        import termios
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**env, "TERM": "xterm"},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.raw = ""
        self.seen = 0  # of what text() answers

    def text(self):
        return ESCAPES.sub("", self.raw)

    def _read(self, limit):
        ready, _, _ = select.select([self.master], [], [], limit)
        if not ready:
            return
        try:
            self.raw += os.read(self.master, 65536).decode(errors="replace")
        except OSError:  # the other end has gone
            time.sleep(min(limit, 0.01))

    def expect(self, pattern, limit=20):
        """Waits until this comes after what was expected before; answers the text up to its end."""
        deadline = time.monotonic() + limit
        while True:
            found = re.compile(pattern, re.S).search(self.text(), self.seen)
            if found:
                before, self.seen = self.seen, found.end()
                return self.text()[before:found.end()]
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"expected {pattern!r} within {limit} s, got\n{self.text()[self.seen:]}")
            self._read(0.05)

    def type(self, keys):
        os.write(self.master, keys.encode())

    def interrupt(self):
        os.write(self.master, b"\x03")

    def wait(self, limit=20):
        deadline = time.monotonic() + limit
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.05)
        return self.process.wait(1)

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
