"""A legacy app with answers of any size, that knows how many bodies it waits for at once.

Rule: uploads are counted by their target, so that a test which has targets of its own counts nothing of
the clients that left in the test before.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, defaultdict
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE_BYTES = 4 * 1024 * 1024
PIECE = bytes(range(256)) * 256


class Legacy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.arriving: Counter[str] = Counter()  # bodies that are waited for now
        self.most_arriving: Counter[str] = Counter()
        self.expected: defaultdict[str, list[str | None]] = defaultdict(list)  # the fields Expect
        self.targets: list[str] = []
        self.hosts: list[str | None] = []  # that requests named, in Host and X-Forwarded-Host
        self.over = threading.Event()  # for event streams

    @property
    def port(self):
        return self.server_address[1]

    def handle_error(self, request, client_address):
        """A client that leaves is no news."""

    def count(self, target, change):
        with self.lock:
            self.arriving[target] += change
            self.most_arriving[target] = max(self.most_arriving[target], self.arriving[target])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Legacy

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.targets.append(self.path)
        self.server.hosts += [self.headers["Host"], self.headers["X-Forwarded-Host"]]
        if self.path == "/large":
            self.head(("Content-Length", str(LARGE_BYTES)))
            for _ in range(LARGE_BYTES // len(PIECE)):
                self.wfile.write(PIECE)
        elif self.path == "/endless":
            self.close_connection = True
            self.head(("Connection", "close"))
            while True:
                self.wfile.write(PIECE)
        elif self.path == "/events":
            self.close_connection = True
            self.head(("Content-Type", "text/event-stream"), ("Connection", "close"))
            self.wfile.write(b"data: begun\n\n")
            self.wfile.flush()
            self.server.over.wait()
            self.wfile.write(b"data: ended\n\n")
        else:
            self.head(("Content-Length", "5"))
            self.wfile.write(b"quick")

    def do_POST(self):
        self.server.expected[self.path].append(self.headers["Expect"])
        length = int(self.headers["Content-Length"])
        self.server.count(self.path, +1)
        try:
            body = self.rfile.read(length)
        finally:
            self.server.count(self.path, -1)
        told = f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()
        self.head(("Content-Length", str(len(told))))
        self.wfile.write(told)

    def head(self, *headers):
        self.send_response(200)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def running():
    legacy = Legacy()
    thread = threading.Thread(target=legacy.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield legacy
    finally:
        legacy.shutdown()
        with suppress(OSError):
            legacy.server_close()
