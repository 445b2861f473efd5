"""A client of the channel protocol, byte by byte: for what no library would send."""

import json
import os
import socket
import time


def frame(payload, opcode=1, length=None):
    """A frame whose mask is all zeros: the payload goes as it is."""
    size = len(payload) if length is None else length
    head = bytes([0x80 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0xFE]) + size.to_bytes(2, "big")
    else:
        head += bytes([0xFF]) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


class Client:
    def __init__(self, port, mount="/socket", wait=True, **options):
        self.link = socket.create_connection(("127.0.0.1", port), timeout=10)
        for name, value in options.items():
            self.link.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.link.sendall(
            f"GET {mount}/websocket?vsn=2.0.0 HTTP/1.1\r\nhost: localhost\r\n"
            "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        self.buffer = b""
        self.status = 0
        if wait:
            while b"\r\n\r\n" not in self.buffer:
                self._more()
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            self.status = int(head[9:12])

    def _more(self):
        data = self.link.recv(65536)
        if not data:
            raise ConnectionError("the server has closed")
        self.buffer += data

    def send(self, *message):
        self.link.sendall(frame(json.dumps(message).encode()))

    def receive(self):
        """The next frame: its opcode and payload."""
        while True:
            if len(self.buffer) >= 2:
                size, start = self.buffer[1], 2
                if size == 126 and len(self.buffer) >= 4:
                    size, start = int.from_bytes(self.buffer[2:4], "big"), 4
                elif size == 127 and len(self.buffer) >= 10:
                    size, start = int.from_bytes(self.buffer[2:10], "big"), 10
                if size < 126 or start > 2:
                    if len(self.buffer) >= start + size:
                        opcode = self.buffer[0] & 15
                        payload = self.buffer[start:start + size]
                        self.buffer = self.buffer[start + size:]
                        return opcode, payload
            self._more()

    def join(self, topic):
        self.send("1", "1", topic, "phx_join", {})
        return json.loads(self.receive()[1])[4]

    def close_code(self):
        """The code of the close frame; 0: the connection just ended."""
        try:
            while True:
                opcode, payload = self.receive()
                if opcode == 8:
                    return int.from_bytes(payload[:2], "big")
        except OSError:
            return 0


def wake_at_once():
    """For a client that measures: it stands for one on another machine, so its time does not count
    the wait for a processor of this one. Not everybody may do so."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        pass


def percentile_99(client, seconds):
    """Of the round trip of a client that behaves, in ms."""
    wake_at_once()
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.perf_counter()
        client.send("1", "2", "room:good", "ping", {"a": 1})
        client.receive()
        times.append(time.perf_counter() - begin)
        time.sleep(0.002)
    return sorted(times)[int(len(times) * 0.99)] * 1000
