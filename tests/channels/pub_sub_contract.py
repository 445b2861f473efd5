"""What every adapter of pub_sub has to do, with real nodes: usage pub_sub_contract.py SAMPLE ADAPTER

For redis it starts a Redis of its own; what only redis has to do is in redis_adapter_test.py.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "distribution"))
from namespaces import Network, can_make_namespaces  # noqa: E402
from nodes import Cluster, eventually  # noqa: E402

PROGRAM, ADAPTER = sys.argv[1:3]
NAMES = [f"{short}@127.0.0.1" for short in "abc"]
OPTIONS = {}


def setUpModule():
    if ADAPTER == "redis":
        from redis_server import Redis
        OPTIONS["redis"] = unittest.enterModuleContext(Redis()).url()


def cluster(**options):
    options = {**OPTIONS, **options}
    return Cluster(PROGRAM, adapter=ADAPTER, ticktime=1000, **options)


def start(all, short):
    return all.start(short, wants=NAMES)


def three(all):
    nodes = [start(all, short) for short in "abc"]
    assert eventually(lambda: every(len(node.list()) == 2 for node in nodes))
    return nodes


def every(values):
    for value in values:
        if not value:
            return False
    return True


def know(*nodes):
    """Until what each subscribes to is known to all."""
    for node in nodes:
        node.do("sync")


def hears(test, node, label, *expected):
    """Waits for these, in this order, and nothing else before them."""
    got = []

    def enough():
        got.extend(node.do(f"heard {label}").split()[1:])
        return len(got) >= len(expected)
    eventually(enough)
    test.assertEqual(got, list(expected), node.log())


def statistics(node):
    return {key: int(value) for key, value in
            (word.split("=") for word in node.do("statistics").split())}


class Contract(unittest.TestCase):
    def test_everybody_who_subscribes_hears_it_once(self):
        with cluster() as all:
            a, b, c = three(all)
            a.do("subscribe one news"), b.do("subscribe one news"), b.do("subscribe two news")
            c.do("subscribe one other")
            know(a, b, c)
            # One after the other: between the broadcasts of two nodes there is no order.
            for node, text in ((a, "hello"), (c, "again")):
                self.assertEqual(node.do(f"broadcast news {text}"), "ok")
                hears(self, a, "one", f"news:{text}")
                hears(self, b, "one", f"news:{text}")
                hears(self, b, "two", f"news:{text}")
            c.do("broadcast other end")
            hears(self, c, "one", "other:end")

    def test_subscribing_twice_is_hearing_twice_and_unsubscribing_is_once(self):
        with cluster() as all:
            a, b, _ = three(all)
            for _ in range(2):
                b.do("subscribe one news")
            know(b)
            a.do("broadcast news hello")
            hears(self, b, "one", "news:hello", "news:hello")
            b.do("unsubscribe one news"), b.do("subscribe one end"), know(b)
            a.do("broadcast news lost"), a.do("broadcast end x")
            hears(self, b, "one", "end:x")

    def test_whoever_has_ended_hears_nothing_and_is_in_nobodys_way(self):
        with cluster() as all:
            a, b, _ = three(all)
            b.do("subscribe one news"), b.do("subscribe two news"), know(b)
            b.do("end one")
            a.do("broadcast news hello")
            hears(self, b, "two", "news:hello")
            b.do("end two")
            def unwanted_or_unsent():
                before = statistics(b)
                a.do("broadcast news nobody"), a.do("direct b@127.0.0.1 end x")
                eventually(lambda: statistics(b)["received"] > before["received"])
                return statistics(b)["unwanted"] >= before["unwanted"]
            self.assertTrue(unwanted_or_unsent())

    def test_the_sender_is_left_out_if_it_wants(self):
        with cluster() as all:
            a, b, _ = three(all)
            a.do("subscribe me news"), a.do("subscribe you news"), b.do("subscribe one news")
            know(a, b)
            a.do("from me news hello"), a.do("broadcast news end")
            hears(self, a, "me", "news:end")
            hears(self, a, "you", "news:hello", "news:end")
            hears(self, b, "one", "news:hello", "news:end")

    def test_one_node_alone_can_be_meant(self):
        with cluster() as all:
            nodes = a, b, c = three(all)
            for node in nodes:
                node.do("subscribe one news")
            know(*nodes)
            names = [node.do("node_name") for node in nodes]
            self.assertEqual(len(set(names)), 3)
            a.do("local news here")
            self.assertEqual(a.do(f"direct {names[1]} news there"), "ok")
            self.assertEqual(a.do(f"direct {names[0]} news self"), "ok")
            a.do("broadcast news end")
            hears(self, a, "one", "news:here", "news:self", "news:end")
            hears(self, b, "one", "news:there", "news:end")
            hears(self, c, "one", "news:end")

    def test_bytes_and_long_texts_arrive_as_they_were(self):
        with cluster() as all:
            a, b, _ = three(all)
            b.do("subscribe one news"), know(b)
            long = "x" * 300_000
            a.do("binary news bytes"), a.do(f"broadcast news {long}"), a.do("broadcast news ünï")
            hears(self, b, "one", "news:bytes", "news:" + long, "news:ünï")

    def test_each_senders_order_is_kept(self):
        for pool in (1, 3):
            with self.subTest(pool=pool), cluster(pool=pool) as all:
                nodes = a, b, c = three(all)
                for node in nodes:
                    node.do("subscribe one counted")
                know(*nodes)
                for node in nodes:
                    node.do("count counted 4 1000")
                for node in nodes:
                    self.assertTrue(eventually(
                        lambda: node.do("disorder one").split()[0] == "12000", 30), node.log())
                    self.assertEqual(node.do("disorder one"), "12000 0")

    def test_a_dispatcher_chooses_on_every_node(self):
        with cluster() as all:
            a, b, _ = three(all)
            for node in (a, b):
                node.do("subscribe red news red"), node.do("subscribe blue news blue")
                node.do("subscribe plain news")
            know(a, b)
            a.do("broadcast news red by_metadata"), a.do("broadcast news end unknown_here")
            for node in (a, b):
                hears(self, node, "red", "news:red", "news:end")
                hears(self, node, "blue", "news:end")
                hears(self, node, "plain", "news:end")

    def test_two_of_them_have_nothing_to_do_with_each_other(self):
        with cluster() as all:
            a, b, _ = three(all)
            b.do("subscribe one news"), b.do("subscribe_other two news"), know(b)
            self.assertTrue(eventually(lambda: self.other_arrives(a, b)))
            a.do("broadcast news first")
            hears(self, b, "one", "news:first")

    @staticmethod
    def other_arrives(a, b):
        a.do("other news second")
        return "news:second" in b.do("heard two")

    def test_what_is_synced_is_heard(self):
        with cluster() as all:
            a, b, c = three(all)
            for number in range(60):
                node = (b, c)[number % 2]
                node.do(f"subscribe one topic{number}"), know(node)
                a.do(f"broadcast topic{number} x")
                hears(self, node, "one", f"topic{number}:x")
                if number % 3 == 0:
                    node.do(f"unsubscribe one topic{number}")

    def test_many_topics(self):
        with cluster() as all:
            a, b, _ = three(all)
            b.do("subscribe_many one t 20000"), know(b)
            for number in (0, 7, 9999, 19999):
                a.do(f"broadcast t{number} x")
                # One after the other: between topics there is no order, and redis keeps none.
                hears(self, b, "one", f"t{number}:x")

    def test_nodes_come_go_and_come_back(self):
        with cluster() as all:
            a, b, c = three(all)
            b.do("subscribe one news"), c.do("subscribe one news"), know(b, c)
            c.kill()
            self.assertTrue(eventually(lambda: a.list() == ["b@127.0.0.1"]))
            a.do("broadcast news without")
            hears(self, b, "one", "news:without")
            again = start(all, "c")
            self.assertTrue(eventually(lambda: len(a.list()) == 2 and len(again.list()) == 2))
            again.do("subscribe one news"), know(again)
            self.assertTrue(eventually(lambda: self.arrives(a, again, "back")))
            self.assertTrue(eventually(lambda: self.arrives(again, b, "hello")))

    @staticmethod
    def arrives(sender, receiver, text):
        sender.do(f"broadcast news {text}")
        return f"news:{text}" in receiver.do("heard one")

    def test_a_frozen_node_catches_up_with_the_others(self):
        with cluster() as all:
            a, b, c = three(all)
            c.do("subscribe one news"), know(c)
            c.freeze()
            self.assertTrue(eventually(lambda: a.list() == ["b@127.0.0.1"]))
            b.do("subscribe one later"), know(b)
            c.thaw()
            self.assertTrue(eventually(lambda: len(c.list()) == 2 and len(a.list()) == 2))
            self.assertTrue(eventually(lambda: self.arrives(a, c, "thawed")))
            know(b, c)
            def heard_later():
                c.do("broadcast later hello")
                return "later:hello" in b.do("heard one")
            self.assertTrue(eventually(heard_later))

    def test_its_process_crashes_and_nobody_subscribes_again(self):
        with cluster() as all:
            a, b, _ = three(all)
            a.do("subscribe one news"), b.do("subscribe one news"), know(a, b)
            b.do("crash")
            a.do("crash")
            self.assertTrue(eventually(lambda: self.arrives(a, b, "hello")))
            self.assertTrue(eventually(lambda: self.arrives(b, a, "hello")))


class Interest(unittest.TestCase):
    @unittest.skipUnless(ADAPTER in ("interest", "redis"), "sends to everybody")
    def test_only_those_who_want_it_are_sent_to(self):
        names = [f"{short}@127.0.0.1" for short in "abcde"]
        with cluster() as all:
            nodes = [all.start(short, wants=names) for short in "abcde"]
            self.assertTrue(eventually(lambda: every(len(node.list()) == 4 for node in nodes)))
            a, b, c, d, e = nodes
            b.do("subscribe one news"), c.do("subscribe one news"), know(*nodes)
            before = [statistics(node) for node in nodes]
            for number in range(200):
                a.do(f"broadcast news n{number}")
            hears(self, b, "one", *(f"news:n{number}" for number in range(200)))
            hears(self, c, "one", *(f"news:n{number}" for number in range(200)))
            after = [statistics(node) for node in nodes]
            got = [two["received"] - one["received"] for one, two in zip(before, after)]
            print(f"{ADAPTER}: of 200 broadcasts to 2 of 5 nodes came: {got}")
            self.assertEqual(got, [0, 200, 200, 0, 0])


@unittest.skipIf(ADAPTER == "redis", "what matters there is who reaches Redis")
class Split(unittest.TestCase):
    def test_each_side_hears_its_own_and_all_hear_all_once_it_is_whole(self):
        if not can_make_namespaces():
            self.skipTest("network namespaces can be made by root only")
        with Network(5) as network, cluster(setuptime=1000) as all:
            nodes = a, b, c, d, e = network.start(all)

            def sees(count):
                return lambda node: len(node.list()) == count
            self.assertTrue(eventually(lambda: every(map(sees(4), nodes))))
            b.do("subscribe one news"), d.do("subscribe one news"), e.do("subscribe one gone")
            know(*nodes)
            network.split([3, 4])
            self.assertTrue(eventually(lambda: every(map(sees(2), (a, b, c)))))
            self.assertTrue(eventually(lambda: every(map(sees(1), (d, e)))))
            a.do("broadcast news near"), e.do("broadcast news far")
            hears(self, b, "one", "news:near")
            hears(self, d, "one", "news:far")
            # What changes now is not known on the other side before it is whole.
            c.do("subscribe one news"), e.do("subscribe one news"), e.do("unsubscribe one gone")
            know(a, b, c), know(d, e)
            network.heal()
            self.assertTrue(eventually(lambda: every(map(sees(4), nodes))))
            know(*nodes)
            before = [statistics(node) for node in nodes]
            a.do("broadcast news whole"), a.do("broadcast gone nobody")
            for node in (b, c, d, e):
                hears(self, node, "one", "news:whole")
            if ADAPTER == "interest":
                got = [statistics(node)["received"] - one["received"]
                       for node, one in zip(nodes[1:], before[1:])]
                self.assertEqual(got, [1, 1, 1, 1])
            d.do("broadcast news back")
            for node in (b, c, d, e):
                hears(self, node, "one", "news:back")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2, warnings="ignore")
