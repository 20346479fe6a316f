"""What a collector answers: neither its body nor an address that it names is asked for."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from overgrow.tracing.sdk import ExportWatch, TelemetrySdk, WatchedSpanExporter
from tests.ports import free_port
from tests.unit.tracing.test_sdk import Report

PIECE = b"x" * 65_536
PIECES = 1_000  # more than the buffers of both ends of a connection take


class Answering:
    """A collector that answers each request in the same way; `left` is set once a client does not want the body."""

    def __init__(self, head, pieces):
        self.left = threading.Event()
        self.heads = []
        self._head, self._pieces = head, pieces
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection):
        self.heads.append(connection.recv(65_536))
        try:
            connection.sendall(self._head.replace(b"PORT", b"%d" % self.port) + b"\r\n\r\n")
            for _ in range(self._pieces):
                connection.sendall(PIECE)
        except OSError:
            self.left.set()


@contextmanager
def answering(head, pieces=0):
    collector = Answering(head, pieces)
    thread = threading.Thread(target=collector.serve, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.listener.shutdown(socket.SHUT_RDWR)
        collector.listener.close()
        thread.join()


def export_to(port, monkeypatch):
    """Export one span; return what is reported."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    report = Report()
    watch = ExportWatch(report)
    exporter = WatchedSpanExporter(TelemetrySdk({}).load_exporter("traces", "otlp", watch), watch)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("test").start_span("a span").end()
    provider.shutdown()
    return report.heard


def test_an_answer_without_an_end_is_not_read(monkeypatch):
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999", PIECES) as collector:
        assert ["sent"] == export_to(collector.port, monkeypatch)
        assert collector.left.wait(60)


def test_a_redirect_is_a_failure_and_is_not_followed(monkeypatch):
    head = (
        b"HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:PORT/other\r\n"
        b"connection: close\r\ncontent-length: 0"
    )
    with answering(head) as collector:
        assert ["traces: status 307"] == export_to(collector.port, monkeypatch)

    assert not [head for head in collector.heads if b"/other" in head]


def test_the_report_names_the_status_of_a_refusal(monkeypatch):
    head = b"HTTP/1.1 401 key=SECRET\r\nconnection: close\r\ncontent-length: 0"
    with answering(head) as collector:
        assert ["traces: status 401"] == export_to(collector.port, monkeypatch)


def test_the_report_says_that_nobody_listens(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")

    assert ["traces: no connection"] == export_to(free_port(), monkeypatch)


def test_a_later_export_does_not_get_the_reason_of_an_earlier_one():
    report = Report()
    watch = ExportWatch(report)
    watch.explain_failure("traces", "status 503")
    watch.note("traces", is_sent=True)  # a second attempt succeeded
    watch.note("traces", is_sent=False)

    assert ["sent", "traces: it did not take them"] == report.heard
