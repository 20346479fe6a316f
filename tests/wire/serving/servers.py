"""Real servers and raw sockets for the tests of our worker."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.programs import IMPORT_PATH

ROOT = Path(__file__).resolve().parents[3]
APP = Path(__file__).with_name("app_under_test.py")
PATIENCE_S = (
    25.0  # a bound on waits that succeed; limits of the product are longer, or set by the test
)


class Client:
    """A raw connection: bytes out, bytes in."""

    def __init__(self, address: str | socket.socket) -> None:
        self.socket = connected(address) if isinstance(address, str) else address
        self.socket.settimeout(PATIENCE_S)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_until_stuck(self, most: int) -> int:
        """Send until nobody takes more for half a second, or so much went out; how much did."""
        self.socket.settimeout(0.5)
        sent = 0
        try:
            while sent < most:
                sent += self.socket.send(b"x" * min(100_000, most - sent))
        except TimeoutError:
            pass
        self.socket.settimeout(PATIENCE_S)
        return sent

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            data = self.socket.recv(65_536)
            assert data, f"closed before {mark!r}; got {self.buffer[:500]!r}"
            self.buffer += data
        end = self.buffer.index(mark) + len(mark)
        found, self.buffer = self.buffer[:end], self.buffer[end:]
        return found

    def read(self, size: int) -> bytes:
        found = bytearray(self.buffer)
        while len(found) < size:
            data = self.socket.recv(1_000_000)
            assert data, f"closed after {len(found)} bytes of {size}"
            found += data
        self.buffer = bytes(found[size:])
        return bytes(found[:size])

    def read_answer(self) -> tuple[bytes, bytes]:
        """The head and the body of an answer with Content-Length."""
        head = self.read_until(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        return head, self.read(int(length[1])) if length else b""

    def read_to_end(self) -> bytes:
        """Everything until the server closes or resets."""
        found, self.buffer = self.buffer, b""
        try:
            while data := self.socket.recv(65_536):
                found += data
        except ConnectionResetError:
            pass
        return found

    def is_closed_by_server(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def was_reset(self) -> bool:
        try:
            while self.socket.recv(65_536):
                pass
        except ConnectionResetError:
            return True
        return False


def connected(address: str) -> socket.socket:
    """A socket connected to http://host:port or unix:/path."""
    if not address.startswith("unix:"):
        host, port = address.removeprefix("http://").rsplit(":", 1)
        return socket.create_connection((host, int(port)), PATIENCE_S)
    found = socket.socket(socket.AF_UNIX)
    try:
        found.connect(address.removeprefix("unix:"))
    except OSError:
        found.close()
        raise
    return found


class ScriptedLegacy:
    """A listener whose connections the test answers by hand."""

    def __init__(self, listener: socket.socket, url: str) -> None:
        listener.settimeout(PATIENCE_S)
        self.listener = listener
        self.url = url
        self.request = b""

    def accept(self) -> Client:
        return Client(self.listener.accept()[0])

    def accept_and_switch(self, reply: bytes) -> Client:
        """Take one connection, read the request's head, answer."""
        client = self.accept()
        self.request = client.read_until(b"\r\n\r\n")
        client.send(reply)
        return client


class ServerUnderTest:
    """`app_under_test.py` in a process of its own, on free ports."""

    def __init__(self, **plan) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(APP), json.dumps(plan)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": IMPORT_PATH},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.public, self.admin = json.loads(line)
        self.waiting: dict[int, int] = {}  # requests that workers were known to work on, by pid

    def client(self) -> Client:
        return Client(self.public)

    def exchange(self, request: bytes) -> bytes:
        """Send a request that ends its connection; everything that came back."""
        with self.client() as client:
            client.send(request)
            return client.read_to_end()

    def told(self, address: str | None = None) -> dict:
        with Client(address or self.public) as client:
            client.send(b"GET /told HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return json.loads(client.read_to_end().partition(b"\r\n\r\n")[2])

    def told_until(self, holds) -> dict:
        """Ask until what the app tells satisfies the condition."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds(found := self.told()):
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def workers(self) -> list[int]:
        tasks = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in tasks.read_text().split()]

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE_S)

    def stop(self) -> str:
        """Interrupt; what stood on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.communicate(timeout=PATIENCE_S)[1]
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def code_in(answer: bytes) -> str:
    found = re.search(rb"x-overgrow-error: ([a-z-]+)", answer)
    return found[1].decode() if found else ""
