"""Presences of real nodes that come, go and die: usage presence_test.py SAMPLE ADAPTER"""

import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "distribution"))
from namespaces import Network, can_make_namespaces  # noqa: E402
from nodes import Cluster, eventually  # noqa: E402

PROGRAM, ADAPTER = sys.argv[1:3]
LONG = "ROOST_LONG" in os.environ
NAMES = [f"{short}@127.0.0.1" for short in "abc"]


OPTIONS = {}


def setUpModule():
    if ADAPTER == "redis":
        from redis_server import Redis
        OPTIONS["redis"] = unittest.enterModuleContext(Redis()).url()


def cluster(**options):
    return Cluster(PROGRAM, adapter=ADAPTER, ticktime=1000, **OPTIONS, **options)


def start(all, short):
    return all.start(short, wants=NAMES)


def nodes_of(all, shorts):
    nodes = [start(all, short) for short in shorts]
    assert eventually(lambda: sum(len(node.list()) == len(nodes) - 1 for node in nodes)
                      == len(nodes))
    return nodes


def present(node, topic):
    return node.do(f"present {topic}").split()[1:]


def sees(node, topic, *keys, limit=15):
    return eventually(lambda: present(node, topic) == sorted(keys), limit)


def consistent(node):
    """handle_diff was told exactly what can be listed."""
    return eventually(lambda: node.do("told") == f"{node.do('count')} 0")


class Presence(unittest.TestCase):
    def test_a_join_and_a_leave_are_seen_by_others_at_once(self):
        with cluster() as all:
            a, b = nodes_of(all, "ab")
            a.do("join room first")
            self.assertTrue(sees(b, "room", "first"))
            took = []
            for number in range(5):
                at = float(a.do(f"join room k{number}"))
                seen = b.saw(f"join room k{number}")
                self.assertIsNotNone(seen)
                took.append(seen - at)
                self.assertTrue(sees(b, "room", "first", *[f"k{i}" for i in range(number + 1)]))
            print(f"{ADAPTER}: joins seen after {sorted(round(t) for t in took)} ms")
            self.assertLess(max(took), 1600)
            a.do("leave room first"), a.do("end k0")
            self.assertTrue(sees(b, "room", "k1", "k2", "k3", "k4", limit=1.6))
            self.assertTrue(consistent(a) and consistent(b))

    def test_several_shards_share_the_topics(self):
        with cluster(pool=4) as all:
            a, b = nodes_of(all, "ab")
            for number in range(20):
                (a, b)[number % 2].do(f"join room{number} key")
            for number in range(20):
                for node in (a, b):
                    self.assertTrue(sees(node, f"room{number}", "key"), node.log())
            b.kill()
            self.assertTrue(eventually(lambda: a.do("count") == "10"))
            self.assertTrue(consistent(a))

    def test_whoever_comes_later_gets_all(self):
        with cluster() as all:
            a, = nodes_of(all, "a")
            a.do("quiet"), a.do("join_many 20000 50")
            b = start(all, "b")
            b.do("quiet")
            begin = time.monotonic()
            self.assertTrue(eventually(lambda: b.do("count") == "20000", 30), b.log())
            print(f"{ADAPTER}: 20,000 presences fetched {time.monotonic() - begin:.2f} s after start")
            self.assertEqual(b.do("count t7"), "400")
            self.assertTrue(consistent(b))

    def test_those_of_a_killed_node_are_gone_within_a_second(self):
        with cluster() as all:
            a, b = nodes_of(all, "ab")
            took = []
            for _ in range(5):
                b.do("join room gone"), b.do("join room gone2"), a.do("join room stays")
                self.assertTrue(sees(a, "room", "gone", "gone2", "stays"))
                before = a.count("leave room gone2")
                at = b.kill()
                self.assertTrue(eventually(lambda: a.count("leave room gone2") > before))
                took.append([t for t, event in a.events()
                             if event.startswith("leave room gone2")][-1] - at)
                self.assertTrue(sees(a, "room", "stays"))
                b = start(all, "b")
                self.assertTrue(sees(b, "room", "stays"))
            print(f"{ADAPTER}: those of a killed node gone after {sorted(round(t) for t in took)} ms")
            self.assertLess(max(took), 1000)
            self.assertTrue(consistent(a) and consistent(b))

    def test_a_frozen_node_is_hidden_and_comes_back(self):
        with cluster() as all:
            a, b, c = nodes_of(all, "abc")
            for node, key in ((a, "a"), (b, "b"), (c, "c")):
                node.do(f"join room {key}")
            for node in (a, b, c):
                self.assertTrue(sees(node, "room", "a", "b", "c"))
            c.freeze()
            self.assertTrue(sees(a, "room", "a", "b") and sees(b, "room", "a", "b"))
            a.do("leave room a"), b.do("join room b2")
            c.thaw()
            for node in (a, b, c):
                self.assertTrue(sees(node, "room", "b", "b2", "c"), node.log())
                self.assertTrue(consistent(node))

    @unittest.skipUnless(ADAPTER == "redis", "needs links")
    def test_nodes_without_links_see_each_other_and_say_goodbye(self):
        with cluster() as all:
            a, b = (all.start(short) for short in "ab")
            a.do("join room one"), b.do("join room two")
            for node in (a, b):
                self.assertTrue(sees(node, "room", "one", "two"), node.log())
                self.assertEqual(node.list(), [])
            b.leave()
            self.assertTrue(sees(a, "room", "one", limit=1.6), a.log())

    @unittest.skipIf(ADAPTER == "redis", "what matters there is who reaches Redis")
    def test_each_side_of_a_split_sees_itself_and_all_see_all_once_it_is_whole(self):
        if not can_make_namespaces():
            self.skipTest("network namespaces can be made by root only")
        with Network(5) as network, cluster() as all:
            nodes = network.start(all)
            for i, node in enumerate(nodes):
                node.do(f"join room p{i}")
            for node in nodes:
                self.assertTrue(sees(node, "room", *(f"p{i}" for i in range(5))), node.log())
            network.split([3, 4])
            for node in nodes[:3]:
                self.assertTrue(sees(node, "room", "p0", "p1", "p2"), node.log())
            for node in nodes[3:]:
                self.assertTrue(sees(node, "room", "p3", "p4"), node.log())
            nodes[0].do("leave room p0"), nodes[1].do("join room near")
            nodes[3].do("leave room p3"), nodes[4].do("join room far")
            network.heal()
            for node in nodes:
                self.assertTrue(
                    sees(node, "room", "p1", "p2", "p4", "near", "far"), node.log())
                self.assertTrue(consistent(node))

    def test_rolling_restarts_leave_nobody_behind(self):
        with cluster() as all:
            nodes = nodes_of(all, "abc")
            expected = set()
            for index, node in enumerate(nodes):
                node.do(f"join room n{index}-0")
                expected.add(f"n{index}-0")
            for number in range(50 if LONG else 6):
                index = number % 3
                for node in nodes:
                    self.assertTrue(sees(node, "room", *expected), node.log())
                # Every other one says goodbye.
                nodes[index].leave() if number % 2 else nodes[index].kill()
                nodes[index] = start(all, "abc"[index])
                expected = {key for key in expected if not key.startswith(f"n{index}-")}
                key = f"n{index}-{number + 1}"
                nodes[index].do(f"join room {key}")
                expected.add(key)
            for node in nodes:
                self.assertTrue(sees(node, "room", *expected), node.log())
                self.assertTrue(consistent(node))

    def test_memory_stays_as_it_is_however_many_come_and_go(self):
        with cluster() as all:
            a, b = nodes_of(all, "ab")
            for node in (a, b):
                node.do("quiet")
            count = 1_000_000 if LONG else 100_000
            a.do(f"churn {count // 2} 1000", 120)
            self.assertTrue(eventually(lambda: b.do("count") == "0"))
            before = a.memory(), b.memory()
            a.do(f"churn {count} 1000", 240)
            a.do("join room end")
            self.assertTrue(sees(b, "room", "end"))
            after = a.memory(), b.memory()
            print(f"{ADAPTER}: {count} joins and leaves: {before} → {after} kB")
            for was, now in zip(before, after):
                self.assertLess(now, was * 1.15 + 4000)
            self.assertTrue(consistent(a) and consistent(b))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], warnings="ignore")
