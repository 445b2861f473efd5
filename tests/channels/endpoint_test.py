"""The endpoint of real nodes: usage endpoint_test.py CONFORMANCE.

TLS as curl and openssl see it, polling through any node of a cluster, and draining by command and signal.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "distribution"))
from conformance_node import Node, eventually, free_port, new_cluster  # noqa: E402
from hostile_clients_test import Client  # noqa: E402
from nodes import freeze  # noqa: E402

PROGRAM = os.path.abspath(sys.argv[1])


def run(*words, text=None):
    return subprocess.run(words, input=text, capture_output=True, text=True, timeout=30)


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.certificate, key = (os.path.join(cls.folder.name, name) for name in ("cert.pem", "key.pem"))
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-keyout", key, "-out", cls.certificate)
        cls.port = free_port()
        cls.node = Node(PROGRAM, [
            f"endpoint.https.port={cls.port}", f"endpoint.https.certfile={cls.certificate}",
            f"endpoint.https.keyfile={key}"])

    @classmethod
    def tearDownClass(cls):
        cls.node.stop()
        cls.folder.cleanup()

    def shake_hands(self, *options):
        """With a client that would take anything; what was agreed on."""
        answer = run(
            "openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-servername", "localhost",
            "-CAfile", self.certificate, *options, text="")
        lines = [line.strip() for line in answer.stdout.splitlines()]
        protocol = next((line for line in lines if line.startswith("New, ")), "")
        return protocol, answer

    def test_curl_is_content(self):
        answer = run(
            "curl", "-sS", "-v", "--cacert", self.certificate,
            "--resolve", f"localhost:{self.port}:127.0.0.1", f"https://localhost:{self.port}/health")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertEqual(json.loads(answer.stdout)["status"], "ok")
        self.assertIn("TLSv1.3", answer.stderr)
        self.assertIn("http/1.1", answer.stderr.lower())

    def test_openssl_sees_tls_1_3_and_1_2_with_forward_secrecy(self):
        agreed, answer = self.shake_hands()
        self.assertIn("TLSv1.3", agreed)
        self.assertIn("Verify return code: 0 (ok)", answer.stdout)
        for suite in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"):
            agreed, _ = self.shake_hands("-tls1_2", "-cipher", suite)
            self.assertIn(suite, agreed)

    def test_what_is_weak_is_refused(self):
        for options in (
                ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
                ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"),
                ("-tls1_2", "-cipher", "aNULL:eNULL:RC4:3DES:@SECLEVEL=0"),
                ("-tls1_2", "-cipher", "kRSA:@SECLEVEL=0")):
            with self.subTest(options=options):
                agreed, _ = self.shake_hands(*options)
                self.assertNotIn("Cipher is ECDHE", agreed)
                self.assertIn("(NONE)", agreed or "(NONE)")

    def test_renegotiation_is_refused(self):
        _, answer = self.shake_hands("-tls1_2", "-no_ign_eof")
        self.assertIn("Secure Renegotiation IS supported", answer.stdout)
        self.assertIn("Compression: NONE", answer.stdout)


class LongPolling(unittest.TestCase):
    """A balancer without sticky sessions: every request goes to another node."""

    def setUp(self):
        cluster = new_cluster()
        self.nodes = [Node(PROGRAM, ["distribution.net_ticktime=1s"], name, cluster, "ab")
                      for name in "ab"]
        for node in self.nodes:
            self.addCleanup(node.stop)
        self.assertTrue(eventually(lambda: all(len(n.stats()["nodes"]) == 1 for n in self.nodes)))
        self.requests = 0
        self.token = ""

    def ask(self, method="GET", lines=None, mount="/socket", node=None):
        self.requests += 1
        node = node or self.nodes[self.requests % 2]
        status, _, body = node.get(
            f"{mount}/longpoll?vsn=2.0.0&token={self.token}",
            data="\n".join(lines).encode() if lines else None,
            headers={"content-type": "application/x-ndjson"} if lines else {})
        self.assertEqual(status, 200)
        answer = json.loads(body)
        self.token = answer.get("token", self.token)
        return answer

    def test_any_node_serves_the_session(self):
        self.assertEqual(self.ask()["status"], 410)
        lines = ['["1","1","room:1","phx_join",{}]']
        self.assertEqual(self.ask("POST", lines)["status"], 200)
        answer = self.ask()
        self.assertEqual(answer["status"], 200)
        self.assertEqual(json.loads(answer["messages"][0])[4]["status"], "ok")
        for i in range(2, 20):
            self.ask("POST", [f'["1","{i}","room:1","ping",{{"n":{i}}}]'])
            self.assertEqual(
                json.loads(self.ask()["messages"][0])[4], {"status": "ok", "response": {"n": i}})
        self.assertEqual(sum(node.stats()["sockets"] for node in self.nodes), 1)

    def test_when_its_node_dies_the_client_gets_a_new_session_elsewhere(self):
        owner, other = self.nodes
        self.ask(node=owner)
        before = self.token
        owner.kill()
        self.assertTrue(eventually(lambda: not other.stats()["nodes"]))
        self.assertEqual(
            self.ask("POST", ['["1","1","room:1","phx_join",{}]'], node=other)["status"], 410)
        # Which makes phoenix.js join its channels again; a new session alone would not.
        self.assertEqual(self.ask(node=other)["status"], 500)
        self.token = ""
        self.assertEqual(self.ask(node=other)["status"], 410)
        self.assertNotEqual(self.token, before)
        self.ask("POST", ['["1","1","room:1","phx_join",{}]'], node=other)
        self.assertEqual(len(self.ask(node=other)["messages"]), 1)

    def test_when_its_node_was_started_again_the_client_gets_a_new_session(self):
        owner = self.nodes[0]
        self.ask(node=owner)
        self.assertEqual(owner.stop_process(), 0)
        owner.start()
        self.assertEqual(self.ask(node=owner)["status"], 500)
        self.assertEqual(
            self.ask("POST", ['["1","1","room:1","phx_join",{}]'], node=owner)["status"], 410)

    def test_while_its_node_is_frozen_a_batch_is_not_known_to_have_arrived(self):
        owner, other = self.nodes
        self.ask(mount="/small", node=owner)
        freeze(owner.process.pid)
        try:
            begin = time.monotonic()
            answer = self.ask(
                "POST", ['["1","1","room:1","phx_join",{}]'], mount="/small", node=other)
            # By its time-out, or by the heartbeat, whichever notices first.
            self.assertIn(answer["status"], (408, 410))
            self.assertLess(time.monotonic() - begin, 5)
        finally:
            owner.process.send_signal(signal.SIGCONT)


class Draining(unittest.TestCase):
    def setUp(self):
        self.node = Node(PROGRAM)
        self.addCleanup(self.node.stop)
        self.clients = [Client(self.node.port) for _ in range(20)]
        for client in self.clients:
            self.addCleanup(client.link.close)

    def test_the_command_sends_all_away_and_leaves_the_node(self):
        answer = self.node.command("drain")
        self.assertEqual((answer.returncode, answer.stdout), (0, "conformance: drained\n"), answer.stderr)
        self.assertEqual([client.close_code() for client in self.clients], [1012] * 20)
        late = Client(self.node.port)
        self.addCleanup(late.link.close)
        self.assertEqual(late.status, 503)
        self.assertEqual(self.node.get("/health")[0], 200)
        self.assertEqual(self.node.command("drain").returncode, 0)
        self.assertEqual(self.node.stop(), 0)

    def test_sigterm_sends_all_away_and_ends_in_order(self):
        self.node.process.terminate()
        self.assertEqual([client.close_code() for client in self.clients], [1012] * 20)
        for client in self.clients:
            client.link.close()
        self.assertEqual(self.node.process.wait(30), 0)

    def test_nobody_there(self):
        self.node.stop()
        self.node.folder = tempfile.TemporaryDirectory()
        self.node.environment["RELEASE_TMP"] = self.node.folder.name
        self.assertEqual(self.node.command("drain").returncode, 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=0)
