"""Five nodes in network namespaces of their own, split and healed under load; groups, global names and
tables change on both sides meanwhile: usage partition_test.py SAMPLE_NODE. Twice for 3 s; with
ROOST_LONG=1 ten times for 10 s. Needs to be root, else it is skipped."""

import os
import random
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from namespaces import Network, can_make_namespaces  # noqa: E402
from nodes import Cluster, eventually  # noqa: E402

PROGRAM = sys.argv[1]
LONG = os.environ.get("ROOST_LONG") == "1"
SPLITS, SECONDS = (10, 10) if LONG else (2, 3)
NODES = 5


class Partitions(unittest.TestCase):
    def test_splits_heal(self):
        if not can_make_namespaces():
            self.skipTest("network namespaces can be made by root only")
        seed = int(time.time())
        print("seed", seed)
        shapes = random.Random(seed)
        with Network(NODES) as network, Cluster(PROGRAM, ticktime=1000, setuptime=1000) as all:
            nodes = network.start(all)
            names = [node.name for node in nodes]
            def whole():
                return all_equal(nodes, lambda node: set(names) - {node.name})
            self.assertTrue(eventually(whole), [node.log() for node in nodes])
            for node in nodes:
                node.do("serve sink")
            for node in nodes:
                for other in names:
                    if other != node.name:
                        node.do(f"trickle sink {other} 2")
            for node in nodes:
                node.do("open")
                node.do("join room")
            self.assertTrue(eventually(lambda: agree(nodes, "members room", names)))
            members = list(names)
            for round in range(SPLITS):
                others = shapes.sample(range(NODES), 2)
                network.split(others)
                def apart():
                    far = {names[i] for i in others}
                    return all_equal(nodes, lambda node: (
                        far if node.name in far else set(names) - far) - {node.name})
                self.assertTrue(eventually(apart, 5), [node.list() for node in nodes])
                far = nodes[others[0]]
                near = next(node for i, node in enumerate(nodes) if i not in others)
                members += self.change_both_sides(near, far, round)
                time.sleep(max(0, SECONDS - 2))  # the cut itself is what is tested
                network.heal()
                healed = time.monotonic()
                self.assertTrue(eventually(whole, 15), [node.list() for node in nodes])
                took = time.monotonic() - healed
                converged = self.check_shared(nodes, members, round)
                print(f"split off {sorted(others)}: whole again after {took:.2f} s, groups, names "
                      f"and tables the same after {converged - healed:.2f} s")
                self.assertLess(took, 3 * 5)
                before = [stats(node)["count"] for node in nodes]
                self.assertTrue(eventually(lambda: flows(nodes, before)))
            for node in nodes:
                self.assertIsNone(node.process.poll())
                self.assertEqual(stats(node)["disorder"], 0, stats(node))

    def change_both_sides(self, near, far, round):
        """Each side is sure of what only one of them can have; answers who has joined the group."""
        for node in (near, far):
            node.do("join room")
            self.assertEqual(node.do(f"register leader{round}"), "yes", node.log())
            node.do(f"put {round} {node.options['name']}")
            self.assertEqual(node.do(f"owner leader{round}"), node.name)
        return [near.name, far.name]

    def check_shared(self, nodes, members, round):
        """All nodes agree on groups, names and tables, and one of two owners was told; answers when."""
        self.assertTrue(eventually(lambda: agree(nodes, "members room", members)),
                        [node.do("members room") for node in nodes])
        def owners():
            return {node.do(f"owner leader{round}") for node in nodes}
        self.assertTrue(eventually(lambda: len(owners()) == 1 and owners() != {"nobody"}), owners())
        def rows():
            return {node.do("rows") for node in nodes}
        self.assertTrue(eventually(lambda: len(rows()) == 1), rows())
        at = time.monotonic()
        def told():
            return sum(node.count(f"lost leader{round}") for node in nodes) == 1
        self.assertTrue(eventually(told), [node.events()[-5:] for node in nodes])
        return at


def agree(nodes, command, expected):
    return every(sorted(node.do(command).split()[1:]) == sorted(expected) for node in nodes)


def all_equal(nodes, expected):
    return every(set(node.list()) == expected(node) for node in nodes)


def every(values):
    for value in values:
        if not value:
            return False
    return True


def stats(node):
    return {key: int(value) for key, value in
            (word.split("=") for word in node.do("stats sink").split())}


def flows(nodes, before):
    return every(stats(node)["count"] > count + 100 for node, count in zip(nodes, before))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2, warnings="ignore")
