"""What the redis adapter of pub_sub does when Redis is away, odd or guarded: usage
redis_adapter_test.py SAMPLE"""

import os
import socket
import struct
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "distribution"))
from nodes import Node, Refused, eventually  # noqa: E402
from redis_server import Redis  # noqa: E402

PROGRAM = sys.argv[1]
SECRET = "s3cr3t/word"
ENCODED = "s3cr3t%2Fword"


class Story(unittest.TestCase):
    def node(self, name, redis, url=None, env=None, **options):
        """Without distribution: they know each other by Redis alone."""
        words = {"adapter": "redis", "redis": url or redis.url(), **options}
        words = {key: value for key, value in words.items() if value}
        node = Node(PROGRAM, env={"NODE_NAME": name, **(env or {})}, **words)
        self.addCleanup(node.end)
        return node

    def pair(self, redis, **options):
        a, b = self.node("a", redis, **options), self.node("b", redis, **options)
        b.do("subscribe one news"), b.do("sync"), a.do("sync")
        self.hears(a, b, "hello")
        return a, b

    def hears(self, a, b, text):
        """Until a broadcast of a is heard at b; answers all that b heard meanwhile."""
        heard = []

        def arrives():
            a.do(f"broadcast news {text}")
            heard.extend(b.do("heard one").split()[1:])
            return f"news:{text}" in heard
        self.assertTrue(eventually(arrives, 30), b.log())
        return heard

    def publishes(self, a, words):
        """Another topic may have another connection to publish, which comes back for itself."""
        self.assertTrue(eventually(lambda: a.do(f"broadcast {words}") == "ok", 30), a.log())

    def is_away(self, a):
        self.assertTrue(eventually(lambda: a.do("broadcast news away") == "unreachable", 30), a.log())

    def statistics(self, node):
        words = (word.split("=") for word in node.do("statistics").split())
        return {key: int(value) for key, value in words}

    def count(self, node, text):
        return node.log().count(text)


class Away(Story):
    def test_redis_is_killed_and_comes_back(self):
        with Redis() as redis:
            a, b = self.pair(redis)
            redis.kill()
            self.is_away(a)
            self.assertGreaterEqual(self.statistics(a)["unreachable"], 1)
            b.do("subscribe one meanwhile")
            self.assertTrue(b.logged("redis cannot be reached"))
            redis.start()
            heard = self.hears(a, b, "again")
            self.assertIn("gap:news", heard)
            # What a process is told first is that something may be missing.
            self.assertLess(heard.index("gap:news"), heard.index("news:again"))
            self.assertGreaterEqual(self.statistics(b)["gaps"], 1)
            b.do("sync")
            self.publishes(a, "meanwhile x")
            self.assertTrue(eventually(lambda: "meanwhile:x" in b.do("heard one")))
            for node in (a, b):
                self.assertTrue(node.logged("redis can be reached again pub_sub=bus"))
                self.assertEqual(self.count(node, "redis cannot be reached pub_sub=bus"), 1, node.log())
                self.assertEqual(self.count(node, "redis can be reached again pub_sub=bus"), 1, node.log())

    def test_redis_stands_still(self):
        with Redis() as redis:
            a, b = self.pair(redis)
            redis.freeze()
            self.is_away(a)
            self.assertTrue(b.logged("no answer within 2000 ms"), b.log())
            redis.thaw()
            self.assertIn("gap:news", self.hears(a, b, "thawed"))
            self.assertGreaterEqual(self.statistics(b)["gaps"], 1)

    def test_a_sync_waits_until_all_is_subscribed_again(self):
        with Redis() as redis:
            a, b = self.pair(redis)
            redis.kill()
            self.is_away(a)
            self.assertTrue(b.logged("redis cannot be reached"))
            b.do("subscribe one late")
            b.process.stdin.write("sync\n")
            b.process.stdin.flush()
            redis.start()
            self.assertEqual(b._answer(30), "yes")
            a.do("sync")
            self.publishes(a, "late x")
            self.assertTrue(eventually(lambda: "late:x" in b.do("heard one")))

    def test_redis_comes_later_than_the_node(self):
        with Redis() as redis:
            redis.kill()
            a, b = self.node("a", redis), self.node("b", redis)
            b.do("subscribe one news")
            self.is_away(a)
            redis.start()
            self.assertIn("gap:news", self.hears(a, b, "hello"))

    def test_one_connection_is_cut(self):
        with Redis() as redis:
            a, b = self.pair(redis)
            self.assertRegex(redis.ask("CLIENT", "KILL", "TYPE", "pubsub"), r"^:\d+$")
            self.assertTrue(eventually(lambda: self.statistics(b)["gaps"] == 1), b.log())
            self.assertIn("gap:news", self.hears(a, b, "again"))

    def test_the_others_are_told_of_what_one_could_not_publish(self):
        with Redis() as redis:
            a, b = self.pair(redis)
            b.do("subscribe one calm"), b.do("sync")
            # What is published now waits in Redis, and goes with its connection.
            self.assertEqual(redis.ask("CLIENT", "PAUSE", "60000", "WRITE"), "+OK")
            self.assertEqual(a.do("broadcast news lost"), "ok")
            self.assertTrue(eventually(
                lambda: redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") and
                "own broadcasts may have been lost" in a.log()), a.log())
            self.assertEqual(redis.ask("CLIENT", "UNPAUSE"), "+OK")
            heard = self.hears(a, b, "again")
            self.assertTrue(eventually(
                lambda: heard.extend(b.do("heard one").split()[1:]) or "gap:news" in heard), b.log())
            self.assertNotIn("news:lost", heard)
            self.assertNotIn("gap:calm", heard)
            self.assertEqual(self.statistics(b)["gaps"], 1)

    def test_after_a_crash_of_the_pub_sub_its_subscribers_are_told(self):
        with Redis() as redis:
            a, b = self.pair(redis)
            b.do("crash")
            self.assertIn("gap:news", self.hears(a, b, "again"))

    def test_what_waits_is_limited(self):
        with Redis() as redis:
            a, b = self.pair(redis, buffer_limit=65536)
            redis.freeze()
            long = "x" * 20_000
            self.assertTrue(eventually(lambda: a.do(f"broadcast news {long}") == "unreachable"))
            redis.thaw()
            self.hears(a, b, "after")
            self.assertEqual(a.do(f"broadcast news {'x' * 70_000}"), "unreachable")


class Guarded(Story):
    def test_a_password(self):
        with Redis("--requirepass", SECRET) as redis:
            self.pair(redis, url=redis.url(f":{ENCODED}@"))

    def test_the_variable_says_where_it_is(self):
        with Redis("--requirepass", SECRET) as redis:
            env = {"REDIS_URL": redis.url(f":{ENCODED}@")}
            a = Node(PROGRAM, env={"NODE_NAME": "a", **env}, adapter="redis")
            self.addCleanup(a.end)
            self.assertEqual(a.do("sync"), "yes")
            self.assertEqual(a.do("node_name"), "a")

    def test_a_wrong_password_is_logged_and_tried_again(self):
        with Redis("--requirepass", "another") as redis:
            a = self.node("a", redis, url=redis.url(f":{ENCODED}@"))
            b = self.node("b", redis, url=redis.url(f":{ENCODED}@"))
            b.do("subscribe one news")
            self.assertTrue(a.logged("WRONGPASS"), a.log())
            self.is_away(a)
            self.assertEqual(self.change_password(redis, "another", SECRET), "+OK")
            self.hears(a, b, "hello")
            for node in (a, b):
                self.assertEqual(self.count(node, "redis cannot be reached pub_sub=bus"), 1)
                for form in (SECRET, ENCODED):
                    self.assertNotIn(form, node.log())

    @staticmethod
    def change_password(redis, before, after):
        with socket.create_connection(("127.0.0.1", redis.port), 5) as client:
            client.sendall(f"AUTH {before}\r\nCONFIG SET requirepass {after}\r\n".encode())
            lines = client.makefile("rb")
            return [lines.readline() for _ in range(2)][1].decode().strip()

    def test_a_user_who_may_do_nothing_else(self):
        rules = ["on", f">{SECRET}", "&roost:*", "+auth", "+ping", "+subscribe", "+unsubscribe",
                 "+publish"]
        with Redis("--user", "bob", *rules) as redis:
            self.pair(redis, url=redis.url(f"bob:{ENCODED}@"))

    def test_what_is_not_allowed_is_logged(self):
        rules = ["on", f">{SECRET}", "&roost:*", "+auth", "+ping", "+subscribe", "+unsubscribe"]
        with Redis("--user", "bob", *rules) as redis:
            a = self.node("a", redis, url=redis.url(f"bob:{ENCODED}@"))
            a.do("sync"), a.do("broadcast news x")
            self.assertTrue(a.logged("redis refuses broadcasts"), a.log())
            self.assertTrue(a.logged("NOPERM"), a.log())

    def test_tls(self):
        with Redis(tls=True) as redis:
            self.pair(redis, ca_file=redis.path("ca.pem"))

    def test_tls_with_a_certificate_that_nobody_vouches_for(self):
        with Redis(tls=True) as redis:
            a = self.node("a", redis)
            self.assertTrue(a.logged("a certificate that does not prove its name"), a.log())
            self.is_away(a)

    def test_tls_with_another_name(self):
        with Redis(tls=True) as redis:
            a = self.node("a", redis, url=redis.url().replace("localhost", "127.0.0.1"),
                          ca_file=redis.path("ca.pem"))
            self.assertTrue(a.logged("a certificate that does not prove its name"), a.log())


class Configured(Story):
    def start(self, yaml):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(yaml)
            file.flush()
            node = Node(PROGRAM, env={"NODE_NAME": ""}, adapter="configured", conf=file.name)
            self.addCleanup(node.end)
            return node

    def test_by_keys(self):
        with Redis(tls=True) as redis:
            nodes = [self.start(f"""
pub_sub:
  adapter: redis
  redis:
    url: {redis.url()}
    node_name: {name}
    pool_size: 2
    ca_file: {redis.path("ca.pem")}
""") for name in ("left", "right")]
            self.assertEqual([node.do("node_name") for node in nodes], ["left", "right"])
            a, b = nodes
            b.do("subscribe one news"), b.do("sync"), a.do("sync")
            self.hears(a, b, "hello")

    def test_what_is_wrong_is_told_with_its_line(self):
        for lines, expected in (
                ("adapter: rediss", r"pg, interest or redis, got rediss \(\S+yaml:2\)"),
                ("adapter: redis\n  redis: {pool_size: 0}", r"pool_size to be 1–64, got 0 .*yaml:3"),
                (f"adapter: redis\n  redis:\n    url: redis://:{SECRET}@h:x",
                 r"got one with a port out of 1 to 65535 \(\S+yaml:4\)")):
            with self.subTest(lines=lines), self.assertRaisesRegex(Refused, expected) as refused:
                self.start("pub_sub:\n  " + lines + "\n")
            self.assertNotIn("s3cr3t", str(refused.exception))


class Odd(Story):
    def test_a_node_needs_a_name(self):
        with self.assertRaisesRegex(Refused, "pub_sub.redis.node_name"):
            Node(PROGRAM, env={"NODE_NAME": ""}, adapter="redis", redis="redis://127.0.0.1:1")

    def test_a_url_has_a_form_and_a_wrong_one_is_not_told(self):
        for url in ("http://localhost", "redis://", "redis://host:0", "redis://host:70000",
                    f"redis://{SECRET}@host", f"redis://:{SECRET}%@host", "redis://host/x",
                    f"redis://u:{SECRET}@[::1"):
            with self.subTest(url=url), self.assertRaises(Refused) as refused:
                Node(PROGRAM, env={"NODE_NAME": "a"}, adapter="redis", redis=url)
            self.assertIn("expected a redis url to be redis[s]://", str(refused.exception))
            self.assertNotIn("s3cr3t", str(refused.exception))

    def test_what_is_malformed_is_dropped(self):
        def text(value):
            return struct.pack("<I", len(value)) + value
        def envelope(kind, payload, event=b"said", version=1):
            return (bytes([version, kind]) + bytes(8) + text(b"x") + text(b"") + text(event) +
                    text(b"") + payload)
        with Redis() as redis:
            a, b = self.pair(redis)
            for bad in (b"", b"\x01", b"\x01\x00" + b"\xff" * 40, envelope(0, b'{"text": '),
                        envelope(0, b'{"text":"wrong"}', version=2), envelope(7, b"{}"),
                        envelope(0, b'{"text":"wrong"}', event=b"\xff\xfe")):
                self.assertEqual(redis.publish("roost:bus:t:news", bad), ":1")
            # It is the form that is wrong with these.
            redis.publish("roost:bus:t:news", envelope(0, b'{"text":"right"}'))
            heard = []

            def right():
                heard.extend(b.do("heard one").split()[1:])
                return "news:right" in heard
            self.assertTrue(eventually(right), b.log())
            self.assertNotIn("news:wrong", heard)
            self.assertTrue(eventually(
                lambda: self.count(b, "dropped a malformed broadcast") == 1), b.log())
            self.assertEqual(self.statistics(b)["gaps"], 0)

    def test_nodes_of_different_pool_sizes_keep_the_order(self):
        with Redis() as redis:
            a, b = self.node("a", redis, redis_pool=1), self.node("b", redis, redis_pool=7)
            b.do("subscribe one news"), b.do("sync")
            for number in range(300):
                a.do(f"direct b news d{number}" if number % 2 else f"broadcast news d{number}")
            heard = []

            def all_came():
                heard.extend(b.do("heard one").split()[1:])
                return len(heard) >= 300
            self.assertTrue(eventually(all_came))
            self.assertEqual(heard, [f"news:d{number}" for number in range(300)])

    def listener(self, answer):
        """What says the same to everybody, and keeps the connection."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        kept = []

        def serve():
            try:
                while True:
                    kept.append(server.accept()[0])
                    kept[-1].sendall(answer)
            except OSError:
                pass
        threading.Thread(target=serve, daemon=True).start()
        return f"redis://127.0.0.1:{server.getsockname()[1]}"

    def test_what_is_no_redis_is_not_talked_to(self):
        for answer, reason in ((b"HTTP/1.1 400 Bad Request\r\n", "expected RESP, got Protocol error"),
                               (b"*2147483647\r\n", "a value beyond the limits"),
                               (b"$9223372036854775807\r\n", None),
                               (b"*1\r\n" * 20, "expected RESP, got"),
                               (b":1\r\n", "an odd answer to the login"),
                               (b"+PONG\r\n+PONG\r\n:1\r\n", "an odd answer to"),
                               (b"", "no answer to the login within 5000 ms")):
            with self.subTest(answer=answer):
                a = self.node("a", None, url=self.listener(answer))
                self.assertTrue(a.logged(reason or "no answer to the login"), a.log())
                self.is_away(a)

    def test_a_namesake_is_told_of(self):
        with Redis() as redis:
            a, b = self.node("same", redis), self.node("same", redis)
            b.do("subscribe one news"), b.do("sync")
            self.hears(a, b, "hello")
            self.assertTrue(b.logged("another program has this node's name"))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2, warnings="ignore")
