#!/usr/bin/env python3
"""Channels against the physical limit: usage channels.py BIN [--json FILE] [--only NAME,...] [--long]

Every figure of roost is held against a server that does the same work with nothing around it
(bench/limit), in the same run and in turns, since machines are noisy: medians of the turns count.
BIN is where roost_load, load_node and limit_server are. --only takes figures whose names begin so.
--long soaks for half an hour instead of a minute."""

import argparse
import contextlib
import json
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests"))
from ports import free_port  # noqa: E402

CONFIGURATION = os.path.join(HERE, "..", "conf", "load_node.yaml")


def wait_for(condition, what, limit=30.0):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"channels.py: expected {what} within {limit:.0f} s")
        time.sleep(0.05)


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Server:
    """A process that is measured: the limit, or nodes of roost."""

    scheme = "ws"

    def __init__(self, command, environment=None):
        self.port = int(environment["PORT"]) if environment else free_port()
        self.process = subprocess.Popen(
            command if environment else [*command[:1], str(self.port), *command[1:]],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        wait_for(lambda: answers(self.port), "a server that listens")
        time.sleep(0.3)  # its start costs processor time too
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}/socket"


class Bench:
    def __init__(self, folder, long):
        self.folder, self.long, self.rows = folder, long, []

    # --- servers ---

    def limit(self, *words):
        return Server([os.path.join(self.folder, "limit_server"), *words])

    def node(self, schedulers=1, settings=(), on_processor=None, **environment):
        port = environment.get("PORT") or free_port()
        settings = (f"node.schedulers={schedulers}", *settings)
        command = [os.path.join(self.folder, "load_node"), "start", "--config", CONFIGURATION]
        for setting in settings:
            command += ["--set", setting]
        if on_processor is not None:
            command = ["taskset", "-c", str(on_processor), *command]
        return Server(command, dict(
            os.environ, RELEASE_TMP=tempfile.mkdtemp(prefix="bench"),
            **{**environment, "PORT": str(port)}))

    # --- measuring ---

    def load(self, servers, mode, *arguments):
        """What roost_load tells of one run: the figures."""
        servers = servers if isinstance(servers, list) else [servers]
        with tempfile.NamedTemporaryFile("r", suffix=".json") as report:
            command = [os.path.join(self.folder, "roost_load"), mode,
                       *(server.url for server in servers), "--quiet", "--json", report.name]
            for server in servers:
                command += ["--pid", str(server.process.pid)]
            run = subprocess.run(
                [*command, *map(str, arguments)], stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True)
            if run.returncode != 0:
                sys.exit(f"channels.py: {' '.join(command)}: {run.stderr}")
            figures = json.load(report)["figures"]
        for bad in ("lost_replies", "stalls", "error_replies", "broken_messages"):
            if figures[bad]:
                sys.exit(f"channels.py: expected no {bad} in {mode}, got {figures[bad]}")
        return figures

    def turns(self, rounds, mode, arguments, makers, own_arguments=((), ())):
        """Runs each of the servers in turn, and answers the medians of the figures of each."""
        seen = [[] for _ in makers]
        for turn in range(rounds):
            # Neither is always the first.
            for i in range(len(makers)) if turn % 2 == 0 else reversed(range(len(makers))):
                with makers[i]() as server:
                    seen[i].append(self.load(server, mode, *arguments, *own_arguments[i]))
        return [{name: statistics.median(one[name] for one in runs if name in one)
                 for name in runs[0]} for runs in seen]

    def row(self, figure, unit, roost, limit=0, peer="", peer_value=0, less_is_better=False,
            target=None, against="limit"):
        """`target`: what is to be reached, as a ratio to the limit or peer, or as a value."""
        other = limit or peer_value
        ratio = roost / other if other else 0
        reached = None
        if target is not None:
            judged = roost if against == "value" else ratio
            reached = judged <= target if less_is_better else judged >= target
        row = {"figure": figure, "unit": unit, "roost": roost, "peer": peer,
               "peer_value": peer_value, "limit_value": limit, "ratio": ratio,
               "less_is_better": less_is_better, "target": target, "against": against,
               "reached": reached}
        self.rows.append(row)
        print_row(row)

    # --- figures ---

    def idle(self):
        arguments = ("-n", 10_000, "-d", 1)
        limit, roost = self.turns(2, "idle", arguments, [self.limit, self.node])
        self.row("idle socket with a channel", "bytes", roost["bytes_per_connection"],
                 limit["bytes_per_connection"], "Phoenix 1.7.24", 32_000, True, 2_000, "value")
        self.row("  kept after it has left", "bytes", roost["bytes_kept_per_connection"],
                 limit["bytes_kept_per_connection"], less_is_better=True)

    def tls(self):
        with certificate() as (certfile, keyfile):
            port = free_port()
            settings = (f"endpoint.https.port={port}", f"endpoint.https.certfile={certfile}",
                        f"endpoint.https.keyfile={keyfile}")
            with self.node(settings=settings) as server:
                server.scheme, server.port = "wss", port
                figures = self.load(server, "idle", "-n", 10_000, "-d", 1, "--timeout", 120)
        self.row("idle socket with TLS", "bytes", figures["bytes_per_connection"],
                 less_is_better=True, target=18_000, against="value")
        self.row("  kept after it has left", "bytes", figures["bytes_kept_per_connection"],
                 less_is_better=True)

    def join(self):
        limit, roost = self.turns(3, "join", ("-n", 10_000), [self.limit, self.node])
        self.row("connect and join", "1/CPU s", roost["connects_per_cpu_second"],
                 limit["connects_per_cpu_second"], "Phoenix 1.7.24", 5_600, target=30_000,
                 against="value")

    def echo(self):
        def figure(window, target, phoenix):
            limit, roost = self.turns(
                3, "echo", ("-n", 100, "-w", window, "-d", 4), [self.limit, self.node])
            self.row(f"echo, 100 sockets, window {window}", "1/CPU s",
                     roost["events_per_cpu_second"], limit["events_per_cpu_second"],
                     "Phoenix 1.7.24" if phoenix else "", phoenix, target=target)
        figure(1, 0.80, 0)
        figure(16, 2.0, 67_000)

    def fanout(self):
        def figure(window, target, phoenix, *words):
            limit, roost = self.turns(
                7, "fanout", ("-n", 5_000, "-w", window, "-d", 2),
                [lambda: self.limit(*words), self.node])
            self.row(f"fan-out to 5,000, {window} at once", "1/CPU s",
                     roost["events_per_cpu_second"], limit["events_per_cpu_second"],
                     "Phoenix 1.7.24" if phoenix else "", phoenix, target=target)
        figure(1, 0.95, 115_000)
        figure(8, 0.90, 0, "coalesce")

    def latency(self):
        def figure(clients, rate, phoenix):
            limit, roost = self.turns(
                5, "latency", ("-n", clients, "-r", rate, "-d", 5), [self.limit, self.node])
            for name, target, before in zip(("p50", "p99"), (1.15, 1.3), phoenix):
                self.row(f"broadcast to {clients:,}, {rate}/s, {name}", "us", roost[name],
                         limit[name], "Phoenix 1.7.24", before, True, target)
        figure(1_000, 20, (6_500, 9_500))
        figure(1, 200, (373, 518))

    def many(self):
        """One node with all the sockets it may have, and ten nodes with 100,000. The kernel's part
        of a send grows with all sockets of the machine, which the limit shows."""
        sources = ("--sources", "127.0.0.2-127.0.0.11", "--timeout", 300)
        limit, alone = self.turns(
            3, "fanout", ("-n", 19_000, *sources, "-d", 5), [self.limit, self.node])
        self.row("19,000 sockets on a node, fan-out", "1/CPU s", alone["events_per_cpu_second"],
                 limit["events_per_cpu_second"])
        self.row("  memory of each", "bytes", alone["bytes_per_connection"],
                 limit["bytes_per_connection"], less_is_better=True)
        # Limit servers know nothing of each other: each has a topic of its own.
        limit, together = self.turns(
            3, "fanout", ("-n", 100_000, *sources, "-d", 8),
            [lambda: self.limits(10), lambda: self.cluster(10)], [("--topics", 10), ()])
        self.row("10 nodes, 100,000 sockets, a delivery", "CPU us", together["cpu_us_per_event"],
                 limit["cpu_us_per_event"], less_is_better=True)
        self.row("  against the node with 19,000", "CPU us", together["cpu_us_per_event"],
                 peer="a node", peer_value=alone["cpu_us_per_event"], less_is_better=True,
                 target=1.15)
        self.row("  broadcast to the last of 100,000", "ms", together["max"] / 1e3,
                 limit["max"] / 1e3, less_is_better=True)

    @contextlib.contextmanager
    def limits(self, count):
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(self.limit()) for _ in range(count)]

    @contextlib.contextmanager
    def cluster(self, count):
        shared = {"ERL_EPMD_PORT": str(free_port()), "RELEASE_COOKIE": secrets.token_hex(32)}
        names = [f"load{i}@127.0.0.1" for i in range(count)]
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(self.node(
                NODE_NAME=name, PEERS=",".join(names), **shared)) for name in names]
            wait_for(lambda: all(connected(server) == count - 1 for server in servers),
                     f"{count} nodes that know each other", 60)
            yield servers

    def herd(self):
        # On the first processor, and the herd on the others: it stands for other machines.
        runs = []
        for _ in range(3):
            with self.node(on_processor=0) as server:
                runs.append(self.load(server, "herd", "-n", 10_000, "--timeout", 120,
                                      "--connecting", 100_000, "-d", 5))
        figures = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        self.row("herd of 10,000, all back and joined", "CPU s", figures["herd_cpu_seconds"],
                 less_is_better=True, target=3, against="value")
        self.row("  wall time", "s", figures["herd_seconds"], less_is_better=True)
        self.row("  p99 of others, against their quiet one", "us", figures["herd_p99"],
                 peer="quiet", peer_value=figures["p99"], less_is_better=True, target=10)

    def soak(self):
        seconds = 1_800 if self.long else 60
        warm_up = 300 if self.long else 60
        with self.node() as server:
            figures = self.load(server, "soak", "-n", 2_000, "--topics", 100, "-r", 5_000,
                                "--crash-rate", 20, "--warm-up", warm_up, "-d", seconds)
        self.row(f"soak of {seconds} s, growth of memory", "%", figures["memory_growth_percent"],
                 less_is_better=True, target=2, against="value")
        self.row("  channels that crashed", "", figures["crashes"])
        self.row("  replies that were lost", "", figures["lost_replies"], less_is_better=True,
                 target=0, against="value")
        self.row("  p99 of a reply", "us", figures["p99"], less_is_better=True)

    def scaling(self):
        # Two processes of clients keep both workers busy: one that sleeps between two messages pays
        # for its waking, which is no matter of how many there are.
        one, two = self.turns(5, "echo", ("-n", 1_000, "--processes", 2, "-d", 4),
                              [lambda: self.node(1), lambda: self.node(2)])
        self.row("echo with 2 workers, against 1", "CPU us", two["cpu_us_per_event"],
                 peer="1 worker", peer_value=one["cpu_us_per_event"], less_is_better=True,
                 target=1.15)


def connected(server):
    with contextlib.suppress(OSError):
        page = urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5)
        for line in page.read().decode().splitlines():
            if line.startswith("roost_nodes "):
                return int(float(line.split()[1]))
    return -1


@contextlib.contextmanager
def certificate():
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        files = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-subj", "/CN=localhost", "-days", "2", "-out", files[0], "-keyout",
             files[1]], check=True, stderr=subprocess.DEVNULL)
        yield files


def number(value):
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def print_row(row):
    state = {None: "", True: "reached", False: "NOT REACHED"}[row["reached"]]
    goal = ""
    if row["target"] is not None:
        sign = "<=" if row["less_is_better"] else ">="
        goal = f"{sign} {row['target']:,}"
        if row["against"] != "value":
            goal += " times the limit" if row["limit_value"] else f" times {row['peer']}"
    print(f"{row['figure']:<42} {row['unit']:<8} {number(row['roost']):>11} "
          f"{number(row['peer_value']) if row['peer_value'] else '-':>9} "
          f"{number(row['limit_value']) if row['limit_value'] else '-':>11} "
          f"{number(row['ratio']) if row['ratio'] else '-':>6}  {goal:<24} {state}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bin")
    parser.add_argument("--json")
    parser.add_argument("--only", default="")
    parser.add_argument("--long", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    bench = Bench(options.bin, options.long)
    figures = [bench.idle, bench.tls, bench.join, bench.echo, bench.fanout, bench.latency,
               bench.scaling, bench.herd, bench.soak, bench.many]
    chosen = [name for name in options.only.split(",") if name]
    print(f"{'figure':<42} {'unit':<8} {'roost':>11} {'peer':>9} {'limit':>11} {'ratio':>6}")
    for figure in figures:
        if not chosen or any(figure.__name__.startswith(name) for name in chosen):
            figure()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(bench.rows, file, indent=1)


if __name__ == "__main__":
    main()
