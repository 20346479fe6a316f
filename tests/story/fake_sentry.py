"""A Sentry for tests: it takes envelopes, keeps their bytes, and answers as a test wants."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0123456789abcdef0123456789abcdef"


class FakeSentry:
    """What came, and the status of the answers; None: it never answers. `garbage` replaces the whole answer."""

    def __init__(self, port: int) -> None:
        self.envelopes: list[bytes] = []
        self.status: int | None = 200
        self.garbage: bytes | None = None
        self.ends = threading.Event()
        sentry = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    data = gzip.decompress(data)
                sentry.envelopes.append(data)
                if sentry.garbage is not None:
                    self.wfile.write(sentry.garbage)
                    return
                if sentry.status is None:
                    sentry.ends.wait(120)
                self.send_response(sentry.status or 200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.dsn = f"http://{KEY}@127.0.0.1:{self.server.server_port}/7"

    def items(self, kind: str) -> list[dict[str, Any]]:
        """The items of one kind (`event`, `transaction`) of all envelopes, in order."""
        found = (_items_of(each) for each in list(self.envelopes))
        return [payload for items in found for type_, payload in items if type_ == kind]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The errors that came."""
        return self.items("event")


def _items_of(envelope: bytes) -> list[tuple[str, Any]]:
    """The items of one envelope, by https://develop.sentry.dev/sdk/data-model/envelopes/."""
    _, _, rest = envelope.partition(b"\n")
    items = []
    while rest:
        line, _, rest = rest.partition(b"\n")
        if not line:
            continue
        head = json.loads(line)
        length = head.get("length", rest.find(b"\n"))
        items.append((head["type"], json.loads(rest[:length])))
        rest = rest[length:].removeprefix(b"\n")
    return items


@contextmanager
def running_sentry(port: int = 0) -> Iterator[FakeSentry]:
    """Run a fake Sentry."""
    sentry = FakeSentry(port)
    threading.Thread(target=sentry.server.serve_forever, daemon=True).start()
    try:
        yield sentry
    finally:
        sentry.ends.set()
        sentry.server.shutdown()
        sentry.server.server_close()
