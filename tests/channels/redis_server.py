"""A Redis of one's own for the tests: on a free port, in a directory of its own, kept nowhere."""

import os
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "distribution"))
from nodes import eventually, free_port, freeze  # noqa: E402


def certificates(folder):
    """An authority and a server's certificate for localhost, in PEM files."""
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, cwd=folder, capture_output=True)
    for name in ("ca", "server"):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
    openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=tests", "-out", "ca.pem")
    openssl("req", "-new", "-key", "server.key", "-subj", "/CN=localhost", "-out", "server.csr")
    with open(os.path.join(folder, "names"), "w") as names:
        names.write("subjectAltName=DNS:localhost")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-extfile", "names", "-out", "server.pem")


class Redis:
    def __init__(self, *words, tls=False):
        self.folder = tempfile.TemporaryDirectory()
        self.port = free_port()
        self.tls = tls
        self.words = list(words)
        if tls:
            certificates(self.folder.name)
            self.words += ["--tls-port", str(self.port), "--port", "0", "--tls-auth-clients", "no",
                           "--tls-cert-file", self.path("server.pem"),
                           "--tls-key-file", self.path("server.key"),
                           "--tls-ca-cert-file", self.path("ca.pem")]
        else:
            self.words += ["--port", str(self.port)]
        self.process = None
        self.start()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def url(self, account=""):
        scheme, host = ("rediss", "localhost") if self.tls else ("redis", "127.0.0.1")
        return f"{scheme}://{account}{host}:{self.port}/0"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.folder.cleanup()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--dir", self.folder.name, *self.words], stdout=subprocess.DEVNULL)
        assert eventually(self.takes_connections)

    def takes_connections(self):
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        except OSError:
            return False

    def ask(self, *words):
        """What a client without TLS is answered, a line of it."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as client:
            command = f"*{len(words)}\r\n" + "".join(
                f"${len(word.encode())}\r\n{word}\r\n" for word in words)
            client.sendall(command.encode())
            return client.makefile("rb").readline().decode().strip()

    def publish(self, channel, data):
        with socket.create_connection(("127.0.0.1", self.port), 5) as client:
            name = channel.encode()
            client.sendall(b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
                           % (len(name), name, len(data), data))
            return client.makefile("rb").readline().decode().strip()

    def freeze(self):
        freeze(self.process.pid)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()
