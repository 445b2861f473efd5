"""Real balancers in front of real nodes, with the files of conf/: only addresses and places change."""

import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../channels"))
from conformance_node import Node, eventually, free_port, new_cluster  # noqa: E402, F401


def program(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")


def with_addresses(text, nodes):
    """The three nodes of the file are at 10.0.0.1 to 10.0.0.3."""
    for number, node in enumerate(nodes, 1):
        text = text.replace(f"10.0.0.{number}:4000", f"127.0.0.1:{node.port}")
    if "10.0.0." in text:
        raise RuntimeError("expected the file to name three nodes, got more\n" + text)
    return text


class Balancer:
    def __init__(self, nodes, change=lambda text: text):
        self.port, self.change = free_port(), change
        self.folder = tempfile.TemporaryDirectory()
        self.file = self.place("conf")
        self.log = open(self.place("log"), "w+")
        self.write(nodes)
        self.process = subprocess.Popen(self.words(), stdout=self.log, stderr=self.log)
        if not eventually(self.answers):
            self.stop()
            raise RuntimeError("expected the balancer to start, got:\n" + self.text())

    def place(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, nodes):
        with open(self.original) as file:
            text = self.adapt(with_addresses(file.read(), nodes))
        with open(self.file, "w") as file:
            file.write(self.change(text))

    def answers(self):
        try:
            return self.ask()[0] == 200
        except OSError:
            return False

    def ask(self, path="/admin/peer", source="127.0.0.1", method="GET", headers=None):
        """Status, headers and JSON of the answer."""
        link = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=100, source_address=(source, 0))
        try:
            link.request(method, path, headers=headers or {})
            answer = link.getresponse()
            body = answer.read()
            return answer.status, answer.headers, json.loads(body) if answer.status == 200 else body
        finally:
            link.close()

    def nodes(self, count=30):
        """Which nodes answer clients of so many addresses."""
        answers = [self.ask(source=f"127.2.0.{i + 1}") for i in range(count)]
        return {answer[2]["node"] for answer in answers if answer[0] == 200}

    def text(self):
        with open(self.log.name) as file:
            return file.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.folder.cleanup()


class Haproxy(Balancer):
    original = "conf/haproxy.cfg"

    def adapt(self, text):
        text = text.replace("bind :80", f"bind 127.0.0.1:{self.port}")
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if 0 < allowed < 210000:
            text = text.replace("maxconn 100000", f"maxconn {allowed // 3}")
        return text

    def words(self):
        return [program("haproxy"), "-W", "-db", "-f", self.file]

    def reload(self, nodes):
        self.write(nodes)
        self.process.send_signal(signal.SIGUSR2)


class Nginx(Balancer):
    original = "conf/nginx.conf"

    def adapt(self, text):
        text = text.replace("listen 80;", f"listen 127.0.0.1:{self.port};")
        places = "".join(f"  {name}_temp_path {self.place(name)};\n" for name in
                         ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        text = text.replace("http {\n", "http {\n" + places)
        text = text.replace("/var/log/nginx", self.folder.name)
        return re.sub("worker_rlimit_nofile.*;", "worker_rlimit_nofile 10000;", text)

    def words(self):
        return [program("nginx"), "-c", self.file, "-e", "stderr",
                "-g", f"daemon off; pid {self.place('pid')};"]

    def reload(self, nodes):
        self.write(nodes)
        self.process.send_signal(signal.SIGHUP)


BALANCERS = {"haproxy": Haproxy, "nginx": Nginx}


def start_nodes(names="abc", settings=()):
    """Nodes that are one cluster, as a list; they believe the balancer on this machine."""
    cluster = new_cluster()
    nodes = [Node(os.path.abspath(sys.argv[1]),
                  ["endpoint.trusted_proxies=[127.0.0.1]", *settings], name, cluster,
                  [other for other in names if other != name]) for name in names]
    others = len(names) - 1
    if not eventually(lambda: all(len(node.stats()["nodes"]) == others for node in nodes)):
        raise RuntimeError("expected the nodes to find each other\n" + nodes[0].text())
    return nodes


def name_of(node):
    return node.environment["NODE_NAME"]


class WebSocket:
    """Joins a room through a balancer; `node` is where it landed."""

    def __init__(self, port, source="127.0.0.1", headers=""):
        self.link = socket.create_connection(
            ("127.0.0.1", port), timeout=20, source_address=(source, 0))
        self.link.sendall(
            "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\n"
            f"upgrade: websocket\r\nsec-websocket-version: 13\r\n{headers}"
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        self.file = self.link.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline().strip():
            pass
        join = b'["1","1","room:1","phx_join",{}]'
        self.link.sendall(bytes([0x81, 0x80 | len(join)]) + bytes(4) + join)
        self.node = json.loads(self.receive())[4]["response"]["node"]

    def receive(self):
        length = self.file.read(2)[1]
        if length == 126:
            length = int.from_bytes(self.file.read(2), "big")
        return self.file.read(length)

    def ends_within(self, seconds):
        """Whether the connection is cut, and not by us."""
        self.link.settimeout(seconds)
        try:
            while self.file.read(1):
                pass
            return True
        except ConnectionError:
            return True
        except OSError:
            return False

    def close(self):
        self.file.close()
        self.link.close()


class Stream:
    """Requests without a pause, of a browser with a cookie, of one that posts, and of clients that
    are new each time. Every answer but 200 is an error. As HTTP clients do, they send a request once
    more if the connection that they have kept is closed before any answer: those are `resent`."""

    def __init__(self, balancer):
        self.balancer, self.going = balancer, True
        self.count, self.errors, self.slowest, self.resent = 0, [], 0.0, 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=run, daemon=True)
                        for run in (self.browse, self.post, self.come_and_go)]
        for thread in self.threads:
            thread.start()

    def note(self, ask):
        begin = time.monotonic()
        try:
            status, headers = ask()
            error = None if status == 200 else f"status {status}"
        except (OSError, http.client.HTTPException) as failure:
            headers, error = {}, repr(failure)
        with self.lock:
            self.count += 1
            self.slowest = max(self.slowest, time.monotonic() - begin)
            if error:
                self.errors.append(error)
        time.sleep(0.005)
        return headers

    def keep_asking(self, method, source):
        link = http.client.HTTPConnection(
            "127.0.0.1", self.balancer.port, timeout=100, source_address=(source, 0))
        cookie = {}

        def ask_once():
            link.request(method, "/admin/peer", headers=cookie)
            answer = link.getresponse()
            answer.read()
            return answer.status, answer.headers

        def ask():
            kept = link.sock is not None
            try:
                return ask_once()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                link.close()
                if not kept:
                    raise
                self.resent += 1
                return ask_once()
            except (OSError, http.client.HTTPException):
                link.close()
                raise

        while self.going:
            given = self.note(ask).get("set-cookie")
            if given:
                cookie = {"Cookie": given.split(";")[0]}
        link.close()

    def browse(self):
        self.keep_asking("GET", "127.3.0.1")

    def post(self):
        self.keep_asking("POST", "127.3.0.2")

    def come_and_go(self):
        number = 0
        while self.going:
            number = number % 200 + 1
            self.note(lambda: self.balancer.ask(source=f"127.3.1.{number}")[:2])

    def stop(self):
        self.going = False
        for thread in self.threads:
            thread.join()


class Herd:
    """phoenix.js clients in a few processes; all are joined when this returns."""

    def __init__(self, port, count, processes=4, polls=0):
        self.count, self.parts = count + polls, []
        words = ["node", "tests/operations/herd.mjs", f"ws://127.0.0.1:{port}/socket"]
        share = (count + processes - 1) // processes
        groups = [(min(share, count - i), i) for i in range(0, count, share or 1)]
        for size, first in groups:
            self.parts.append(self.spawn([*words, str(size), str(first)]))
        if polls:
            self.parts.append(self.spawn([*words, str(polls), str(count), "longpoll"]))
        if not eventually(lambda: self.joined() == self.count, 60):
            joined = self.joined()
            self.stop()
            raise RuntimeError(f"expected {self.count} clients to join, got {joined}")

    @staticmethod
    def spawn(words):
        return subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, what):
        for part in self.parts:
            part.stdin.write(what + "\n")
        lines = [part.stdout.readline() for part in self.parts]
        if "" in lines:
            codes = [part.wait() for part, line in zip(self.parts, lines) if not line]
            raise RuntimeError(f"expected the herd to live, got its end with {codes}")
        return [json.loads(line) for line in lines]

    def joined(self):
        return sum(self.ask("joined"))

    def answered(self):
        return sum(self.ask("ping"))

    def report(self):
        reports = self.ask("report")
        return {
            "outages": sorted(sum((report["outages"] for report in reports), [])),
            "codes": sum((report["codes"] for report in reports), []),
            "tries": sum(report["tries"] for report in reports)}

    def stop(self):
        for part in self.parts:
            part.kill()
            part.wait()
            part.stdin.close()
            part.stdout.close()
