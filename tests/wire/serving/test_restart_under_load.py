"""Stop, upgrade, start under load, with sockets of a service manager: nobody is refused, and nobody fails.

Every client here is one that retries nothing. A stream of events has no end of its own, so for it "not failed"
means: it ends complete, between two events, and the client that connects again is served.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.activation import ServiceManager, address_of, listen_tcp
from tests.programs import IMPORT_PATH
from tests.wire.serving.servers import PATIENCE_S, ROOT, Client
from tests.wire.serving.test_serve_for_real import Site
from tests.wire.serving.test_serving_answers import get
from tests.wire.serving.test_serving_drain import wait_until

APP = """
import time
from pathlib import Path
import overgrow.settings
from flask import Flask


def slow():
    Path("slow-began").touch()
    time.sleep(2)
    return "slow"


def create_app():
    app = Flask(__name__)
    where = overgrow.settings.__file__
    app.add_url_rule("/where", view_func=lambda: where, endpoint="where")
    app.add_url_rule("/slow", view_func=slow, endpoint="slow")
    return app
"""
EVENT, HEAD_END, END = b"event\n\n", b"\r\n\r\n", b"\r\n0\r\n\r\n"
TABLE = """version: 1
app: site_under_test:create_app
legacy:
  url: http://127.0.0.1:{port}
routes:
  - {{path: /where, methods: [GET], target: migrated}}
  - {{path: /slow, methods: [GET], target: migrated}}
"""


class Legacy(BaseHTTPRequestHandler):
    """Sends an event, in two pieces, each quarter of a second, for ever."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            while not self.server.is_over.wait(0.25):
                self.wfile.write(b"data: one ")
                self.wfile.write(b"event\n\n")
        except OSError:
            return

    def log_message(self, *_) -> None:
        pass


class PatientServer(ThreadingHTTPServer):
    """Takes all streams at once: the kernel drops connections beyond the queue, and tries again after a second."""

    request_queue_size = 128


@pytest.fixture
def legacy():
    server = PatientServer(("127.0.0.1", 0), Legacy)
    server.is_over = threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.is_over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def site(tmp_path, legacy):
    found = Site(tmp_path)
    (tmp_path / "site_under_test.py").write_text(APP)
    (tmp_path / "routes.yaml").write_text(TABLE.format(port=legacy.server_port))
    return found


@pytest.fixture
def manager():
    with ServiceManager(public=listen_tcp(), admin=listen_tcp()) as found:
        yield found


def run(manager: ServiceManager, site: Site, import_path: str = IMPORT_PATH) -> subprocess.Popen:
    command = [sys.executable, "-B", "-m", "overgrow.cli.main", "serve", "--workers", "2"]
    return manager.run(
        command,
        {**site.env, "PYTHONPATH": import_path},
        cwd=site.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def stop(process: subprocess.Popen) -> None:
    process.terminate()
    assert process.wait(PATIENCE_S) == 0


@dataclass
class Load:
    """Clients that ask, and clients that listen to events, until told to end."""

    address: str
    is_over: threading.Event = field(default_factory=threading.Event)
    bodies: list[bytes] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    ends: list[bytes] = field(default_factory=list)  # the last bytes of each stream that ended
    streams: int = 0  # that sent an event
    failures: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, clients: int, listeners: int) -> None:
        targets = [self._ask] * clients + [self._listen] * listeners
        self._threads = [threading.Thread(target=each) for each in targets]
        for each in self._threads:
            each.start()

    def end(self) -> None:
        self.is_over.set()
        for each in self._threads:
            each.join(PATIENCE_S)

    def _ask(self) -> None:
        client = None
        while not self.is_over.is_set():
            began_s = time.monotonic()
            try:
                client = client or Client(self.address)
                client.send(get("/where"))
                head, body = client.read_answer()
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))
                return
            self.waits_s.append(time.monotonic() - began_s)
            self.bodies.append(body)
            if b"connection: close" in head:
                client.socket.close()
                client = None
            self.is_over.wait(0.01)
        if client is not None:
            client.socket.close()

    def _listen(self) -> None:
        while not self.is_over.is_set():
            try:
                with Client(self.address) as client:
                    self._read_events(client)
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))
                return

    def _read_events(self, client: Client) -> None:
        client.send(get("/events"))
        received = client.read_until(b"\r\n\r\n")
        while not self.is_over.is_set():
            data = client.socket.recv(65_536)
            if not data:
                self.ends.append(received)
                return
            self.streams += EVENT in data and EVENT not in received
            received += data


@pytest.fixture
def load(manager):
    found = Load(address_of(manager.sockets["public"]))
    yield found
    found.end()


def test_an_upgrade_under_load_refuses_and_breaks_nothing(manager, site, load, tmp_path):
    upgraded = tmp_path / "upgraded"
    shutil.copytree(ROOT / "proxy" / "overgrow", upgraded / "overgrow")
    process = run(manager, site)
    load.start(clients=16, listeners=16)
    wait_until(lambda: load.streams == 16 and len(load.bodies) > 100)
    stop(process)
    process = run(manager, site, str(upgraded))
    wait_until(lambda: load.streams >= 32 and str(upgraded).encode() in load.bodies[-1])
    load.end()
    stop(process)

    assert load.failures == []
    assert {Path(body.decode()).parents[1] for body in load.bodies} == {ROOT / "proxy", upgraded}
    assert len(load.ends) >= 16
    assert all(each.endswith((EVENT + END, HEAD_END + END.lstrip())) for each in load.ends)


def test_others_are_served_while_an_older_request_finishes(manager, site):
    process = run(manager, site)
    address = address_of(manager.sockets["public"])
    with Client(address) as slow:
        slow.send(get("/slow"))
        wait_until((site.folder / "slow-began").exists)
        process.terminate()
        wait_until(lambda: is_draining(address_of(manager.sockets["admin"])))
        with Client(address) as other:
            other.send(get("/where"))
            answered = other.read_answer()
            is_slow_open = not slow.buffer
        assert slow.read_answer()[1] == b"slow"
    process.wait(PATIENCE_S)

    assert is_slow_open
    assert answered[0].startswith(b"HTTP/1.1 200")


def is_draining(admin: str) -> bool:
    with Client(admin) as client:
        client.send(get("/readyz", "Connection: close"))
        return b"draining" in client.read_to_end()
