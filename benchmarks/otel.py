"""What traces cost: front doors that differ in the sampled share alone, and a collector that takes everything.

Rule: the collector runs on the cores of load and upstream, so that the figure is what the front door itself spends, its
exporting thread included.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OFF, NONE, ONE, ALL = "off", "0%", "1%", "100%"
RATIOS = {NONE: "0", ONE: "0.01", ALL: "1"}
MOST_US = 5.0  # that a request may cost more at 1%


class Taking(BaseHTTPRequestHandler):
    """Takes what is sent, and reads none of it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def collector() -> Iterator[int]:
    """A collector while the block runs; its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def settings_for(share: str, port: int) -> dict[str, str]:
    """The environment of a front door that samples this share."""
    if share == OFF:
        return {}
    return {
        "OVERGROW_OTEL": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": RATIOS[share],
    }
