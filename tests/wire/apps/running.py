"""A server process in front of `gthread_legacy`, and raw requests to it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.ports import free_port
from tests.programs import IMPORT_PATH

ROOT = Path(__file__).resolve().parents[3]
APP = "tests.wire.apps.gthread_app"
PATIENCE_S = (
    25.0  # a bound on waits that succeed; limits of the product are longer, or set by the test
)

ROUTES = """\
version: 1
app: {app}:create_team_app
legacy:
  url: {legacy}
routes:
  - path: /m/slow
    target: migrated
    response_timeout: 300ms
  - prefix: /m
    target: migrated
    stream: true
"""


class Running:
    """One server process on a free port, and what its app told."""

    def __init__(self, command, legacy, folder, **environ):
        self.legacy = legacy
        self.port = free_port()
        self.told = folder / "told"
        self.told.touch()
        self.process = subprocess.Popen(
            [sys.executable, "-m", *(word.format(port=self.port) for word in command)],
            cwd=ROOT,
            env=settings(folder, legacy) | environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            until(self._accepts)
        except BaseException:
            self.process.kill()
            self.process.communicate()
            raise

    def _accepts(self):
        assert self.process.poll() is None, self.process.stderr.read().decode()
        try:
            self.connect().close()
        except OSError:
            return False
        return True

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)

    def answer(self, head, *pieces):
        """Send a request and return all that comes back until the server closes."""
        with self.connect() as client:
            client.sendall(request(head))
            for piece in pieces:
                client.sendall(piece)
            return read_to_end(client)

    def was_told(self, word, side):
        if side == "legacy":
            self.legacy.wait_for(word)
        else:
            until(lambda: word in self.words())

    def words(self):
        return self.told.read_text().split()

    def forget(self):
        self.told.write_text("")
        self.legacy.notes.clear()
        self.legacy.go.clear()

    def stop(self):
        """End it as Ctrl-C does; what stood on stderr."""
        # Who runs in the background of a shell has SIGINT ignored, and so have its children.
        is_deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        self.process.send_signal(signal.SIGTERM if is_deaf else signal.SIGINT)
        try:
            return self.process.communicate(timeout=PATIENCE_S)[1]
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise


def settings(folder, legacy):
    routes = folder / "routes.yaml"
    routes.write_text(ROUTES.format(app=APP, legacy=legacy.url))
    return {
        **os.environ,
        "PYTHONPATH": IMPORT_PATH,
        "OVERGROW_CONFIG": str(routes),
        "OVERGROW_EXPOSE": "1",
        "TOLD": str(folder / "told"),
    }


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def request(head):
    return f"{head}\r\nHost: shop.test\r\nConnection: close\r\n\r\n".encode("latin-1")


def read_to_end(client):
    found = b""
    try:
        while data := client.recv(65_536):
            found += data
    except ConnectionResetError:
        pass
    return found


def read_until(client, mark):
    found = b""
    while mark not in found:
        data = client.recv(65_536)
        assert data, found
        found += data
    return found


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)
