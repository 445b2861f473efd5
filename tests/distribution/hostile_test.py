"""Strangers and liars at a node's door: usage hostile_test.py SAMPLE_NODE."""

import os
import random
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from nodes import Cluster, eventually  # noqa: E402

PROGRAM = sys.argv[1]


def port_of(node):
    line = next(line for line in node.log().splitlines() if "node is alive" in line)
    return int(line.rsplit("port=", 1)[1])


def descriptors(node):
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def attack(port, data, pause=0.0):
    """Sends, and waits until the node has closed the connection or nothing comes."""
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.settimeout(0.05)
        try:
            link.sendall(data)
            if pause:
                time.sleep(pause)
            while link.recv(4096):
                pass
        except OSError:
            pass


class Recorder:
    """A stranger in the middle, who keeps what the client of a real handshake has sent."""

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sent = b""

    def relay(self):
        client, _ = self.listener.accept()
        server = socket.create_connection(("127.0.0.1", self.target))
        client.settimeout(0.02), server.settimeout(0.02)
        quiet = 0
        while quiet < 20:
            quiet += 1
            for source, target in ((client, server), (server, client)):
                try:
                    data = source.recv(65536)
                except OSError:
                    continue
                if source is client:
                    self.sent += data
                if data:
                    target.sendall(data)
                    quiet = 0
        client.close(), server.close(), self.listener.close()


class Hostile(unittest.TestCase):
    def check(self, node, friend, before):
        """The node lives, answers, and has kept nothing."""
        self.assertEqual(friend.do(f"ping {node.name}"), "pong")
        memory, files = before
        self.assertTrue(eventually(lambda: descriptors(node) <= files + 2), descriptors(node))
        self.assertLess(node.memory() - memory, 20_000_000)

    def test_strangers(self):
        for tls in ("psk", "off"):
            with self.subTest(tls=tls), Cluster(PROGRAM, tls=tls, setuptime=1000) as all:
                a, b = all.start("a"), all.start("b")
                self.assertEqual(b.do("ping a@127.0.0.1"), "pong")
                port = port_of(a)
                before = (a.memory(), descriptors(a))
                dice = random.Random(7)
                for _ in range(200):
                    attack(port, dice.randbytes(dice.randrange(1, 2000)))
                # Lengths that are absurd, and frames that belong behind the proof.
                for length in (0, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 1 << 24):
                    for kind in (1, 2, 3, 16, 32, 33, 200):
                        attack(port, length.to_bytes(4, "little") + bytes([kind]) + bytes(64))
                        attack(port, length.to_bytes(4, "big") + bytes([kind]) + bytes(64))
                self.check(a, b, before)

    def test_every_part_of_a_handshake(self):
        for tls in ("psk", "off"):
            with self.subTest(tls=tls), Cluster(PROGRAM, tls=tls, setuptime=1000) as all:
                a, b = all.start("a"), all.start("b")
                self.assertEqual(b.do("ping a@127.0.0.1"), "pong")
                port = port_of(a)
                recorder = Recorder(port)
                # c takes the recorder for a node, which is at the port mapper under the name d.
                with socket.create_connection(("127.0.0.1", all.options["epmd_port"])) as epmd:
                    request = (b"x" + recorder.port.to_bytes(2, "big") + bytes([72, 0, 0, 6, 0, 5]) +
                               b"\\x00\\x01d\\x00\\x05roost".decode("unicode_escape").encode("latin1"))
                    epmd.sendall(len(request).to_bytes(2, "big") + request)
                    self.assertTrue(epmd.recv(16))
                    c = all.start("c")
                    c.process.stdin.write("ping d@127.0.0.1\n")
                    c.process.stdin.flush()
                    recorder.relay()
                    self.assertEqual(c._answer(15), "pang")
                self.assertGreater(len(recorder.sent), 50)
                before = (a.memory(), descriptors(a))
                for end in range(1, len(recorder.sent), 3):
                    attack(port, recorder.sent[:end])
                self.check(a, b, before)

    def test_half_open_connections_keep_nobody_out(self):
        with Cluster(PROGRAM, setuptime=2000) as all:
            a, b = all.start("a"), all.start("b")
            a.do("self")
            port = port_of(a)
            before = (a.memory(), descriptors(a))
            half_open = []
            for _ in range(1000):
                half_open.append(socket.create_connection(("127.0.0.1", port)))
            self.assertEqual(b.do("ping a@127.0.0.1"), "pong")
            self.assertLess(descriptors(a), before[1] + 200)
            # One byte now and then does not buy more time.
            slow = socket.create_connection(("127.0.0.1", port))
            began = time.monotonic()
            def closed():
                try:
                    slow.sendall(b"\x16")
                    slow.settimeout(0.1)
                    return slow.recv(1) == b""
                except TimeoutError:
                    return False
                except OSError:
                    return True
            self.assertTrue(eventually(closed, 15))
            self.assertLess(time.monotonic() - began, 2 * 5)
            slow.close()
            for one in half_open:
                one.close()
            self.check(a, b, before)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2, warnings="ignore")
