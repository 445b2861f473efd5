"""Groups and global names with real processes: usage names_test.py SAMPLE_NAMES [TEST...]"""

import os
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from nodes import Cluster, eventually  # noqa: E402

PROGRAM = sys.argv[1]


def cluster(**options):
    return Cluster(PROGRAM, **{"ticktime": 1000, **options})


def node_name(short):
    return f"{short}@127.0.0.1"


def connect(nodes):
    """Asks more than once: a node that was frozen may take a lost link for a good one at first."""
    def whole():
        for node in nodes[1:]:
            node.do(f"connect {nodes[0].name}")
        return all(
            node.list() == sorted(other.name for other in nodes if other is not node)
            for node in nodes)
    assert eventually(whole), nodes[0].log()


def split(one_side, other_side):
    """Nodes that do not connect on their own lose their links and stay apart."""
    for one in one_side:
        for other in other_side:
            one.do(f"disconnect {other.name}")
    for side, others in ((one_side, other_side), (other_side, one_side)):
        for node in side:
            gone = {other.name for other in others}
            assert eventually(lambda: not gone & set(node.list())), node.log()


def processes(node, event):
    """How many processes the events of this kind speak of."""
    return sum(int(text.split()[-1]) for _, text in node.events() if text.startswith(event))


def at_once(*jobs):
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Case(unittest.TestCase):
    def agree(self, nodes, command, wanted):
        for node in nodes:
            self.assertTrue(
                eventually(lambda: node.do(command) == wanted),
                f"{node.name} {command}: {node.do(command)} instead of {wanted}\n{node.log()}")


class Groups(Case):
    def test_members_are_seen_on_every_node(self):
        with cluster() as all:
            a, b, c = nodes = [all.start(short) for short in "abc"]
            a.do("join rooms before")
            connect(nodes)
            self.agree(nodes, "members rooms", a.name)
            self.assertEqual(c.do("watch rooms"), "1")
            b.do("join rooms one"), b.do("join rooms one"), c.do("join other two")
            self.agree(nodes, "members rooms", f"{a.name} {b.name} {b.name}")
            self.agree(nodes, "groups", "other rooms")
            a.do("send_group rooms hello")
            self.assertTrue(b.saw("message one hello"))
            b.do("leave rooms one"), b.do("end one")
            self.agree(nodes, "members rooms", a.name)
            # Changes that come together are told together.
            self.assertTrue(eventually(lambda: processes(c, "left rooms") == 2), c.events())
            self.assertEqual(processes(c, "joined rooms"), 2)

    def test_a_node_that_is_killed_takes_its_members_along(self):
        with cluster(ticktime=60000) as all:
            a, b = nodes = [all.start(short) for short in "ab"]
            connect(nodes)
            b.do("join rooms one"), a.do("join rooms two")
            self.agree(nodes, "count rooms", "2")
            a.do("watch rooms")
            killed = b.kill()
            self.assertLess(a.saw("left rooms 1") - killed, 500)
            self.assertEqual(a.do("members rooms"), a.name)
            # Under the same name again: another node.
            b = all.start("b")
            b.do("join rooms three")
            connect([a, b])
            self.agree([a, b], "members rooms", f"{a.name} {b.name}")

    def test_a_frozen_node_is_left_and_comes_back(self):
        with cluster() as all:
            a, b, c = nodes = [all.start(short) for short in "abc"]
            connect(nodes)
            for node in nodes:
                node.do("join rooms one")
            self.agree(nodes, "count rooms", "3")
            b.freeze()
            self.agree([a, c], "members rooms", f"{a.name} {c.name}")
            a.do("join rooms two"), c.do("leave rooms one")
            b.thaw()
            self.assertTrue(eventually(lambda: b.do("count rooms") == "1" or not b.list()))
            b.do("join rooms two")
            connect(nodes)
            self.agree(nodes, "members rooms", f"{a.name} {a.name} {b.name} {b.name}")

    def test_both_sides_of_a_split_go_on_and_meet_again(self):
        with cluster(auto_connect="false", connect_all="false") as all:
            a, b, c = nodes = [all.start(short) for short in "abc"]
            for one, other in ((a, b), (a, c), (b, c)):
                one.do(f"connect {other.name}")
            for node in nodes:
                node.do("join rooms one")
            self.agree(nodes, "count rooms", "3")
            for round in range(5):
                split([a], [b, c])
                self.agree([a], "members rooms", a.name)
                self.agree([b, c], "members rooms", f"{b.name} {c.name}")
                a.do(f"join split{round} one"), b.do(f"join split{round} one")
                self.agree([a], f"members split{round}", a.name)
                self.agree([c], f"members split{round}", b.name)
                a.do(f"connect {b.name}"), a.do(f"connect {c.name}")
                self.agree(nodes, "count rooms", "3")
                self.agree(nodes, f"members split{round}", f"{a.name} {b.name}")

    def test_nothing_is_passed_on(self):
        with cluster(auto_connect="false", connect_all="false") as all:
            a, b, c = (all.start(short) for short in "abc")
            a.do(f"connect {b.name}"), b.do(f"connect {c.name}")
            for node in (a, b, c):
                node.do("join rooms one")
            self.agree([b], "members rooms", f"{a.name} {b.name} {c.name}")
            self.agree([a], "members rooms", f"{a.name} {b.name}")
            self.agree([c], "members rooms", f"{b.name} {c.name}")

    def test_a_hundred_thousand_members(self):
        with cluster(ticktime=4000) as all:
            a, b = nodes = [all.start(short) for short in "ab"]
            a.do("join_many big 90000 1", 60), a.do("join_many small 10000 1000", 60)
            connect(nodes)
            self.assertTrue(eventually(lambda: b.do("count big0") == "90000", 30), b.log())
            self.assertTrue(eventually(lambda: len(b.do("groups").split()) == 1001, 30))
            b.do("join big0 one")
            self.assertTrue(eventually(lambda: a.do("count big0") == "90001", 30))
            b.do("watch big0")
            a.kill()
            self.assertTrue(eventually(lambda: b.do("count big0") == "1"), b.log())
            self.assertTrue(eventually(lambda: b.do("groups") == "big0"))

    def test_a_scope_that_crashes_is_in_step_again(self):
        with cluster() as all:
            a, b = nodes = [all.start(short) for short in "ab"]
            connect(nodes)
            a.do("join rooms one"), b.do("join rooms one")
            self.agree(nodes, "count rooms", "2")
            for _ in range(10):
                a.do("crash_scope")
                self.agree(nodes, "members rooms", f"{a.name} {b.name}")
            a.do("leave rooms one"), b.do("join rooms two")
            self.agree(nodes, "members rooms", f"{b.name} {b.name}")


class Names(Case):
    def test_a_name_is_known_everywhere(self):
        with cluster() as all:
            a, b, c = nodes = [all.start(short) for short in "abc"]
            connect(nodes)
            self.assertEqual(a.do("register lobby one"), "yes")
            for node in nodes:
                self.assertEqual(node.do("whereis lobby"), a.name)  # at once: it is agreed on
                self.assertEqual(node.do("register lobby two"), "no")
                self.assertEqual(node.do("ask lobby"), f"one on {a.name}")
            # A process of another node is registered by that node.
            self.assertEqual(c.do("register_owner_of lobby hall"), "yes")
            self.agree(nodes, "names", "hall lobby")
            b.do("tell hall hello")
            self.assertTrue(a.saw("message one hello"))
            b.do("unregister lobby")
            self.agree(nodes, "names", "hall")
            a.do("end one")
            self.agree(nodes, "names", "")
            self.assertEqual(c.do("register hall three"), "yes")
            self.assertEqual(a.do("re_register hall two"), "yes")
            self.agree(nodes, "whereis hall", a.name)
            self.assertEqual(c.do("alive three"), "yes")

    def test_a_server_is_started_once_in_the_cluster(self):
        with cluster() as all:
            a, b = nodes = [all.start(short) for short in "ab"]
            connect(nodes)
            self.assertTrue(a.do("start lobby first").startswith("<"))
            self.assertEqual(b.do("start lobby second"), f"already_started {a.name}")
            self.assertEqual(b.do("ask lobby"), f"first on {a.name}")
            a.kill()
            self.agree([b], "whereis lobby", "nobody")
            self.assertTrue(b.do("start lobby second").startswith("<"))

    def test_of_two_nodes_that_race_one_gets_the_name(self):
        with cluster() as all:
            a, b, c = nodes = [all.start(short) for short in "abc"]
            connect(nodes)
            won = {}

            def race(node):
                won[node.name] = node.do("race name 200", 60).split()

            at_once(*(lambda node=node: race(node) for node in nodes))
            everybody = sum(won.values(), [])
            self.assertEqual(sorted(everybody), sorted(f"name{i}" for i in range(200)))
            for node in nodes:
                for name in won[node.name][:20]:
                    self.agree(nodes, f"whereis {name}", node.name)
                self.assertNotIn("conflict", node.log())

    def test_names_of_a_node_that_is_killed_are_free(self):
        with cluster(ticktime=60000) as all:
            a, b, c = nodes = [all.start(short) for short in "abc"]
            connect(nodes)
            b.do("race name 50")
            self.agree(nodes, "whereis name49", b.name)
            b.kill()
            self.agree([a, c], "names", "")
            self.assertEqual(a.do("register name49 one"), "yes")
            b = all.start("b")
            connect([a, b, c])
            self.agree([b], "whereis name49", a.name)
            self.assertEqual(b.do("register name49 one"), "no")

    def test_a_frozen_node_holds_up_nobody_for_longer_than_its_ticks(self):
        with cluster() as all:
            a, b, c = nodes = [all.start(short) for short in "abc"]
            connect(nodes)
            self.assertEqual(b.do("register lobby one"), "yes")
            b.freeze()
            began = time.monotonic()
            self.assertEqual(a.do("register hall one"), "yes")
            self.assertLess(time.monotonic() - began, 3)
            self.agree([a, c], "names", "hall")
            self.assertEqual(c.do("register lobby two"), "yes")
            b.thaw()
            connect(nodes)
            # Both have it: one of them is killed.
            self.assertTrue(eventually(
                lambda: len({node.do("whereis lobby") for node in nodes}) == 1))
            self.assertTrue(eventually(
                lambda: sorted([b.do("alive one"), c.do("alive two")]) == ["no", "yes"]))
            self.agree(nodes, "names", "hall lobby")

    def test_nothing_hangs_while_a_node_is_frozen_and_not_noticed(self):
        with cluster(ticktime=60000) as all:
            a, b = nodes = [all.start(short) for short in "ab"]
            connect(nodes)
            b.freeze()
            began = time.monotonic()
            self.assertEqual(a.do("register lobby one"), "failed: timeout")
            self.assertLess(time.monotonic() - began, 14)
            b.thaw()
            self.assertTrue(eventually(lambda: a.do("register lobby one") == "yes"))
            self.agree(nodes, "whereis lobby", a.name)

    def test_conflicts_after_a_split(self):
        with cluster(auto_connect="false", connect_all="false") as all:
            a, b, c = nodes = [all.start(short) for short in "abc"]
            for round in range(3):
                kill, notify, both, own = (
                    f"{word}{round}" for word in ("kill", "notify", "both", "own"))
                for node in nodes:
                    self.assertEqual(node.do(f"register {kill} {kill}"), "yes")
                    self.assertEqual(
                        node.do(f"register {notify} {notify} random_notify_name"), "yes")
                    self.assertEqual(node.do(f"register {own} {own} first_node"), "yes")
                for node in (b, c):
                    self.assertEqual(node.do(f"register {both} {both} notify_all_name"), "yes")
                for one, other in ((a, b), (a, c), (b, c)):
                    one.do(f"connect {other.name}")
                for name in (kill, notify, own):
                    self.assertTrue(eventually(
                        lambda: len({node.do(f"whereis {name}") for node in nodes}) == 1))
                    self.assertIn(a.do(f"whereis {name}"), [node.name for node in nodes])
                self.agree(nodes, f"whereis {both}", "nobody")
                self.agree(nodes, f"whereis {own}", a.name)
                self.assertTrue(eventually(
                    lambda: [node.do(f"alive {kill}") for node in nodes].count("yes") == 1))
                owner = a.do(f"whereis {kill}")
                for node in nodes:
                    node.events()
                    self.assertEqual(node.do(f"alive {kill}") == "yes", node.name == owner)
                self.assertTrue(eventually(lambda: sum(
                    node.events() is not None and node.count(f"conflict {notify}")
                    for node in nodes) == 2))
                self.assertTrue(eventually(lambda: sum(
                    node.events() is not None and node.count(f"conflict {both}")
                    for node in nodes) == 2))
                split([a], [b, c]), split([b], [c])

    def test_locks(self):
        with cluster() as all:
            a, b, c = nodes = [all.start(short) for short in "abc"]
            connect(nodes)
            self.assertEqual(a.do("lock printer one 0"), "yes")
            self.assertEqual(b.do("lock printer two 0"), "no")
            a.do("unlock printer one")
            self.assertTrue(eventually(lambda: b.do("lock printer two 0") == "yes"))
            answers = []
            waiting = threading.Thread(
                target=lambda: answers.append(c.do("lock printer three 1000")))
            waiting.start()
            b.kill()
            waiting.join()
            self.assertEqual(answers, ["yes"])
            c.do("end three")
            self.assertTrue(eventually(lambda: a.do("lock printer one 0") == "yes"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
