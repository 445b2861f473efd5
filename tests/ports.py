"""Ports for servers of the tests."""

import random
import socket

_random = random.SystemRandom()


def free_port():
    """Not one of those that the system gives to whoever connects or listens at any port: until the
    server is there, another test would get it, or connect to itself by it."""
    while True:
        port = _random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
