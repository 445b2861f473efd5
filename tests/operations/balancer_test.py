"""A balancer in front of three nodes: usage balancer_test.py CONFORMANCE haproxy|nginx."""

import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from balancers import (  # noqa: E402
    BALANCERS, Stream, WebSocket, eventually, name_of, start_nodes)

KIND = sys.argv[2]
HAPROXY = KIND == "haproxy"


class Balanced(unittest.TestCase):
    def setUp(self):
        self.nodes = start_nodes()
        for node in self.nodes:
            self.addCleanup(node.stop)
        self.names = {name_of(node) for node in self.nodes}
        self.balancer = BALANCERS[KIND](self.nodes)
        self.addCleanup(self.balancer.stop)
        self.assertTrue(eventually(lambda: self.balancer.nodes() == self.names))

    def socket(self, **options):
        socket = WebSocket(self.balancer.port, **options)
        self.addCleanup(socket.close)
        return socket

    def sockets_on_all(self):
        """Node name → a WebSocket there."""
        found = {}
        for i in range(60):
            socket = self.socket(source=f"127.4.0.{i + 1}")
            found.setdefault(socket.node, socket)
        self.assertEqual(set(found), self.names)
        return found

    def test_the_same_client_comes_back_to_the_same_node(self):
        for i in range(10):
            source = f"127.5.0.{i + 1}"
            _, headers, first = self.balancer.ask(source=source)
            cookie = {"Cookie": headers["set-cookie"].split(";")[0]} if HAPROXY else {}
            for _ in range(5):
                again = self.balancer.ask(source=source, headers=cookie)[2]
                self.assertEqual(again["node"], first["node"])
            line = "".join(f"{name}: {value}\r\n" for name, value in cookie.items())
            self.assertEqual(self.socket(source=source, headers=line).node, first["node"])

    def test_nodes_know_the_client_whatever_it_says(self):
        forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        status, _, answer = self.balancer.ask(source="127.6.7.8", headers=forged)
        self.assertEqual((status, answer["peer"]), (200, "127.6.7.8"))
        self.assertEqual(self.balancer.ask("/metrics")[0], 404)

    def test_a_client_of_a_drained_node_lands_on_another_one(self):
        source = "127.5.1.1"
        _, headers, answer = self.balancer.ask(source=source)
        line = f"Cookie: {headers['set-cookie'].split(';')[0]}\r\n" if HAPROXY else ""
        (drained,) = [node for node in self.nodes if name_of(node) == answer["node"]]
        before = self.socket(source=source, headers=line)
        self.assertEqual(before.node, answer["node"])
        # Without a delay, so the balancer may not have noticed yet: the node says 503 to the socket.
        self.assertEqual(drained.command("drain").returncode, 0)
        self.assertTrue(before.ends_within(5))
        for _ in range(5):
            after = self.socket(source=source, headers=line)
            self.assertEqual(after.status, 101)
            self.assertIn(after.node, self.names - {answer["node"]})
        self.assertEqual(self.balancer.ask(source=source)[0], 200)

    def test_a_killed_node_leaves_the_pool_and_comes_back(self):
        sockets = self.sockets_on_all()
        stream = Stream(self.balancer)
        killed, name = self.nodes[1], name_of(self.nodes[1])
        begin = time.monotonic()
        killed.kill()
        # Its WebSockets end at once, so the clients know; the others are left alone.
        self.assertTrue(sockets[name].ends_within(5))
        self.assertTrue(eventually(lambda: self.balancer.nodes() == self.names - {name}))
        away = time.monotonic() - begin
        for other in self.names - {name}:
            self.assertFalse(sockets[other].ends_within(0.1))
        killed.start()
        self.assertTrue(eventually(lambda: name in self.balancer.nodes(), 20))
        stream.stop()
        print(f"{KIND}: kill -9: out of the pool within {away:.1f} s; {len(stream.errors)} errors "
              f"of {stream.count} requests {sorted(set(stream.errors))}, "
              f"the slowest {stream.slowest:.2f} s")
        # What was under way in the node when it died is lost: a POST must not be sent twice.
        self.assertLessEqual(len(stream.errors), 3)

    def test_a_frozen_node_leaves_the_pool_and_comes_back(self):
        sockets = self.sockets_on_all()
        frozen, name = self.nodes[2], name_of(self.nodes[2])
        stream = Stream(self.balancer)
        begin = time.monotonic()
        frozen.process.send_signal(signal.SIGSTOP)
        self.addCleanup(frozen.process.send_signal, signal.SIGCONT)
        if HAPROXY:
            self.assertTrue(sockets[name].ends_within(15))
        # NGINX finds out by a request that gets no answer within proxy_read_timeout.
        self.assertTrue(eventually(
            lambda: self.balancer.nodes() == self.names - {name}, 10 if HAPROXY else 40))
        away = time.monotonic() - begin
        frozen.process.send_signal(signal.SIGCONT)
        self.assertTrue(eventually(lambda: name in self.balancer.nodes(), 20))
        stream.stop()
        print(f"{KIND}: SIGSTOP: out of the pool within {away:.1f} s; {len(stream.errors)} errors "
              f"of {stream.count} requests {sorted(set(stream.errors))}, "
              f"the slowest {stream.slowest:.2f} s")
        # One for each that was under way in the frozen node.
        self.assertLessEqual(len(stream.errors), 3)
        for other in self.names - {name}:
            self.assertFalse(sockets[other].ends_within(0.1))


@unittest.skipUnless(HAPROXY, "open-source NGINX sends no PROXY header to web servers")
class ProxyProtocol(unittest.TestCase):
    def test_the_client_is_who_the_header_says(self):
        nodes = start_nodes()
        for node in nodes:
            self.addCleanup(node.stop)

        def change(text):
            changed = text.replace("  option forwardfor\n", "").replace(
                "default-server check", "default-server send-proxy-v2 check-send-proxy check")
            self.assertNotEqual(changed, text)
            return changed

        # Whether a node serves is asked directly, so this is switched on only after the start.
        for node in nodes:
            node.arguments += ["--set", "endpoint.http.proxy_protocol=true"]
            node.answers = lambda: True
            node.stop_process()
            node.start()
        balancer = BALANCERS[KIND](nodes, change)
        self.addCleanup(balancer.stop)
        names = {name_of(node) for node in nodes}
        self.assertTrue(eventually(lambda: balancer.nodes() == names))
        forged = {"X-Forwarded-For": "203.0.113.9"}
        answer = balancer.ask(source="127.6.7.9", headers=forged)[2]
        self.assertEqual(answer["peer"], "127.6.7.9")
        self.assertEqual(WebSocket(balancer.port).status, 101)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=0)
