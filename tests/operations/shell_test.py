"""An operator at a shell on a node of the chat: usage shell_test.py CHAT SAMPLE_NODE"""

import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "distribution"))
from chat_node import ChatNode, eventually, new_cluster  # noqa: E402
from nodes import Node, Refused  # noqa: E402
from terminal import Terminal  # noqa: E402

CHAT, SAMPLE_NODE = sys.argv[1:3]
FOLDER = os.path.dirname(os.path.abspath(__file__))


class Shell:
    """`chat remote` on a node, in a terminal."""

    def __init__(self, node, *words):
        self.terminal = Terminal([CHAT, "remote", *node.arguments, *words], node.environment)
        self.prompt(node.name)

    def prompt(self, name):
        return self.terminal.expect(re.escape(name) + r"\(\d+\)> ")

    def do(self, code, answer=r"", name=r"[a-z]+\d+@127\.0\.0\.1"):
        """Types a line, and waits for the answer and the next prompt."""
        self.terminal.type(code + "\n")
        return self.terminal.expect(answer + r".*?" + name + r"\(\d+\)> ", 40)


class Pinger:
    def __init__(self, node):
        self.process = subprocess.Popen(
            ["node", os.path.join(FOLDER, "pinger.mjs"), f"http://127.0.0.1:{node.port}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("expected the client to join")

    def figures(self):
        """Since the last time."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def figures_over(self, count):
        """… when there are so many."""
        all_of_them = self.figures()
        while all_of_them["count"] < count:
            time.sleep(0.05)
            more = self.figures()
            all_of_them = {
                "count": all_of_them["count"] + more["count"],
                "p99": max(all_of_them["p99"], more["p99"])}
        return all_of_them

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Operator(unittest.TestCase):
    """One operator, one cluster: the tests are in the order of their names."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = new_cluster()
        cls.guest_file = tempfile.NamedTemporaryFile("w")
        cls.guest_cookie = secrets.token_hex(32)
        cls.guest_file.write(cls.guest_cookie + "\n")
        cls.guest_file.flush()
        settings = [f"distribution.guest_cookie_file={cls.guest_file.name}"]
        cls.nodes = []
        for name in "abc":
            cls.nodes.append(ChatNode(CHAT, cls.cluster, name, list(cls.nodes), settings))
        cls.a, cls.b, cls.c = cls.nodes
        if not eventually(lambda: cls.a.rpc("#Node.list()") == "2", 20):
            raise RuntimeError("expected a cluster of three\n" + cls.a.log())
        cls.shell = Shell(cls.a)

    @classmethod
    def tearDownClass(cls):
        cls.shell.terminal.close()
        for node in cls.nodes:
            node.stop()
        cls.guest_file.close()

    def does(self, code, answer=r""):
        return self.shell.do(code, answer)

    def test_01_the_cluster(self):
        text = self.does("Node.list()", r"\{")
        self.assertIn(self.b.name, text)
        self.assertIn(self.c.name, text)
        self.does(f'Node.ping("{self.b.name}")', '"pong"')
        self.does('Node.ping("nobody@127.0.0.1")', '"pang"')

    def test_02_the_biggest_mailbox(self):
        self.does('sys.suspend("room:random")', "true")
        self.does('for i = 1, 200 do GenServer.cast("room:random", "heard", {messages = {}}) end')
        self.does('big = Process.list{sort = "mailbox", limit = 1}[1]')
        self.does("big.name", '"room:random"')
        self.does("big.message_queue_len >= 200", "true")
        self.does('sys.resume("room:random")', "true")
        self.assertTrue(eventually(
            lambda: self.a.rpc('Process.info("room:random").message_queue_len') == "0"))

    def test_03_a_state_is_read_and_changed(self):
        self.does('sys.get_state("room:lobby").limit', "50")
        self.does('sys.replace_state("room:lobby", {limit = 2})', "limit = 2")
        for body in ("one", "two", "three"):
            self.does(f'GenServer.call("room:lobby", "say", "ann", "{body}")', r"\d{10,}")
        self.does('#sys.get_state("room:lobby").latest', r"\b2\b")
        self.does('sys.replace_state("room:lobby", {limit = "x"})',
                  r"\*\* .*in limit: expected a whole number, got the text \"x\"")
        self.does('sys.replace_state("room:lobby", {nosuch = 1})',
                  r"\*\* .*expected a field of the state, got nosuch")
        self.does('GenServer.call("room:lobby", "shout", {})',
                  r"\*\* .*expected a message that .* lists \(say, history, heard\), got shout")
        self.does('sys.replace_state("room:lobby", {limit = 50})', "limit = 50")

    def test_04_a_process_is_traced(self):
        self.does('sys.trace("room:lobby")', "true")
        self.does('GenServer.call("room:lobby", "say", {name = "bob", body = "traced"})',
                  r'got say\{name: "bob", body: "traced"\}')
        self.does('sys.no_trace("room:lobby")', "true")

    def test_05_a_child_is_restarted(self):
        self.does('Supervisor.terminate_child("rooms", "room:cpp")', "true")
        self.does('Process.whereis("room:cpp")', "nil")
        self.does('Supervisor.restart_child("rooms", "room:cpp")', r"<0\.\d+\.\d+>")
        self.does('Supervisor.count_children("rooms").active', "3")
        self.does('Supervisor.restart_child("rooms", "room:cpp")', r"\*\* .*\{error, running\}")

    def test_06_a_process_is_ended_and_its_monitor_tells(self):
        self.does('p = Process.whereis("room:cpp")')
        self.does("Process.monitor(p)", "true")
        text = self.does('Process.exit(p, "kill")', "true")
        while "DOWN" not in text:
            text = self.does("flush()")
        self.assertRegex(text, r"DOWN <0\.\d+\.\d+> killed")
        self.does("Process.alive(p)", "false")
        self.does('Process.alive("room:cpp")', "true")

    def test_07_what_is_typed_may_be_long_wrong_or_endless(self):
        self.shell.terminal.type("for i = 1, 3 do\n")
        self.shell.terminal.expect(r"\.\.\.\(\d+\)> ")
        self.does("  print(i * i) end", r"1\r?\n?4\r?\n?9")
        self.does("nosuch.field", r"\*\* .*attempt to index a nil value")
        self.does('error("mine")', r"\*\* .*mine")
        self.does("Process.info(12)", r"\*\* .*expected a pid or a registered name as argument 1")
        self.does('Process.info("<0.1.1>")', "nil")
        self.does("1 +* 2", r"\*\* ")
        self.shell.terminal.type("while true do pcall(function() while true do end end) end\n")
        time.sleep(0.3)  # so that it runs
        self.shell.terminal.interrupt()
        self.does("", r"\*\* .*interrupted")
        self.does("s = {} for i = 1, 1e9 do s[i] = tostring(i) end", r"\*\* .*64 MiB of memory")
        self.does("io, package, require, os.execute, dofile",
                  r"nil\r?\n?nil\r?\n?nil\r?\n?nil\r?\n?nil")
        self.does("1 + 1", "2")

    def test_08_names_are_completed_and_lines_remembered(self):
        keys = self.shell.terminal
        keys.type("Superv\t")
        keys.expect(r"Supervisor\.")
        keys.type("which_c\t")
        keys.expect(r"which_children\(")
        keys.type('"roo\t')
        keys.type('s")\n')  # "room" is all that rooms and room:lobby have in common
        keys.expect(r"room:lobby.*\(\d+\)> ")
        keys.type("\x1b[A")  # up
        keys.expect(r'Supervisor\.which_children\("rooms"\)')
        keys.type("\n")
        keys.expect(r"room:lobby.*\(\d+\)> ")
        self.does("help('Process.info')", r"Process\.info\(pid\) all that is known of it")

    def test_09_other_nodes_are_reached_through_this_one(self):
        self.does(f'rpc.call("{self.b.name}", "Node.self")', f'"{self.b.name}"')
        self.does(f'p = rpc.call("{self.b.name}", "Process.whereis", "room:lobby")')
        self.does("p", rf"<{re.escape(self.b.name)}:\d+\.\d+>")
        self.does("Process.info(p).name", '"room:lobby"')
        self.does(f'attach("{self.c.name}")', re.escape(self.c.name))
        self.does("Node.self()", f'"{self.c.name}"')
        self.does(f'attach("{self.a.name}")', re.escape(self.a.name))
        self.does('attach("nobody@127.0.0.1")', r"\*\* .*noconnection")

    def test_10_what_was_changed_is_in_the_audit_log(self):
        log = self.a.log()
        for function in ("sys.replace_state", "Supervisor.terminate_child", "Process.exit"):
            self.assertRegex(log, rf"audit: console command .*function={re.escape(function)}")
        self.assertNotIn("function=Process.list", log)

    def test_11_clients_do_not_notice_a_loop_or_a_hog(self):
        client = Pinger(self.a)
        self.addCleanup(client.end)
        client.figures_over(100)  # warm
        quiet = client.figures_over(300)
        memory = self.a.memory()
        self.shell.terminal.type("while true do end\n")
        client.figures()
        busy = client.figures_over(300)
        self.shell.terminal.interrupt()
        self.does("", r"\*\* .*interrupted")
        self.shell.terminal.type('t = {} for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end\n')
        hog = client.figures_over(100)
        self.shell.terminal.expect(r"\*\* .*64 MiB of memory.*\(\d+\)> ")
        grown = self.a.memory() - memory
        print(f"\n    a client's p99: quiet {quiet['p99']:.2f} ms, beside a loop {busy['p99']:.2f} ms, "
              f"beside a hog {hog['p99']:.2f} ms; the node grew by {grown >> 10} KiB")
        self.assertLess(max(busy["p99"], hog["p99"]), max(10 * quiet["p99"], 50))
        self.assertLess(grown, 16 << 20)

    def test_12_a_node_is_drained_and_left(self):
        client = Pinger(self.c)
        self.addCleanup(client.end)
        self.does(f'attach("{self.c.name}")', re.escape(self.c.name))
        self.does("Endpoint.list()[1].sockets", "1")
        self.does("Endpoint.drain()", "true")
        self.assertTrue(eventually(lambda: self.c.get("/ready")[0] == 503))
        self.assertTrue(eventually(lambda: self.c.rpc("Endpoint.list()[1].sockets") == "0"))
        self.shell.terminal.type("exit()\n")
        self.assertEqual(self.shell.terminal.wait(), 0)
        self.assertEqual(self.a.get("/health")[0], 200)

    # --- who may come ---

    def test_20_a_wrong_cookie_is_refused(self):
        done = self.a.command("remote", env={"RELEASE_COOKIE": secrets.token_hex(32)})
        self.assertEqual(done.returncode, 1)
        self.assertIn("cookie", done.stderr)
        self.assertEqual(self.a.rpc("1 + 1"), "2")

    def test_21_nobody_there(self):
        done = subprocess.run(
            [CHAT, "rpc", "--name", "nobody@127.0.0.1", "1"], env=self.a.environment,
            capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn("expected nobody@127.0.0.1 to take the connection", done.stderr)

    def test_22_a_guest_may_look_and_not_touch(self):
        guest = Shell(self.b, "--read-only")
        self.addCleanup(guest.terminal.close)
        guest.do("Node.self()", f'"{self.b.name}"')
        guest.do('Process.info("room:lobby").name', '"room:lobby"')
        guest.do(f'rpc.call("{self.a.name}", "Node.self")', f'"{self.a.name}"')
        guest.do('Process.exit("room:lobby", "kill")',
                 r"\*\* .*Process\.exit needs an admin, and this is a read-only session")
        guest.do(f'rpc.call("{self.a.name}", "Process.exit", "room:lobby", "kill")',
                 r"\*\* .*needs an admin")
        self.assertRegex(self.b.log(), r"function=Process\.exit .*needs an admin")

    def test_23_a_guest_cannot_go_around_the_console(self):
        options = {"cookie": self.guest_cookie, "epmd_port": self.cluster["ERL_EPMD_PORT"],
                   "hidden": "true"}
        guest = Node(SAMPLE_NODE, name="guest-evil@127.0.0.1", **options)
        self.addCleanup(guest.end)
        self.assertEqual(guest.do(f"connect {self.b.name}"), "true")
        with self.assertRaises(Refused):
            guest.do(f"call room:lobby {self.b.name} hello")
        self.assertTrue(eventually(lambda: "expected a guest to ask the console" in self.b.log()))
        self.assertEqual(self.b.rpc('Process.alive("room:lobby")'), "true")
        # Without the prefix the guests' cookie opens nothing.
        other = Node(SAMPLE_NODE, name="other@127.0.0.1", **options)
        self.addCleanup(other.end)
        self.assertEqual(other.do(f"connect {self.b.name}"), "false")

    # --- scripts ---

    def test_30_scripts_have_exit_codes(self):
        done = self.a.command("rpc", 'Process.info("room:lobby").status')
        self.assertEqual((done.returncode, done.stdout), (0, '"waiting"\n'))
        done = self.a.command("rpc", 'error("no")')
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("no", done.stderr)
        done = self.a.command("eval", 'Config.get("chat.rooms")[1] .. " " .. 6 * 7')
        self.assertEqual((done.returncode, done.stdout), (0, '"lobby 42"\n'), done.stderr)
        done = self.a.command("eval", "Node.list()")
        self.assertEqual(done.returncode, 1)
        done = subprocess.run(
            [CHAT, "remote", *self.a.arguments], env=self.a.environment, input="x = 20\nx + 1\n",
            capture_output=True, text=True, timeout=30)
        self.assertEqual((done.returncode, done.stdout), (0, "21\n"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
