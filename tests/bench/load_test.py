"""roost_load against a node of roost and against the limit server: usage load_test.py BIN"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "bench"))
import channels  # noqa: E402

BIN = sys.argv[1]


def tool(name):
    return os.path.join(BIN, name)


class Load(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        bench = channels.Bench(BIN, False)
        cls.node = cls.enterClassContext(bench.node())
        cls.limit = cls.enterClassContext(bench.limit())

    def load(self, mode, *arguments, server=None, code=0):
        server = server or self.node
        with tempfile.TemporaryDirectory() as folder:
            report = os.path.join(folder, "report.json")
            page = os.path.join(folder, "report.html")
            run = subprocess.run(
                [tool("roost_load"), mode, server.url, "--pid", str(server.process.pid), "--json",
                 report, "--html", page, "--warm-up", "0.2", *map(str, arguments)],
                capture_output=True, text=True, timeout=120)
            self.assertEqual(run.returncode, code, run.stdout + run.stderr)
            with open(report, encoding="utf-8") as file:
                self.report = json.load(file)
            with open(page, encoding="utf-8") as file:
                self.page = file.read()
        return self.report["figures"]

    def test_idle_sockets_are_counted_and_leave(self):
        figures = self.load("idle", "-n", 500, "-d", 1)
        self.assertGreater(figures["memory_connected"], 0)
        self.assertIn("bytes_kept_per_connection", figures)
        self.assertEqual(figures["connections"], 500)
        self.assertEqual(figures["failures"], 0)

    def test_join_tells_how_many_a_second_of_processor_time(self):
        figures = self.load("join", "-n", 300, "--rounds", 3)
        self.assertGreater(figures["connects_per_cpu_second"], 1_000)
        self.assertGreater(figures["connect_p99"], figures["connect_p50"] / 2)

    def test_echo_gets_every_reply(self):
        for server in (self.node, self.limit):
            figures = self.load("echo", "-n", 20, "-w", 4, "-d", 1, server=server)
            self.assertGreater(figures["events"], 1_000)
            self.assertEqual(figures["lost_replies"], 0)
            self.assertLessEqual(figures["p50"], figures["p99"])

    def test_fanout_reaches_everybody(self):
        figures = self.load("fanout", "-n", 200, "-w", 3, "-d", 1)
        self.assertGreater(figures["events"], 1_000)
        self.assertEqual(figures["stalls"], 0)

    def test_several_processes_topics_and_sources(self):
        figures = self.load(
            "fanout", "-n", 60, "--topics", 6, "--processes", 3, "--sources",
            "127.0.0.2-127.0.0.4", "-d", 1)
        self.assertGreater(figures["events"], 100)
        self.assertEqual(figures["stalls"], 0)

    def test_latency_keeps_its_rate(self):
        figures = self.load("latency", "-n", 50, "-r", 100, "-d", 2)
        self.assertAlmostEqual(figures["events"], 100 * 50 * 2, delta=1_000)

    def test_mixed_operations_are_answered(self):
        figures = self.load("mixed", "-n", 100, "--topics", 5, "-r", 2_000, "-d", 2)
        self.assertGreater(figures["events"], 2_000)
        self.assertEqual(figures["lost_replies"], 0)
        self.assertEqual(figures["error_replies"], 0)
        self.assertGreater(figures["delivery_p50"], 0)

    def test_a_herd_comes_back(self):
        figures = self.load("herd", "-n", 300, "-d", 1)
        self.assertGreater(figures["herd_seconds"], 0)
        self.assertGreater(figures["herd_p99"], 0)

    def test_a_soak_loses_no_reply_though_channels_crash(self):
        figures = self.load("soak", "-n", 300, "--topics", 10, "-r", 1_000, "--crash-rate", 50,
                            "-d", 2)
        self.assertGreater(figures["crashes"], 20)
        self.assertEqual(figures["lost_replies"], 0)
        self.assertEqual(figures["lost_connections"], 0)

    def test_a_hanging_server_is_not_made_to_look_better(self):
        # For a second of the four nothing is answered: a quarter of what was due waited for it.
        load = subprocess.Popen(
            [tool("roost_load"), "latency", self.limit.url, "-n", "10", "-r", "100", "--warm-up",
             "1", "-d", "4", "--quiet"], stdout=subprocess.PIPE, text=True)
        time.sleep(2.5)
        self.limit.process.send_signal(signal.SIGSTOP)
        time.sleep(1)
        self.limit.process.send_signal(signal.SIGCONT)
        figures = dict(line.split() for line in load.communicate()[0].splitlines()[1:])
        self.assertGreater(float(figures["p90"].replace(",", "")), 300_000)

    def test_thresholds_decide_on_the_exit_code(self):
        self.load("echo", "-n", 5, "-d", 1, "--require", "lost_replies == 0")
        self.load("echo", "-n", 5, "-d", 1, "--require", "p99 < 1ns", code=1)
        self.assertFalse(self.report["thresholds"][0]["holds"])
        self.load("echo", "-n", 5, "-d", 1, "--require", "p101 < 1ns", code=1)

    def test_the_page_needs_nothing_else(self):
        self.load("echo", "-n", 5, "-d", 3)
        self.assertNotIn("src=", self.page)
        self.assertNotIn("href=", self.page)
        self.assertIn('"mode":"echo"', self.page)
        self.assertGreater(len(self.report["samples"]), 2)
        self.assertEqual(self.report["curve"][-1]["percent"], 100)

    def test_a_command_line_that_cannot_be_is_told(self):
        for arguments in (["fly", "ws://localhost:1/"], ["echo"], ["echo", "http://localhost/"],
                          ["echo", "ws://localhost:1/", "--require", "p99"],
                          ["echo", "ws://localhost:1/", "--pid", "999999999"]):
            run = subprocess.run([tool("roost_load"), *arguments], capture_output=True, text=True)
            self.assertEqual(run.returncode, 2, arguments)
            self.assertTrue(run.stdout + run.stderr)

    def test_a_server_that_is_not_there_ends_with_3(self):
        run = subprocess.run(
            [tool("roost_load"), "echo", f"ws://127.0.0.1:{channels.free_port()}/", "-n", "5",
             "--timeout", "1"], capture_output=True, text=True)
        self.assertEqual(run.returncode, 3)
        self.assertIn("expected 5 clients joined in time, got 0 joined", run.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
