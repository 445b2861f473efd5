"""The cluster with real processes: usage cluster_test.py SAMPLE_NODE NEWER_SAMPLE_NODE [TEST...]"""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from nodes import Cluster, Refused, eventually, free_port  # noqa: E402

PROGRAM, NEWER = sys.argv[1:3]
LONG = os.environ.get("ROOST_LONG") == "1"


def cluster(**options):
    return Cluster(PROGRAM, **options)


class Connecting(unittest.TestCase):
    def test_nodes_find_each_other(self):
        for tls in ("psk", "off"):
            with self.subTest(tls=tls), cluster(tls=tls) as all:
                a, b, c = (all.start(name) for name in "abc")
                self.assertEqual(a.do("ping b@127.0.0.1"), "pong")
                self.assertEqual(a.do("ping a@127.0.0.1"), "pong")
                self.assertEqual(a.do("ping nobody@127.0.0.1"), "pang")
                self.assertEqual(a.list(), ["b@127.0.0.1"])
                self.assertEqual(b.list(), ["a@127.0.0.1"])
                # Whoever comes to one comes to all.
                self.assertEqual(c.do("connect b@127.0.0.1"), "true")
                for node in (a, b, c):
                    others = sorted({"a@127.0.0.1", "b@127.0.0.1", "c@127.0.0.1"} - {node.name})
                    self.assertTrue(eventually(lambda: node.list() == others), node.log())
                self.assertEqual(a.list("known"), ["a@127.0.0.1", "b@127.0.0.1", "c@127.0.0.1"])

    def test_a_hidden_node_is_no_part_of_the_cluster(self):
        with cluster() as all:
            a, b = all.start("a"), all.start("b")
            a.do("connect b@127.0.0.1")
            shell = all.start("shell", hidden="true")
            self.assertEqual(shell.do("ping a@127.0.0.1"), "pong")
            self.assertEqual(a.list(), ["b@127.0.0.1"])
            self.assertEqual(a.list("hidden"), ["shell@127.0.0.1"])
            self.assertEqual(a.list("connected"), ["b@127.0.0.1", "shell@127.0.0.1"])
            self.assertEqual(b.list("connected"), ["a@127.0.0.1"])

    def test_both_dial_at_the_same_moment(self):
        with cluster() as all:
            a, b = all.start("a"), all.start("b")
            a.do("subscribe"), b.do("subscribe")
            for _ in range(20):
                for node, other in ((a, b), (b, a)):
                    node.process.stdin.write(f"connect {other.name}\n")
                    node.process.stdin.flush()
                self.assertEqual([a._answer(10), b._answer(10)], ["true", "true"], a.log() + b.log())
                self.assertEqual(a.do("ping b@127.0.0.1"), "pong")
                a.do("disconnect b@127.0.0.1")
                self.assertTrue(eventually(lambda: not a.list() and not b.list()))
            for node in (a, b):
                self.assertTrue(
                    eventually(lambda: node.count("nodeup") == node.count("nodedown") == 20),
                    node.events())

    def test_a_wrong_cookie_is_refused_and_told_to_nobody(self):
        for tls in ("psk", "off"):
            with self.subTest(tls=tls), cluster(tls=tls) as all:
                other = secrets.token_hex(32)
                a, b = all.start("a"), all.start("b", cookie=other)
                self.assertEqual(b.do("ping a@127.0.0.1"), "pang")
                self.assertEqual(a.list("known"), ["a@127.0.0.1"])
                self.assertTrue(a.logged("a connection of nodes was not made"), a.log())
                for log in (a.log(), b.log()):
                    self.assertNotIn(other, log)
                    self.assertNotIn(all.options["cookie"], log)

    def test_one_node_may_have_a_cookie_of_its_own(self):
        with cluster() as all:
            other = secrets.token_hex(32)
            a, b = all.start("a"), all.start("b", cookie=other)
            a.do(f"set_cookie b@127.0.0.1 {other}")
            self.assertEqual(a.do("ping b@127.0.0.1"), "pong")

    def test_weak_cookies_are_refused_at_the_start(self):
        with cluster() as all:
            with self.assertRaisesRegex(Refused, "cookie"):
                all.start("a", cookie="secret")

    def test_nodes_that_make_the_cookie_file_at_once_agree(self):
        with cluster(cookie=None) as all, tempfile.TemporaryDirectory() as home:
            options = {"env": {"HOME": home}}
            a, b = all.start("a", **options), all.start("b", **options)
            self.assertEqual(a.do("ping b@127.0.0.1"), "pong")
            file = os.path.join(home, ".roost.cookie")
            self.assertEqual(os.stat(file).st_mode & 0o777, 0o600)

    def test_a_node_without_a_name_is_alone(self):
        with cluster() as all:
            a = all.start("a")
            lonely = all.start("x", name=None)
            self.assertEqual(lonely.do("self"), "nonode@nohost")
            self.assertEqual(lonely.do("ping a@127.0.0.1"), "pang")
            self.assertEqual(lonely.do("connect a@127.0.0.1"), "ignored")
            with self.assertRaisesRegex(Refused, "noconnection"):
                lonely.do("call x a@127.0.0.1 hello")
            self.assertEqual(a.list("known"), ["a@127.0.0.1"])

    def test_only_allowed_nodes_come_in(self):
        with cluster() as all:
            a = all.start("a", allowed=["b@127.0.0.1"])
            b, c = all.start("b"), all.start("c")
            self.assertEqual(b.do("ping a@127.0.0.1"), "pong")
            self.assertEqual(c.do("ping a@127.0.0.1"), "pang")
            self.assertEqual(a.list(), ["b@127.0.0.1"])

    def test_two_nodes_of_one_name(self):
        with cluster() as all:
            all.start("a")
            with self.assertRaisesRegex(Refused, "before @"):
                all.start("a")


class Certificates(unittest.TestCase):
    @staticmethod
    def make(directory):
        """Two authorities; a certificate of each for 127.0.0.1."""
        def openssl(*words):
            subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=directory)
        for authority in ("good", "bad"):
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-keyout", f"{authority}.ca.key", "-out", f"{authority}.ca.pem",
                    "-subj", f"/CN={authority}", "-days", "2")
            openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-keyout", f"{authority}.key", "-out", f"{authority}.csr",
                    "-subj", "/CN=node")
            with open(os.path.join(directory, "ext"), "w") as ext:
                ext.write("subjectAltName=IP:127.0.0.1\n")
            openssl("x509", "-req", "-in", f"{authority}.csr", "-CA", f"{authority}.ca.pem",
                    "-CAkey", f"{authority}.ca.key", "-CAcreateserial", "-days", "2",
                    "-extfile", "ext", "-out", f"{authority}.pem")

    def test_certificates_of_the_authority_are_taken_and_others_are_not(self):
        with tempfile.TemporaryDirectory() as files, cluster(cookie=None) as all:
            self.make(files)
            def options(name):
                return {"tls": "certificates", "certificate": f"{files}/{name}.pem",
                        "key": f"{files}/{name}.key", "authority": f"{files}/good.ca.pem"}
            a, b = all.start("a", **options("good")), all.start("b", **options("good"))
            c = all.start("c", **options("bad"))
            self.assertEqual(a.do("ping b@127.0.0.1"), "pong")
            self.assertEqual(c.do("ping a@127.0.0.1"), "pang")
            self.assertEqual(a.do("ping c@127.0.0.1"), "pang")

    def test_a_server_with_any_certificate_but_no_cookie_is_refused(self):
        """It stands at the port mapper as b@127.0.0.1 and would speak TLS with anybody."""
        with tempfile.TemporaryDirectory() as files, cluster() as all:
            self.make(files)
            a = all.start("a")
            port = free_port()
            server = subprocess.Popen(
                ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", "bad.pem",
                 "-key", "bad.key", "-tls1_3", "-quiet"], cwd=files, stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                epmd = socket.create_connection(("127.0.0.1", all.options["epmd_port"]))
                request = (b"x" + port.to_bytes(2, "big") + bytes([72, 0]) +
                           (6).to_bytes(2, "big") + (5).to_bytes(2, "big") +
                           (1).to_bytes(2, "big") + b"b" + (5).to_bytes(2, "big") + b"roost")
                epmd.sendall(len(request).to_bytes(2, "big") + request)
                self.assertTrue(epmd.recv(16))
                def listens():
                    try:
                        socket.create_connection(("127.0.0.1", port)).close()
                        return True
                    except OSError:
                        return False
                self.assertTrue(eventually(listens))
                self.assertEqual(a.do("ping b@127.0.0.1", 30), "pang")
                self.assertEqual(a.list("known"), ["a@127.0.0.1"])
                epmd.close()
            finally:
                server.kill()
                server.wait()
                server.stdin.close()


class Processes(unittest.TestCase):
    def setUp(self):
        self.all = cluster()
        self.a, self.b = self.all.start("a"), self.all.start("b")
        self.b.do("serve s")

    def tearDown(self):
        self.all.__exit__()

    def test_calls_and_messages_by_name_and_by_pid(self):
        a, b = self.a, self.b
        self.assertIn("hello", a.do("call s b@127.0.0.1 hello"))  # connects by itself
        pid = a.do("pid p s b@127.0.0.1")
        self.assertTrue(pid.startswith("<b@127.0.0.1:"), pid)
        self.assertIn("hello", a.do("call p - hello"))
        a.do("send p - text-by-pid"), a.do("send s b@127.0.0.1 text-by-name")
        self.assertTrue(b.saw("message text-by-pid"))
        self.assertTrue(b.saw("message text-by-name"))
        with self.assertRaisesRegex(Refused, "noproc"):
            a.do("call nobody b@127.0.0.1 hello")

    def test_remote_functions(self):
        a = self.a
        self.assertEqual(a.do("rpc b@127.0.0.1 add 20 22"), "42")
        with self.assertRaisesRegex(Refused, "no sum today"):
            a.do("rpc b@127.0.0.1 fail 1 2")
        with self.assertRaisesRegex(Refused, "undef"):
            a.do("rpc b@127.0.0.1 nothing 1 2")
        with self.assertRaisesRegex(Refused, "noconnection"):
            a.do("rpc nobody@127.0.0.1 add 1 2")
        self.assertEqual(a.do("multi_rpc a@127.0.0.1 b@127.0.0.1 nobody@127.0.0.1"), "2 1")
        self.assertTrue(a.do("spawn b@127.0.0.1 hello").startswith("<b@127.0.0.1:"))
        self.assertTrue(self.b.saw("note hello"))

    def test_monitors_tell_why(self):
        a = self.a
        a.do("monitor nobody b@127.0.0.1")
        self.assertTrue(a.saw("down {nobody, b@127.0.0.1} noproc"), a.events())
        a.do("monitor s b@127.0.0.1")
        a.do("pid p s b@127.0.0.1"), a.do("monitor_pid p")
        a.do("crash s b@127.0.0.1")
        self.assertTrue(a.saw("down {s, b@127.0.0.1} {error, std::runtime_error"), a.events())
        self.assertTrue(a.saw("down <b@127.0.0.1:"), a.events())
        a.do("monitor_pid p")
        self.assertTrue(eventually(lambda: a.count("down <b@127.0.0.1:") == 2))
        a.do("monitor s gone@127.0.0.1")
        self.assertTrue(a.saw("down {s, gone@127.0.0.1} noconnection"), a.events())

    def test_links_and_exits_cross(self):
        a, b = self.a, self.b
        a.do("serve t")
        a.do("pid p s b@127.0.0.1"), a.do("link t p")
        a.do("call t a@127.0.0.1 linked")
        a.do("kill p -")
        self.assertTrue(a.saw("exit <b@127.0.0.1:"), a.events())
        self.assertIn("killed", [e for _, e in a.events() if e.startswith("exit")][0])
        with self.assertRaisesRegex(Refused, "noproc"):
            a.do("call s b@127.0.0.1 hello")

    def test_newer_and_older_programs(self):
        newer = self.all.start("newer", program=NEWER)
        newer.do("serve s")
        self.assertEqual(newer.do("greet s b@127.0.0.1 ann"), "ann")  # one field is enough there
        self.assertEqual(self.b.do("greet s newer@127.0.0.1 bob"), "bob 2000")  # its default
        with self.assertRaisesRegex(Refused, "sample.news"):
            newer.do("news s b@127.0.0.1")
        self.assertTrue(self.b.logged("sample.news"), self.b.log())
        self.assertEqual(newer.do("ping b@127.0.0.1"), "pong")


class Losing(unittest.TestCase):
    def test_a_killed_node_is_missed_at_once(self):
        for _ in range(3):
            with cluster() as all:
                a, b = all.start("a"), all.start("b")
                b.do("serve s")
                a.do("subscribe"), a.do("monitor s b@127.0.0.1"), a.do("monitor_node b@127.0.0.1")
                self.assertTrue(a.saw("nodeup b@127.0.0.1"))
                a.do("call s b@127.0.0.1 hello")
                at = b.kill()
                down, gone = a.saw("down {s"), a.saw("nodedown b@127.0.0.1")
                self.assertLess(down - at, 250)  # 50 ms, with room for a busy machine
                self.assertLess(gone - at, 250)
                self.assertLessEqual(down, gone)
                self.assertTrue(eventually(lambda: a.count("nodedown") == 2))
                print(f"kill -9: DOWN after {down - at:.1f} ms, nodedown after {gone - at:.1f} ms")

    def test_a_frozen_node_is_missed_in_time_and_comes_back(self):
        with cluster(ticktime=1000) as all:
            a, b = all.start("a"), all.start("b")
            b.do("serve s")
            a.do("subscribe"), b.do("subscribe")
            a.do("monitor s b@127.0.0.1"), a.do("call s b@127.0.0.1 x")
            a.do("pid p s b@127.0.0.1")
            at = time.time() * 1000
            b.freeze()
            for number in range(5):
                a.do(f"send p - before-{number}")
            gone = a.saw("nodedown b@127.0.0.1 net_tick_timeout")
            print(f"SIGSTOP: nodedown after {gone - at:.0f} ms of net_ticktime 1000 ms")
            self.assertTrue(600 < gone - at < 1250 + 250)
            self.assertTrue(a.saw("down {s, b@127.0.0.1} noconnection"))
            b.thaw()
            self.assertTrue(b.saw("nodedown a@127.0.0.1"), b.log())
            self.assertEqual(eventually(lambda: a.do("ping b@127.0.0.1") == "pong"), True)
            self.assertIn("again", a.do("call p - again"))  # the same incarnation
            a.do("send p - after")
            self.assertTrue(b.saw("message after"))
            texts = [event for _, event in b.events()]
            # What was sent before may have reached it when it woke, and nothing of it comes later.
            late = texts[texts.index("message after"):]
            self.assertFalse([t for t in late if t.startswith("message before")], texts)
            self.assertEqual(a.count("down {s"), 1)
            self.assertEqual(b.count("message after"), 1)

    def test_a_node_that_is_started_again_is_another_one(self):
        with cluster() as all:
            a, b = all.start("a"), all.start("b")
            b.do("serve s")
            a.do("pid old s b@127.0.0.1")
            b.kill()
            self.assertTrue(eventually(lambda: not a.list()))
            again = eventually(lambda: self.restart(all))
            again.do("serve s")
            self.assertEqual(a.do("ping b@127.0.0.1"), "pong", a.log())
            self.assertIn("new", a.do("call s b@127.0.0.1 new"))
            with self.assertRaisesRegex(Refused, "noproc|noconnection"):
                a.do("call old - old")
            a.do("monitor_pid old")
            self.assertTrue(a.saw("down <b@127.0.0.1:"))

    @staticmethod
    def restart(all):
        try:
            return all.start("b")
        except Refused:
            return None

    def test_leaving_in_order(self):
        with cluster() as all:
            a, b = all.start("a"), all.start("b")
            a.do("subscribe"), a.do("connect b@127.0.0.1")
            self.assertEqual(b.leave(), 0)
            self.assertTrue(a.saw("nodedown b@127.0.0.1"))


class Slow(unittest.TestCase):
    def test_a_slow_node_holds_its_senders_back(self):
        for tls in ("psk", "off"):
            with self.subTest(tls=tls), cluster(tls=tls, ticktime=60000) as all:
                a, b = all.start("a"), all.start("b")
                b.do("serve s")
                a.do("call s b@127.0.0.1 x")
                before = a.memory()
                b.freeze()
                a.do("flood s b@127.0.0.1 4 20000 1000")
                self.assertTrue(a.saw("busy b@127.0.0.1"), a.log())
                def quiet():
                    first = a.memory()
                    time.sleep(0.2)
                    return a.memory() == first
                eventually(quiet, 5)
                grown = a.memory() - before
                print(f"{tls}: 80 MB for a frozen node: memory grew by {grown / 1e6:.1f} MB")
                self.assertLess(grown, 24_000_000)
                self.assertEqual(a.count("flooded"), 0)
                self.assertEqual(a.do("send_with s b@127.0.0.1 nosuspend"), "nosuspend")
                self.assertEqual(a.do("send_with s c@127.0.0.1 noconnect"), "noconnect")
                self.assertIn("busy after", a.do("overrun s b@127.0.0.1 100000 1000"))
                b.thaw()
                self.assertTrue(eventually(lambda: a.count("flooded") == 4, 30))
                def stats():
                    words = (word.split("=") for word in b.do("stats s").split())
                    return {key: int(value) for key, value in words}
                def in_order():
                    # The numbers of the one that overran the limit are all 0.
                    return stats()["count"] - stats()["disorder"]
                eventually(lambda: in_order() >= 80000, 30)
                self.assertEqual(in_order(), 80000, stats())
                self.assertEqual(stats()["senders"], 5)

    def test_a_large_message_delays_nobody_else(self):
        for tls in ("psk", "off"):
            # A sign of life each 10 ms, of which four missing would end the link; on a machine that may be
            # busy with other tests, each 50 ms.
            with self.subTest(tls=tls), cluster(tls=tls, ticktime=40 if LONG else 200) as all:
                a, b = all.start("a"), all.start("b")
                b.do("serve s"), b.do("serve other")
                a.do("subscribe"), a.do("call other b@127.0.0.1 x")
                a.process.stdin.write("big s b@127.0.0.1 100000000\n")
                a.process.stdin.flush()
                worst = 0
                while a.lines.empty():
                    took = int(b.do("call other b@127.0.0.1 x").split()[0])
                    worst = max(worst, took)
                large = int(a._answer(30).split()[0])
                print(f"{tls}: 100 MB in {large / 1000:.0f} ms; another pair's calls meanwhile: "
                      f"{worst / 1000:.1f} ms at worst")
                self.assertEqual(a.count("nodedown"), 0, a.log())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2, warnings="ignore")
