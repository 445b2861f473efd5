"""The files for Prometheus and Grafana: usage prometheus_test.py CONFORMANCE.

promtool checks them and tries every alert; a real Prometheus asks real nodes. What it finds there is
compared with what the alerts and the board ask for, as soon as the nodes serve /metrics.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../channels"))
from conformance_node import Node, eventually, free_port, new_cluster  # noqa: E402

PROGRAM = os.path.abspath(sys.argv[1])
RULES, BOARD = "conf/prometheus/alerts.yml", "conf/grafana/roost.json"
# Of things that a node which is well does not have.
RARE = {"roost_alarm"}
# Not served yet; take it out when it is.
AWAITED = {"roost_ready"}


def read(path):
    with open(path) as file:
        return file.read()


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def questions_of_board():
    """Every expression, with the variables of the board filled in."""
    board = json.loads(read(BOARD))
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return [question.replace("$job", "roost").replace("$instance", ".*").replace(
        "$__rate_interval", "1m") for question in found]


def questions_of_alerts():
    return re.findall(r"expr: (?:>\n)?((?:.|\n)*?)\n +(?:for|labels):", read(RULES))


def metrics_in(questions):
    return set(re.findall(r"\broost_\w+", " ".join(questions)))


class Files(unittest.TestCase):
    def tool(self, *words):
        answer = subprocess.run(["promtool", *words], capture_output=True, text=True)
        self.assertEqual(answer.returncode, 0, answer.stdout + answer.stderr)

    def test_the_files_are_valid(self):
        self.tool("check", "config", "conf/prometheus/prometheus.yml")
        self.tool("check", "rules", RULES)

    def test_every_alert_is_heard_and_is_quiet_when_all_is_well(self):
        self.tool("test", "rules", "tests/operations/alerts_test.yml")
        alerts = re.findall(r"- alert: (\w+)", read(RULES))
        tried = set(re.findall(r"alertname: (\w+)", read("tests/operations/alerts_test.yml")))
        self.assertEqual(len(alerts), len(questions_of_alerts()))
        self.assertEqual(set(alerts), tried)

    def test_no_two_panels_of_the_board_overlap(self):
        taken = set()
        for panel in json.loads(read(BOARD))["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells
            self.assertLessEqual(at["x"] + at["w"], 24)


class Scraped(unittest.TestCase):
    def setUp(self):
        cluster = new_cluster()
        self.ports = [free_port() for _ in range(3)]
        self.nodes = [
            Node(PROGRAM, ["operations.http.enabled=true", f"operations.http.port={port}"], name,
                 cluster, [other for other in "abc" if other != name])
            for name, port in zip("abc", self.ports)]
        for node in self.nodes:
            self.addCleanup(node.stop)
        if get(f"http://127.0.0.1:{self.ports[0]}/metrics")[0] != 200:
            self.skipTest("the operations endpoint has no /metrics yet")
        self.assertTrue(eventually(lambda: all(len(n.stats()["nodes"]) == 2 for n in self.nodes)))
        self.start_prometheus()

    def start_prometheus(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        text = read("conf/prometheus/prometheus.yml").replace("15s", "1s")
        for number, port in enumerate(self.ports, 1):
            text = text.replace(f"10.0.0.{number}:4100", f"127.0.0.1:{port}")
        with open(os.path.join(folder.name, "prometheus.yml"), "w") as file:
            file.write(text)
        with open(os.path.join(folder.name, "alerts.yml"), "w") as file:
            file.write(read(RULES))
        self.url = f"http://127.0.0.1:{free_port()}"
        log = open(os.path.join(folder.name, "log"), "w")
        self.addCleanup(log.close)
        process = subprocess.Popen(
            ["prometheus", "--config.file", os.path.join(folder.name, "prometheus.yml"),
             "--storage.tsdb.path", os.path.join(folder.name, "data"),
             "--web.listen-address", self.url.removeprefix("http://")], stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertTrue(eventually(lambda: get(f"{self.url}/-/ready")[0] == 200, 30),
                        read(log.name))

    def ask(self, question):
        """The series that answer it."""
        status, body = get(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': question})}")
        self.assertEqual(status, 200, f"{question}: {body}")
        return json.loads(body)["data"]["result"]

    def test_prometheus_finds_what_alerts_and_board_ask_for(self):
        self.assertTrue(eventually(lambda: len(self.ask("up == 1")) == 3, 30))
        # Rates need a second look.
        self.assertTrue(eventually(
            lambda: len(self.ask("count_over_time(roost_processes[1m]) > 2")) == 3, 30))
        asked = questions_of_board() + questions_of_alerts()
        status, body = get(f"{self.url}/api/v1/label/__name__/values")
        self.assertEqual(status, 200)
        there = set(json.loads(body)["data"])
        self.assertEqual(metrics_in(asked) - there - RARE - AWAITED, set())
        self.assertEqual(AWAITED & there, set())
        silent = [question for question in questions_of_board()
                  if not self.ask(question) and not metrics_in([question]) & RARE
                  and "histogram_quantile" not in question]
        self.assertEqual(silent, [])
        self.assertEqual(self.ask('ALERTS{alertstate="firing"}'), [])
        rules = json.loads(get(f"{self.url}/api/v1/rules")[1])["data"]["groups"]
        self.assertEqual({rule["health"] for group in rules for rule in group["rules"]}, {"ok"})
        self.assertTrue(all(
            float(series["value"][1]) == 2 for series in self.ask("roost_nodes")))

    def test_prometheus_notices_a_dead_node(self):
        self.assertTrue(eventually(lambda: len(self.ask("up == 1")) == 3, 30))
        self.nodes[2].kill()
        self.assertTrue(eventually(
            lambda: {series["metric"]["alertname"]
                     for series in self.ask('ALERTS{alertstate="pending"}')} >= {"RoostNodeDown"},
            30))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=0)
