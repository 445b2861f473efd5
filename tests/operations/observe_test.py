"""Watches two nodes of the chat in a pseudo-terminal, as somebody at a keyboard would.

usage: observe_test.py CHAT
"""
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import traceback

PATIENCE = 20


class Screen:
    """As much of a terminal as is needed to read what stands on it."""

    def __init__(self, width, height):
        self.beside = False  # on the alternate screen
        self.cursor = True
        self.resize(width, height)

    def resize(self, width, height):
        self.width, self.height = width, height
        self.lines = [""] * height
        self.row = 0

    def feed(self, text):
        for code, plain in re.findall(r"\x1b\[([?0-9;]*[A-Za-z])|([^\x1b]+)", text):
            if plain and self.beside:
                self.lines[self.row] = self.lines[self.row] + plain
            elif code == "?1049h":
                self.beside = True
            elif code == "?1049l":
                self.beside = False
            elif code in ("?25h", "?25l"):
                self.cursor = code.endswith("h")
            elif code == "2J":
                self.lines = [""] * self.height
            elif code == "2K":
                self.lines[self.row] = ""
            elif code.endswith("H"):
                # Beyond its last line a terminal stays there: the picture may be of before a resize.
                self.row = min(int(code[:-1].split(";")[0]), self.height) - 1
            elif not code.endswith("m") and code:
                raise AssertionError(f"unexpected sequence {code}")

    def text(self):
        return "\n".join(self.lines)


class Observer:
    def __init__(self, command, width=100, height=30):
        self.screen = Screen(width, height)
        self.raw = b""
        self.master, slave = pty.openpty()
        self.resize(width, height)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True)
        self.slave = slave

    def resize(self, width, height):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.screen.resize(width, height)

    def read(self, seconds=0.05):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return False
        bytes_ = os.read(self.master, 65536)
        self.raw += bytes_
        # What is cut in the middle is put together with what follows.
        text = self.raw.decode(errors="ignore")
        cut = re.search(r"\x1b(\[[?0-9;]*)?$", text)
        self.raw = cut.group(0).encode() if cut else b""
        self.screen.feed(text[:cut.start()] if cut else text)
        return True

    def sees(self, *parts):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.read()
            if all(re.search(part, self.screen.text()) for part in parts):
                return self.screen.text()
        raise AssertionError(f"expected {parts}, got\n{self.screen.text()}")

    def press(self, keys):
        os.write(self.master, keys.encode())

    def ended(self):
        """Its exit code. The terminal is as it was."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            self.read()
            if time.monotonic() > end:
                raise AssertionError("expected it to end")
        while self.read(0.01):
            pass
        assert not self.screen.beside, "expected the usual screen to be back"
        assert self.screen.cursor, "expected the cursor to be back"
        assert termios.tcgetattr(self.slave) == self.before, "expected the terminal as it was"
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


class Nodes:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.names = [f"watched{os.getpid()}{one}@127.0.0.1" for one in "ab"]
        self.processes = []
        for name in self.names:
            log = open(folder / f"{name}.log", "wb")
            self.processes.append(subprocess.Popen(
                [program, "start", "--name", name, "--set", "endpoint.http.port=0",
                 "--set", f"cluster.hosts=[{','.join(self.names)}]"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log))
            log.close()

    def observe(self, *more):
        return [self.program, "observe", "--name", self.names[0], *more]

    def wait(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            done = subprocess.run(self.observe(), stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, timeout=60)
            if done.returncode == 0 and self.names[1] in done.stdout:
                return done.stdout
            time.sleep(0.1)
        raise AssertionError(f"expected two nodes, got {done.stdout}{done.stderr}")

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


def picture(nodes):
    """without a terminal it prints one picture, and ends"""
    text = nodes.wait()
    for part in ["=== System ===", "scheduler 1", "=== Processes ===", "room:lobby",
                 "=== Supervisors ===", "└─ ", "=== Sockets ===", "endpoint", "=== Nodes ===",
                 *nodes.names]:
        assert part in text, (part, text)
    assert "\x1b" not in text
    assert re.search(r"messages +[0-9,.]+/s", text), text


def pages(nodes):
    """keys turn pages, sort, scroll and choose the node; the numbers go on"""
    observer = Observer(nodes.observe())
    try:
        observer.sees("scheduler 1", re.escape(nodes.names[0]), "1 System")
        text = observer.sees(r"messages +[0-9,.]+/s")
        up = re.search(r"up (\S+)", text).group(1)
        observer.sees(rf"up (?!{up} )\S+ ")
        observer.press("2")
        observer.sees("name or type", r"memory\*", "room:lobby")
        observer.press("r")
        observer.sees(r"messages\*", r"\d/s")
        observer.press("d")
        observer.sees(r"rate\*")
        observer.press("3")
        observer.sees("chat  <", "├─ ", "room:lobby")
        observer.press("\t")
        observer.sees("connections", "Sockets, 0")
        observer.press("5")
        observer.sees(*map(re.escape, nodes.names), "Links of", r"B/s")
        observer.press("n")
        observer.sees("Links of " + re.escape(nodes.names[1]))
        observer.press("2")
        observer.sees(r"<0\.[0-9]+\.[0-9]+>", "room:lobby")
        observer.press("?")
        observer.sees("mailbox", "leave")
        observer.press("?")
        observer.sees("name or type")
        observer.resize(60, 12)
        observer.process.send_signal(signal.SIGWINCH)
        observer.sees("name or type", "0 above, [1-9]")
        assert all(len(line) <= 60 for line in observer.screen.lines), observer.screen.text()
        observer.press("\x1b[6~")
        observer.sees("[1-9][0-9]* above")
        observer.press("q")
        assert observer.ended() == 0
    finally:
        observer.close()


def endings(nodes):
    """Ctrl-C, SIGTERM and a lost terminal end it, and leave the terminal as it was"""
    for how in [lambda one: one.press("\x03"), lambda one: one.process.terminate(),
                lambda one: one.process.send_signal(signal.SIGHUP)]:
        observer = Observer(nodes.observe())
        try:
            observer.sees("scheduler 1")
            how(observer)
            assert observer.ended() == 0
        finally:
            observer.close()


def losses(nodes):
    """a node that stops ends it with one sentence; one that is not there, and no name, too"""
    observer = Observer(nodes.observe())
    try:
        observer.sees("scheduler 1")
        nodes.processes[0].terminate()
        code = observer.ended()
        assert code == 1, code
    finally:
        observer.close()
    nodes.processes[0].wait()
    done = subprocess.run(nodes.observe(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 1 and nodes.names[0] in done.stderr, done


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        nodes = Nodes(program, pathlib.Path(folder))
        try:
            for test in [picture, pages, endings, losses]:
                try:
                    test(nodes)
                    print("PASS", test.__doc__)
                except Exception:
                    failed += 1
                    print("FAIL", test.__doc__)
                    traceback.print_exc(file=sys.stdout)
        finally:
            nodes.end()
    print(f"{failed} failed")
    return 1 if failed else 0


sys.exit(main())
