"""A collector of OpenTelemetry for tests: it takes what is exported by OTLP over HTTP, or misbehaves on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.story.front import eventually

SERVER, CLIENT, INTERNAL = 2, 3, 1  # kinds on the wire
UNSET, ERROR = 0, 2  # status


@dataclass(frozen=True)
class Span:
    """One span as it was exported."""

    scope: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    status: int
    attributes: dict[str, Any] = field(repr=False)
    links: tuple[str, ...] = ()  # ids of spans

    def __getitem__(self, name: str) -> Any:
        return self.attributes.get(name)


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def spans_in(data: bytes) -> Iterator[Span]:
    request = ExportTraceServiceRequest()
    request.ParseFromString(data)
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for each in scope.spans:
                yield Span(
                    scope.scope.name,
                    each.name,
                    each.kind,
                    each.trace_id.hex(),
                    each.span_id.hex(),
                    each.parent_span_id.hex(),
                    each.status.code,
                    _attributes(each.attributes),
                    tuple(link.span_id.hex() for link in each.links),
                )


class Collector:
    """The collector; `mode` says how it answers."""

    def __init__(self) -> None:
        self.mode: Literal["take", "hang", "garbage", "refuse"] = "take"
        self.bodies: list[bytes] = []  # all of them, for what must not be in any
        self.spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        self.metrics: list[Any] = []
        self.asked = 0
        self.released = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["content-length"]))
                collector.take(self, data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self._thread.start()

    def take(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        self.asked += 1
        if self.mode == "hang":
            self.released.wait(60)
            return
        if self.mode == "garbage":
            handler.wfile.write(b"\x00\x01 no HTTP at all")
            return
        if self.mode == "refuse":
            handler.send_response(400)
            handler.send_header("content-length", "0")
            handler.end_headers()
            return
        self.bodies.append(data)
        if handler.path == "/v1/metrics":
            self._take_metrics(data)
        else:
            self.spans += spans_in(data)
        handler.send_response(200)
        handler.send_header("content-length", "0")
        handler.end_headers()

    def _take_metrics(self, data: bytes) -> None:
        request = ExportMetricsServiceRequest()
        request.ParseFromString(data)
        for resource in request.resource_metrics:
            self.resources.append(_attributes(resource.resource.attributes))
            for scope in resource.scope_metrics:
                self.metrics += scope.metrics

    def trace_of(self, trace_id: str) -> list[Span]:
        """The spans of a trace once its request has ended: its SERVER span ends last."""
        eventually(lambda: any(span.kind == SERVER for span in self._of(trace_id)))
        return self._of(trace_id)

    def _of(self, trace_id: str) -> list[Span]:
        return [span for span in self.spans if span.trace_id == trace_id]

    def wait_for(self, fits: Callable[[Span], bool]) -> Span:
        """The first span that fits, once it is here."""
        found: Span = eventually(lambda: next((each for each in self.spans if fits(each)), None))
        return found

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@contextmanager
def running_collector() -> Iterator[Collector]:
    collector = Collector()
    try:
        yield collector
    finally:
        collector.close()


def settings_for(port: int, **more: str) -> dict[str, str]:
    """The environment of a front door that exports to this port at once."""
    return {
        "OVERGROW_OTEL": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        **more,
    }
