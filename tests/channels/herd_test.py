"""Ten thousand clients come at once, as after a node has gone, and are taken in at a set pace:
usage herd_test.py CONFORMANCE"""

import asyncio
import collections
import json
import multiprocessing
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from conformance_node import Node  # noqa: E402
from raw_client import Client, frame, percentile_99  # noqa: E402

PROGRAM = sys.argv[1]
CLIENTS, PROCESSES, RATE, BURST = 10_000, 2, 2_000, 1_000
# The tenfold that is promised, and the fivefold that a busy machine may take.
PROMISED, SLACK = 10, 5
UPGRADE = (
    b"GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\n"
    b"upgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")


class Herd:
    """Some of the clients, in a process of their own."""

    def __init__(self, port, address, start_at):
        self.port, self.address, self.start_at = port, address, start_at
        self.joined, self.delays, self.lost = [], [], 0

    async def client(self):
        while True:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.port, local_addr=(self.address, 0))
            writer.write(UPGRADE)
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                self.lost += 1
                writer.close()
                await asyncio.sleep(1)
                continue
            if b" 101 " in head.split(b"\r\n")[0]:
                break
            delay = int(head.lower().split(b"retry-after:")[1].split(b"\r\n")[0])
            self.delays.append(delay)
            writer.close()
            await asyncio.sleep(delay)
        writer.write(frame(b'["1","1","room:herd","phx_join",{}]'))
        await reader.readuntil(b'"ok"')
        self.joined.append(time.time() - self.start_at)
        return writer  # which keeps the connection

    async def run(self, count):
        await asyncio.sleep(max(0, self.start_at - time.time()))
        self.kept = await asyncio.gather(*(self.client() for _ in range(count)))


def run_herd(port, number, start_at, answers, leave):
    # Clients come from other machines: they do not take the time of the server's.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    # An address of its own: the ports of one that was used a minute ago are not all free again.
    process = os.getpid()
    herd = Herd(port, f"127.{10 + process % 200}.{process // 200 % 250}.{2 + number}", start_at)
    asyncio.run(herd.run(CLIENTS // PROCESSES))
    answers.put((herd.joined, herd.delays, herd.lost))
    leave.wait()
    os._exit(0)  # without taking leave of five thousand connections


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class TenThousand(unittest.TestCase):
    def test_all_come_in_at_the_pace_that_was_set(self):
        server = Node(PROGRAM, [
            f"endpoint.limits.accept_rate={RATE}", f"endpoint.limits.accept_burst={BURST}"])
        self.addCleanup(server.stop)
        good = Client(server.port)
        self.addCleanup(good.link.close)
        good.join("room:good")
        quiet = percentile_99(good, 1.5)
        context = multiprocessing.get_context("fork")
        answers, leave, start_at = context.Queue(), context.Event(), time.time() + 1
        herds = [context.Process(
            target=run_herd, args=(server.port, number, start_at, answers, leave), daemon=True)
            for number in range(PROCESSES)]
        before = cpu_seconds(server.process.pid)
        for herd in herds:
            herd.start()
        time.sleep(max(0, start_at - time.time()))
        loaded = percentile_99(good, 4)
        joined, delays, lost = [], [], 0
        for _ in herds:
            some = answers.get(timeout=120)
            joined += some[0]
            delays += some[1]
            lost += some[2]
        used = cpu_seconds(server.process.pid) - before
        stats = server.stats()
        leave.set()
        for herd in herds:
            herd.join()
        seconds = collections.Counter(int(at) for at in joined)
        print(f"\n{len(joined)} joined within {max(joined):.1f} s, at most {max(seconds.values())} "
              f"in one second; {len(delays)} were told to come back after "
              f"{json.dumps(dict(sorted(collections.Counter(delays).items())))} s, {lost} lost; "
              f"{used:.1f} s of the server's CPU; a good client's p99 {quiet:.2f} ms quiet, "
              f"{loaded:.2f} ms beside them ({loaded / quiet:.1f}x)")
        self.assertEqual(len(joined), CLIENTS)
        self.assertEqual(lost, 0)
        self.assertGreaterEqual(stats["refused_by_rate"], 1)
        self.assertGreater(len(set(delays)), 1, "expected them to be told different times")
        self.assertLess(loaded, PROMISED * SLACK * max(quiet, 0.3))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=0)
