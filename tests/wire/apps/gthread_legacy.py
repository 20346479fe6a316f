"""A legacy app of raw sockets: it answers by path and notes what became of each request."""

from __future__ import annotations

import hashlib
import re
import socketserver
import threading

PATIENCE_S = (
    25.0  # a bound on waits that succeed; limits of the product are longer, or set by the test
)


class Legacy(socketserver.ThreadingTCPServer):
    """Start with `with`; `notes` are words such as `upload-whole`, in order."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answering)
        self.notes = []
        self.go = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def note(self, word):
        with self._changed:
            self.notes.append(word)
            self._changed.notify_all()

    def wait_for(self, word):
        with self._changed:
            assert self._changed.wait_for(lambda: word in self.notes, PATIENCE_S), self.notes

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.go.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request, client_address):
        """Say nothing: clients that break off are what is tested."""


class Answering(socketserver.StreamRequestHandler):
    timeout = PATIENCE_S

    def handle(self):
        while line := self.rfile.readline():
            self.target = line.split()[1].decode("latin-1")
            self.fields = {}
            while field := self.rfile.readline().strip():
                name, _, value = field.partition(b":")
                self.fields[name.lower()] = value.strip()
            path = re.split(r"[?]", self.target)[0]
            getattr(self, f"on{path.replace('/', '_').replace('%', '')}", self.on_any)()

    def on_any(self):
        self.answer(self.target.encode())

    def on_upload(self):
        self.server.note("upload-began")
        try:
            body = self.body()
        except (OSError, ValueError):
            self.server.note("upload-broken")
            raise
        self.server.note("upload-whole")
        self.answer(f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode())

    def on_endless(self):
        self.head(b"Transfer-Encoding: chunked")
        try:
            while True:
                self.wfile.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        except OSError:
            self.server.note("endless-closed")
            raise

    def on_truncated(self):
        self.head(b"Content-Length: 100")
        self.wfile.write(b"only this")
        self.connection.close()
        raise ConnectionAbortedError

    def on_events(self):
        self.head(b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked")
        assert self.server.go.wait(PATIENCE_S)
        self.wfile.write(b"9\r\ndata: 1\n\n\r\n0\r\n\r\n")

    def body(self):
        if b"transfer-encoding" not in self.fields:
            size = int(self.fields.get(b"content-length", b"0"))
            return self.exactly(size)
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.exactly(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def exactly(self, size):
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionAbortedError
        return data

    def head(self, fields):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n")

    def answer(self, body):
        self.head(b"Content-Length: %d" % len(body))
        self.wfile.write(body)
