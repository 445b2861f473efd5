"""Strangers and liars at a node's door: usage hostile_test.py SAMPLE_NODE SAMPLE_LIAR."""

import os
import random
import select
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from nodes import Cluster, eventually  # noqa: E402

PROGRAM, LIAR = sys.argv[1:3]


def port_of(node):
    line = next(line for line in node.log().splitlines() if "node is alive" in line)
    return int(line.rsplit("port=", 1)[1])


def descriptors(node):
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def attack(port, *attempts):
    """Sends each on a connection of its own, and waits until the node has closed them or is silent."""
    links = []
    for data in attempts:
        links.append(socket.create_connection(("127.0.0.1", port)))
        try:
            links[-1].sendall(data)
        except OSError:
            pass
    for link in links:
        link.settimeout(0.05 if link is links[0] else 0.001)
        try:
            while link.recv(4096):
                pass
        except OSError:
            pass
        link.close()


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


def frame(kind, body=b""):
    return (len(body) + 1).to_bytes(4, "little") + bytes([kind]) + body


def fragment(stream, flags, total=None, load=b""):
    whole = b"" if total is None else total.to_bytes(8, "little")
    return frame(33, stream.to_bytes(2, "little") + bytes([flags]) + whole + load)


def signal(kind, flags=0, to=1, sender=1, rest=b""):
    return frame(32, bytes([kind, flags]) + to.to_bytes(8, "little") +
                 sender.to_bytes(8, "little") + rest)


REFERENCE = bytes([0, 1])  # of the sender
CLOSES = {
    "an unknown frame": frame(99),
    "a second hello": frame(1, bytes(40)),
    "a second ready": frame(3),
    "a frame of no bytes": bytes(4),
    "a frame of 4 GiB": b"\xff\xff\xff\xff" + bytes(100),
    "a negative length": b"\x00\x00\x00\x80" + bytes(100),
    "a signal of no bytes": frame(32),
    "a signal that is cut off": frame(32, bytes([1, 0, 1])),
    "an unknown kind of signal": signal(200),
    "unknown flags": signal(1, flags=0x80),
    "the id of a name": signal(1, to=1 << 63),
    "a sender that is a name": signal(1, sender=1 << 63),
    "a value without a type": signal(1),
    "a DOWN without a reason": signal(6, flags=1, rest=REFERENCE),
    "the next fragment of nothing": fragment(1, 0, load=bytes(10)),
    "a fragment twice the first": fragment(1, 1, 100) + fragment(1, 1, 100),
    "a message of 2^63 bytes": fragment(1, 1, 1 << 63),
    "more bytes than announced": fragment(1, 1, 10, bytes(20)),
    "fewer bytes than announced": fragment(1, 3, 10, bytes(5)),
    "65 large messages": b"".join(fragment(i, 1, 100) for i in range(65)),
    "names that are none": frame(18, b"\xff\xff\xff\xff\xff"),
    "the loss of nobody": frame(19, b"\xff"),
    "the name of a type, cut off": frame(17, bytes(3)),
}
LIVES = {
    "ticks": frame(16) * 100,
    "a value of an unknown type": signal(1, rest=bytes(8)),
    "a message for nobody": signal(1, to=(1 << 40) - 1, rest=b"abcdefgh" + bytes(20)),
    "a link to nobody": signal(7, flags=1, to=(1 << 40) - 1, rest=REFERENCE),
    "a monitor of nobody": signal(10, flags=1, to=(1 << 40) - 1, rest=REFERENCE),
    "an answer that nobody waits for": signal(5, flags=1, rest=REFERENCE + bytes(20)),
}


class Liar:
    """See sample_liar.cpp."""

    def __init__(self, node, tls="psk"):
        self.process = subprocess.Popen(
            [LIAR, str(port_of(node)), node.options["cookie"], tls, node.name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, line):
        """Answers what became of it."""
        self.begin(line)
        return self.answer()

    def begin(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answers_within(self, seconds):
        return bool(select.select([self.process.stdout], [], [], seconds)[0])

    def answer(self):
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.stdin.close(), self.process.wait()
        self.process.stdout.close()


class Hostile(unittest.TestCase):
    def test_liars_who_know_the_cookie(self):
        for tls in ("psk", "off"):
            with self.subTest(tls=tls), Cluster(PROGRAM, tls=tls, setuptime=5000) as all:
                a, b = all.start("a"), all.start("b")
                self.assertEqual(b.do("ping a@127.0.0.1"), "pong")
                a.do("serve s")
                before = (a.memory(), descriptors(a))
                liar = Liar(a, tls)
                for expected, lies in (("closed", CLOSES), ("open", LIVES)):
                    for what, data in lies.items():
                        with self.subTest(tls=tls, lie=what):
                            self.assertEqual(liar.tell(data.hex()), expected, a.log()[-2000:])
                            self.assertIsNone(a.process.poll())
                dice = random.Random(11)
                for _ in range(100):
                    kind = dice.choice((16, 17, 18, 19, 32, 33))
                    liar.tell(b"".join(frame(kind, dice.randbytes(dice.randrange(60)))
                                       for _ in range(20)).hex())
                liar.end()
                self.assertIn("hello", b.do("call s a@127.0.0.1 hello"))
                self.check(a, b, before)

    def test_a_node_that_is_back_before_everybody_knows_that_it_was_lost(self):
        with Cluster(PROGRAM) as all:
            a = all.start("a")
            a.do("self")
            a.do("subscribe")
            a.do("hold_losses")
            losses = lambda: a.log().count("node down node=liar")
            liar = Liar(a)
            self.assertEqual([liar.tell("meet"), liar.tell("ready")], ["done", "open"])
            # It dials while the loss is told.
            liar.tell("leave")
            self.assertTrue(eventually(lambda: losses() == 1))
            liar.begin("meet")
            self.assertFalse(liar.answers_within(0.15), a.log())
            a.do("tell_loss")
            self.assertEqual([liar.answer(), liar.tell("ready")], ["done", "open"])
            # It has dialled before, and says then that it is ready.
            self.assertEqual([liar.tell("meet"), liar.tell("leave")], ["done", "done"])
            self.assertTrue(eventually(lambda: losses() == 2))
            self.assertEqual(liar.tell("ready"), "open", a.log())
            a.do("tell_loss")
            self.assertTrue(eventually(lambda: a.events() and a.count("nodeup liar") == 3))
            liar.end()
            a.do("tell_loss")
            self.assertTrue(eventually(lambda: a.events() and a.count("nodedown liar") == 3))
            ups_and_downs = [what.split()[0] for _, what in a.kept if " liar@" in what]
            self.assertEqual(ups_and_downs, ["nodeup", "nodedown"] * 3)

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
                for _ in range(10):
                    attack(port, *(dice.randbytes(dice.randrange(1, 2000)) for _ in range(50)))
                # Lengths that are absurd, and frames that belong behind the proof.
                for length in (0, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 1 << 24):
                    attack(port, *(length.to_bytes(4, order) + bytes([kind]) + bytes(64)
                                   for kind in (1, 2, 3, 16, 32, 33, 200)
                                   for order in ("little", "big")))
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
                truncated = [recorder.sent[:end] for end in range(1, len(recorder.sent))]
                for i in range(0, len(truncated), 50):
                    attack(port, *truncated[i:i + 50])
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
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2, warnings="ignore")
