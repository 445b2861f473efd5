"""Networks that can be cut, for the tests of the cluster."""

import os
import subprocess


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, capture_output=True)


def can_make_namespaces():
    return os.geteuid() == 0 and ip("netns", "list", check=False).returncode == 0


class Network:
    """A namespace for each node, and one with two switches: a port is moved from one to the other, so
    packets are lost and nobody is told."""

    def __init__(self, count):
        self.id = os.getpid()
        self.switch = f"roost{self.id}s"
        self.names = [f"roost{self.id}n{i}" for i in range(count)]
        self.addresses = [f"10.77.0.{i + 1}" for i in range(count)]

    def __enter__(self):
        ip("netns", "add", self.switch)
        for bridge in ("one", "two"):
            self.inside("link", "add", bridge, "type", "bridge")
            self.inside("link", "set", bridge, "up")
        for i, (name, address) in enumerate(zip(self.names, self.addresses)):
            ip("netns", "add", name)
            ip("link", "add", f"p{i}", "netns", self.switch, "type", "veth",
               "peer", "name", "eth0", "netns", name)
            self.inside("link", "set", f"p{i}", "master", "one", "up")
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        for name in [*self.names, self.switch]:
            ip("netns", "del", name, check=False)

    def start(self, cluster):
        """A node in each, which look for one another."""
        names = [f"n{i}@{address}" for i, address in enumerate(self.addresses)]
        return [cluster.start(f"n{i}", prefix=("ip", "netns", "exec", self.names[i]), host=address,
                              address=address, wants=names)
                for i, address in enumerate(self.addresses)]

    def inside(self, *words):
        ip("-n", self.switch, *words)

    def split(self, others):
        for i in others:
            self.inside("link", "set", f"p{i}", "master", "two")

    def heal(self):
        for i in range(len(self.names)):
            self.inside("link", "set", f"p{i}", "master", "one")
