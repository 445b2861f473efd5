"""A node loses its cluster, says so wherever an alarm is seen, and takes it back when the cluster is
there again: usage lost_cluster_test.py CHAT"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from chat_node import ChatNode, eventually, free_port, new_cluster  # noqa: E402

CHAT = sys.argv[1]


class Neighbour:
    """One that is not there yet."""
    name = f"b{os.getpid()}@127.0.0.1"


class LostCluster(unittest.TestCase):
    def test_the_alarm_rings_and_rests(self):
        cluster, port = new_cluster(), free_port()
        a = ChatNode(CHAT, cluster, "a", [Neighbour], [
            "cluster.alarm_after=1s", "operations.http.enabled=true", f"operations.http.port={port}"])
        self.addCleanup(a.stop)
        b = ChatNode(CHAT, cluster, "b", [a])
        self.addCleanup(b.stop)

        def alarms():
            return a.rpc("Alarms.list()")

        def metrics():
            return a.get("/metrics", port)[1]

        self.assertTrue(eventually(lambda: a.rpc("#Node.list()") == "1", 20), a.log())
        self.assertTrue(eventually(lambda: "cluster_empty" not in alarms()))
        b.kill()
        self.assertTrue(eventually(lambda: "cluster_empty" in alarms(), 20), a.log())
        self.assertTrue(eventually(lambda: 'roost_alarm{id="cluster_empty"} 1' in metrics(), 20),
                        metrics())
        self.assertIn("alarm=cluster_empty", a.log())
        again = ChatNode(CHAT, cluster, "b", [a])
        self.addCleanup(again.stop)
        self.assertTrue(eventually(lambda: "cluster_empty" not in alarms(), 20), a.log())
        self.assertTrue(eventually(lambda: "cluster_empty" not in metrics(), 20), metrics())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
