"""A webhook hears of each change, whatever happens to workers and to its receiver."""

import base64
import hashlib
import hmac
import json
import os
import signal
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.ports import free_port
from tests.story.front import eventually, running_front

TABLE = """\
version: 1
app: migrated:create_app
legacy: {url: "${LEGACY_URL}", response_timeout: 1s}
routes:
  - name: orders
    path: /api/orders
    target: legacy
"""
KEY = b"a key of this test"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
PATH = "/services/T0/B0/not-for-the-log"


class Receiver:
    """A webhook's receiver: what it was sent, and with which status it answers."""

    def __init__(self, port):
        self.status, self.got, self.hangs = 200, [], threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                receiver.hangs.wait(60) if receiver.status is None else None
                self.send_response(receiver.status or 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}{PATH}"

    @property
    def events(self):
        """The events that came, each once, in order."""
        return list(
            {headers["webhook-id"]: json.loads(body) for headers, body in self.got}.values()
        )

    def has(self, kind):
        return kind in [event["type"] for event in self.events]


@contextmanager
def receiving(port=0):
    receiver = Receiver(port)
    thread = threading.Thread(target=receiver.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hangs.set()
        receiver.server.shutdown()
        receiver.server.server_close()


@contextmanager
def front_with_webhook(tmp_path, url):
    settings = {"OVERGROW_WEBHOOK_URL": url, "OVERGROW_WEBHOOK_SECRET": SECRET}
    with running_front(
        TABLE, tmp_path, free_port(), data=tmp_path / "d", workers=2, **settings
    ) as front:
        yield front


def log_of(front):
    return (front.config.parent / "serve.log").read_text()


def flip(front, to):
    done = front.overgrow("flip", "orders", to, "--force", "--reason", "a test")
    assert done.returncode == 0, done.stderr


def test_flips_kills_and_legacys_health_are_told_and_signed(tmp_path):
    with receiving() as receiver, front_with_webhook(tmp_path, receiver.url) as front:
        flip(front, "migrated")
        front.overgrow("rollback", "--all")
        front.get("/")
        for kind in ("route.flipped", "kill", "legacy.down"):
            eventually(lambda kind=kind: receiver.has(kind))

        headers, body = receiver.got[0]
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{digest}"
        flipped = receiver.events[0]
        assert flipped["data"]["why"] == "a test"
        assert "orders was flipped from legacy to migrated" in flipped["text"]


def test_no_change_is_lost_with_receiver_and_worker_away(tmp_path):
    port = free_port()
    with front_with_webhook(tmp_path, f"http://127.0.0.1:{port}{PATH}") as front:
        flip(front, "migrated")
        waiting = front.config.parent / ".overgrow/webhook.json"
        eventually(lambda: waiting.exists() and b"route.flipped" in waiting.read_bytes())
        before = front.workers
        os.kill(before[min(before)], signal.SIGKILL)
        eventually(lambda: len(front.workers) == 2 and front.workers != before)
        flip(front, "legacy")

        with receiving(port) as receiver:
            eventually(lambda: len(receiver.events) == 2)
            assert [event["data"]["to"] for event in receiver.events] == ["migrated", "legacy"]


@pytest.mark.parametrize("status", [None, 500, 404])
def test_a_broken_receiver_delays_nobody_and_is_logged_once(tmp_path, status):
    with receiving() as receiver:
        receiver.status = status
        with front_with_webhook(tmp_path, receiver.url) as front:
            flip(front, "migrated")
            flip(front, "legacy")
            eventually(lambda: receiver.got)
            assert front.get("/api/orders")[0] == 502  # at once: no legacy runs here
            if status is not None:
                eventually(lambda: "webhook-fails" in log_of(front))
        log = log_of(front)

    assert log.count("webhook-fails") <= 1
    assert "not-for-the-log" not in log
    assert KEY.decode() not in log


def test_the_attempts_are_counted(tmp_path):
    with receiving() as receiver, front_with_webhook(tmp_path, receiver.url) as front:
        flip(front, "migrated")
        counted = 'overgrow_webhook_total{outcome="sent"} 1.0'
        eventually(lambda: counted in front.get("/metrics", admin=True)[2].decode())
