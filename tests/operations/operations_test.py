"""Operations of real nodes: usage operations_test.py SAMPLE_OPERATIONS [TEST...]"""

import http.server
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "distribution"))
from nodes import eventually, free_port, freeze  # noqa: E402

PROGRAM = sys.argv[1]


def get(port, path, limit=10):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=limit) as answer:
        return answer.read().decode()


def value(text, series):
    found = re.search("^" + re.escape(series) + r" (\S+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else None


class Hook:
    """A web service that keeps what it is told."""

    def __init__(self):
        told = self.told = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


class Cluster:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.cookie = secrets.token_hex(16)
        self.epmd = free_port()
        self.nodes = {}

    def start(self, name, extra="", hosts="[]"):
        port, operations = free_port(), free_port()
        config = os.path.join(self.folder.name, name + ".yaml")
        with open(config, "w") as file:
            file.write(f"""
node: {{name: {name}@127.0.0.1, cookie: {self.cookie}, schedulers: 2}}
cluster: {{hosts: {hosts}}}
distribution: {{epmd_port: {self.epmd}, buffer: 256KiB}}
logger: {{level: warning}}
endpoint: {{http: {{port: {port}}}}}
operations:
  http: {{enabled: true, port: {operations}}}
  metrics: {{all_nodes: true, interval: 200ms}}
  poller: {{period: 100ms}}
{extra}
""")
        log = open(os.path.join(self.folder.name, name + ".log"), "w+")
        process = subprocess.Popen(
            [PROGRAM, "start", "--config", config],
            stdout=log, stderr=log, env={**os.environ, "RELEASE_TMP": self.folder.name})
        node = self.nodes[name] = (process, port, operations, log)

        def ready():
            try:
                return get(operations, "/health") == "ok\n"
            except OSError:
                return process.poll() is not None

        eventually(ready)
        if process.poll() is not None:
            log.seek(0)
            raise RuntimeError(log.read())
        return node

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process, *_, log in self.nodes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
            log.close()
        self.folder.cleanup()


class Operations(unittest.TestCase):
    def test_one_scrape_has_all_nodes_and_leaves_out_who_does_not_answer(self):
        with Cluster() as all:
            _, app, a, _ = all.start("a", hosts="[b@127.0.0.1]")
            b, *_ = all.start("b", hosts="[a@127.0.0.1]")
            both = lambda: (text := get(a, "/metrics")) and 'node="b@127.0.0.1"' in text and text
            text = eventually(both)
            self.assertTrue(text)
            self.assertEqual(text.count("# TYPE roost_processes gauge"), 1)
            for node in ("a@127.0.0.1", "b@127.0.0.1"):
                self.assertGreater(value(text, f'roost_processes{{node="{node}"}}'), 5)
                self.assertEqual(value(text, f'roost_nodes{{node="{node}"}}'), 1)
            self.assertIsNotNone(
                value(text, 'roost_link_sent_bytes_total{peer="b@127.0.0.1",node="a@127.0.0.1"}'))
            get(app, "/import")
            self.assertEqual(
                value(get(app, "/own_metrics"), 'sample_import_rows_total{node="a@127.0.0.1"}'), 3)

            freeze(b.pid)
            missing = lambda: value(
                get(a, "/metrics"), 'roost_metrics_nodes_missing{node="a@127.0.0.1"}') == 1
            self.assertTrue(eventually(missing))
            begun = time.monotonic()
            self.assertNotIn('node="b@127.0.0.1"', get(a, "/metrics"))
            self.assertLess(time.monotonic() - begun, 0.9)  # nobody waited for b
            b.send_signal(signal.SIGCONT)
            self.assertTrue(eventually(both))

    def test_a_link_that_is_full_rings_and_an_error_reaches_the_webhook(self):
        hook = Hook()
        extra = f"""  alarms: {{interval: 50ms}}
  webhook: {{url: "{hook.url}"}}
"""
        with Cluster() as all:
            _, app, a, _ = all.start("a", extra, "[b@127.0.0.1]")
            b, *_ = all.start("b", "", "[a@127.0.0.1]")
            text = lambda: get(a, "/metrics")
            self.assertTrue(eventually(lambda: value(text(), 'roost_nodes{node="a@127.0.0.1"}')))
            series = 'roost_alarm{id="links_busy",node="a@127.0.0.1"}'
            freeze(b.pid)
            get(app, "/pour?node=b@127.0.0.1")
            self.assertTrue(eventually(lambda: value(text(), series) == 1))
            self.assertGreater(value(
                text(), 'roost_link_queued_bytes{peer="b@127.0.0.1",node="a@127.0.0.1"}'), 100_000)
            b.send_signal(signal.SIGCONT)
            self.assertTrue(eventually(lambda: value(text(), series) is None))
            states = lambda: [one["state"] for one in hook.told if one.get("alarm") == "links_busy"]
            self.assertTrue(eventually(lambda: states() == ["set", "clear"]), hook.told)

            get(app, "/crash")
            errors = lambda: [one for one in hook.told if one["event"] == "error"]
            self.assertTrue(eventually(errors))
            error = errors()[0]
            self.assertEqual(error["message"], "it broke, password=[FILTERED]")
            self.assertEqual(error["node"], "a@127.0.0.1")
            self.assertTrue(error["stack"])
            self.assertTrue(any("fragile" in frame for frame in error["stack"]), error["stack"])
            self.assertEqual(value(text(), 'roost_crashes_total{node="a@127.0.0.1"}'), 1)

    def test_a_misspelt_key_stops_the_program_even_of_what_is_off(self):
        with Cluster() as all:
            with self.assertRaises(RuntimeError) as caught:
                all.start("a", "  alarms: {enabled: false, mailboxes: {riase: 5}}\n")
            self.assertIn("riase", str(caught.exception))
            self.assertIn("a.yaml", str(caught.exception))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
