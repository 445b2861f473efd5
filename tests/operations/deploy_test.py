"""Deploys under load: usage deploy_test.py CONFORMANCE haproxy|nginx rolling|blue_green.

1,000 phoenix.js clients ($ROOST_HERD), each joined to a channel, and a steady stream of requests stay
while all nodes are exchanged. How long each client was away is printed, and how many requests failed.
"""

import collections
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from balancers import (  # noqa: E402
    BALANCERS, Herd, Stream, eventually, name_of, start_nodes)

KIND = sys.argv[2]
HERD = int(os.environ.get("ROOST_HERD", "1000"))
POLLS = 20
# What a client may be away: phoenix.js comes back after 10 ms, and on a busy machine a third of the
# clients connects and joins at the same time.
WORST = 5.0
# Blue and green are two clusters; the secret lets each know the other's tokens of long polling.
SETTINGS = ["endpoint.drainer.delay=3s", "logger.level=error",
            "endpoint.secret_key_base=" + "blue and green share this one " * 3]


def shares(numbers, bounds=(25, 50, 100, 250, 500, 1000, 2000, 5000)):
    """How many are up to each bound, as text."""
    counts = collections.Counter(
        next((bound for bound in bounds if number <= bound), None) for number in numbers)
    parts = [f"≤{bound} ms: {counts[bound]}" for bound in bounds if counts[bound]]
    return ", ".join(parts + ([f"more: {counts[None]}"] if counts[None] else []))


class Deploy(unittest.TestCase):
    def setUp(self):
        self.nodes = start_nodes(settings=SETTINGS)
        self.addCleanup(lambda: [node.stop() for node in self.nodes])
        self.balancer = BALANCERS[KIND](self.nodes)
        self.addCleanup(self.balancer.stop)
        self.wait_for(self.nodes)
        self.herd = Herd(self.balancer.port, HERD, polls=POLLS)
        self.addCleanup(self.herd.stop)
        self.stream = Stream(self.balancer)
        self.begin = time.monotonic()

    def wait_for(self, nodes):
        names = {name_of(node) for node in nodes}
        self.assertTrue(eventually(lambda: self.balancer.nodes() == names, 20))

    def drain(self, node):
        answer = node.command("drain")
        self.assertEqual((answer.returncode, answer.stdout), (0, "conformance: drained\n"),
                         answer.stderr + node.text())

    def check_what_clients_saw(self, what):
        self.assertTrue(eventually(lambda: self.herd.joined() == self.herd.count, 20),
                        f"{self.herd.joined()} of {self.herd.count} are joined")
        self.assertEqual(self.herd.answered(), self.herd.count)
        seconds = time.monotonic() - self.begin
        self.stream.stop()
        report = self.herd.report()
        outages = report["outages"]
        codes = collections.Counter(report["codes"])
        retries = report["tries"] - HERD - codes[1012]
        print(f"{KIND}, {what}: {self.herd.count} clients, {seconds:.0f} s, all back and joined\n"
              f"  away {len(outages)} times; {shares(outages)}\n"
              f"  median {outages[len(outages) // 2]} ms, worst {outages[-1]} ms; close codes "
              f"{dict(codes)}; {retries} connections tried in vain\n"
              f"  {len(self.stream.errors)} errors of {self.stream.count} requests "
              f"{dict(collections.Counter(self.stream.errors))}, the slowest "
              f"{self.stream.slowest:.2f} s; {self.stream.resent} sent again", flush=True)
        self.assertEqual(self.stream.errors, [])
        # At a reload NGINX closes the connections that its clients keep.
        self.assertLessEqual(self.stream.resent, 2 if KIND == "nginx" else 0)
        self.assertGreaterEqual(codes[1012], HERD)
        self.assertEqual(retries, 0)
        self.assertLess(outages[-1], WORST * 1000)

    @unittest.skipUnless(sys.argv[3] == "rolling", "not asked for")
    def test_one_node_after_the_other_is_restarted(self):
        for node in self.nodes:
            self.drain(node)
            answer = node.command("stop")
            self.assertEqual(answer.returncode, 0, answer.stderr + node.text())
            node.process.wait(10)
            node.start()
            self.assertTrue(eventually(lambda: node.get("/ready")[0] == 200))
        self.check_what_clients_saw("rolling restart")

    @unittest.skipUnless(sys.argv[3] == "blue_green", "not asked for")
    def test_a_second_set_of_nodes_takes_over(self):
        blue, green = self.nodes, start_nodes("def", SETTINGS)
        self.nodes = blue + green
        self.balancer.reload(green)
        # The old process of the balancer keeps its WebSockets until their nodes drain.
        self.wait_for(green)
        for node in blue:
            self.drain(node)
        for node in blue:
            self.assertEqual(node.stats()["sockets"], 0)
            self.assertEqual(node.command("stop").returncode, 0)
        self.check_what_clients_saw("blue-green")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=0)
