"""`overgrow serve` in its drain delay: whoever answers, the client's connection ends with the answer."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.wire.serving.servers import Client
from tests.wire.serving.test_serve_for_real import Site
from tests.wire.serving.test_serving_answers import get
from tests.wire.serving.test_serving_drain import wait_until

APP = """
from flask import Flask


async def live(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"live"})


def create_app():
    app = Flask(__name__)
    app.add_url_rule("/hello", view_func=lambda: "hello", endpoint="hello")
    app.add_url_rule("/broken", view_func=lambda: 1 / 0, endpoint="broken")
    app.extensions["asgi"] = {"/live": live}
    return app
"""
TABLE = """version: 1
app: site_under_test:create_app
legacy:
  url: http://127.0.0.1:{port}
routes:
  - {{path: /hello, methods: [GET], target: migrated}}
  - {{path: /broken, methods: [GET], target: migrated}}
  - {{prefix: /live, target: migrated}}
  - {{path: /gone, target: gone}}
"""
ASKED = {
    "public": ["/hello", "/broken", "/live", "/gone", "/forwarded", "/lost"],
    "admin": ["/healthz", "/readyz", "/nowhere"],
}


class Legacy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/lost":
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", "9")
        self.end_headers()
        self.wfile.write(b"forwarded")

    def log_message(self, *_) -> None:
        pass


@pytest.fixture(scope="module")
def draining(tmp_path_factory):
    """Connections of each listener that were kept when the drain delay began."""
    site = Site(tmp_path_factory.mktemp("draining"))
    (site.folder / "site_under_test.py").write_text(APP)
    with ThreadingHTTPServer(("127.0.0.1", 0), Legacy) as legacy:
        threading.Thread(target=legacy.serve_forever).start()
        (site.folder / "routes.yaml").write_text(TABLE.format(port=legacy.server_port))
        with site.serve("--drain-delay", "600s") as served:
            kept = {}
            for listener, paths in ASKED.items():
                for path in paths:
                    kept[path] = Client(getattr(served, listener))
                    kept[path].send(get(paths[0]))
                    assert b"connection: close" not in kept[path].read_answer()[0]
            served.process.terminate()
            wait_until(lambda: b"draining" in served.asked("/readyz", served.admin))
            yield kept
            for client in kept.values():
                client.socket.close()
        legacy.shutdown()


@pytest.mark.parametrize("path", [path for paths in ASKED.values() for path in paths])
def test_whoever_answers_during_the_delay_ends_the_connection(draining, path):
    with draining[path] as client:
        client.send(get(path))
        answer = client.read_to_end()

    assert answer.startswith(b"HTTP/1.1 ")
    assert b"\r\nconnection: close\r\n" in answer
