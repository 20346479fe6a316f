"""The access log: one JSON line per request, fields named by the Elastic Common Schema (ECS).

Lines are formatted by hand, which costs less than a logging library's JSON. A thread writes them,
so a full pipe never stops the event loop. Up to MAX_WAITING lines wait. Later lines are dropped and
counted, and the log itself reports the gap. The thread starts with the first line
and sleeps while there is none.

Rule: a write to a pipe holds whole lines and at most PIPE_BUF bytes. POSIX keeps such a write in
one piece, so the lines of workers that share one pipe do not get mixed.

Privacy: the path is logged. The query is not, because it holds search terms, e-mail addresses and
tokens. Cookies, Referer and User-Agent are not logged either. `client.address` is personal data in
many countries.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import select
import stat
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from overgrow.caches.header_memo import HeaderMemo
from overgrow.exchange import Exchange, Failure, FellBack
from overgrow.routing.facts import Head, Headers

logger = logging.getLogger("overgrow")

MAX_WAITING = 20_000  # lines; some 10 MB
FLUSH_S = 0.05
CLOSE_S = 2.0
PIPE_BUF = 4096  # select.PIPE_BUF on Linux; POSIX promises 512
FILE_CHUNK = 1 << 16
_MAX_PATH_LENGTH = 700  # a line holds the path twice, and six other texts of at most 300 each
_MAX_REMEMBERED_LENGTH = 600  # characters, of four values
_MAX_REMEMBERED = 4096
_REQUEST_FIELDS = ("http.request.method", "url.scheme", "url.domain", "http.version")
_DECISION_FIELDS = ("overgrow.route", "overgrow.side", "overgrow.reason", "overgrow.revision")


class AccessLog:
    """A Sink that writes a line for each exchange to a stream: a file object such as stdout.

    `on_drop` is called, in any thread, with how many lines were just lost.
    """

    def __init__(self, stream: Any, on_drop: Callable[[int], None] | None = None) -> None:
        self._stream = stream
        self._on_drop = on_drop
        self._lines = LineFormatter()
        self._reset_state()

    def _reset_state(self) -> None:
        self._overflowed = self._unwritten = self._reported = self._reported_drops = 0
        self._reporting_drops = threading.Lock()
        self._is_lost = self._is_torn = False
        self._waiting: deque[str] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def dropped_lines(self) -> int:
        """How many lines were lost, because too many waited or because they could not be written."""
        return self._overflowed + self._unwritten

    # Map 18 (docs/architecture.md#a-request-by-numbers)
    def record(self, exchange: Exchange) -> None:
        """Queue one line; it reaches the stream within FLUSH_S."""
        if len(self._waiting) >= MAX_WAITING:
            self._overflowed += 1
            return
        self._waiting.append(self._lines.format_line(exchange))
        if not self._wake.is_set():
            self._wake.set()
            if self._thread is None:
                self._start()

    def close(self) -> None:
        """Write the waiting lines, for at most CLOSE_S if the stream blocks, and end the thread until the next `record`."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None and thread.is_alive():
            self._closing.set()
            self._wake.set()
            thread.join(CLOSE_S)
        atexit.unregister(self.close)

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            self._closing = threading.Event()
            self._thread = threading.Thread(
                target=self._run_writer,
                args=(self._closing,),
                name="overgrow-access-log",
                daemon=True,
            )
            self._thread.start()
        atexit.register(self.close)
        # A forked child has no such thread, and the parent writes the lines that wait.
        begin = weakref.WeakMethod(self._reset_state)
        os.register_at_fork(after_in_child=lambda: (method := begin()) and method())

    def _run_writer(self, closing: threading.Event) -> None:
        while not closing.is_set() or self._waiting:
            self._wake.wait()
            closing.wait(FLUSH_S)
            self._wake.clear()
            self._report_gap()
            self._write_waiting()

    def _report_gap(self) -> None:
        lines = self.dropped_lines - self._reported
        self.report_drops()
        if lines and not self._is_lost:
            self._reported += lines
            self._waiting.append(_gap_line(lines))

    def report_drops(self) -> None:
        """Report newly lost lines to `on_drop`. The writing thread does so too, but it may be blocked by the stream."""
        with self._reporting_drops:
            lines = self.dropped_lines - self._reported_drops
            self._reported_drops += lines
        if lines and self._on_drop:
            self._on_drop(lines)

    def _write_waiting(self) -> None:
        write, max_length = _writer_for(self._stream)
        for chunk in take_chunks(self._waiting, max_length):
            whole = (
                b"\n" + chunk if self._is_torn else chunk
            )  # else it would go on with half a line
            try:
                write(whole)
            except (OSError, ValueError, AttributeError) as error:
                self._note_loss(chunk.count(b"\n"), error)
            else:
                self._note_recovery()

    def _note_loss(self, lines: int, error: Exception) -> None:
        """Count lines that could not be written, because the reader is gone or the disk is full; log the first loss."""
        self._is_torn = True
        self._unwritten += lines
        self.report_drops()
        if not self._is_lost:
            self._is_lost = True
            logger.error("access-log-lost why=%r", getattr(error, "strerror", None) or str(error))

    def _note_recovery(self) -> None:
        self._is_torn = False
        if self._is_lost:
            self._is_lost = False
            self._wake.set()  # for the gap
            logger.info("access-log-found dropped=%d", self.dropped_lines - self._reported)


class LineFormatter:
    """Formats an Exchange as one line of JSON, newline included. It caches the text of repeated fields."""

    def __init__(self) -> None:
        self._second = (0, "")
        self._remembered: dict[tuple[str, str, str, str], str] = {}

    def format_line(self, exchange: Exchange) -> str:
        """Format one exchange in ASCII, short enough for one write to a pipe."""
        head, decision, status = exchange.head, exchange.decision, exchange.status
        failure, fell = exchange.failure, exchange.fallback
        path = _path_json(head.target)
        request = (head.method, head.scheme, head.host, head.http_version)
        decided = (decision.route_name, decision.side, decision.reason, decision.revision)
        return (
            f'{{"@timestamp":"{self._timestamp(exchange.started_at)}","log.level":"info"'
            f',"message":"{status} {path[1:]},"ecs.version":"8.17.0","event.dataset":"overgrow.access"'
            f'{self._remembered.get(request) or self._remember_fields(request, _REQUEST_FIELDS)},"url.path":{path}'
            f',"client.address":{_client_json(head.client)},"http.response.status_code":{status}'
            f',"http.request.body.bytes":{exchange.request_bytes}'
            f',"http.response.body.bytes":{exchange.response_bytes}'
            f',"event.duration":{int(exchange.duration_s * 1e9)}'
            f',"overgrow.first_byte":{int(exchange.first_byte_s * 1e9)}'
            f"{self._remembered.get(decided) or self._remember_fields(decided, _DECISION_FIELDS)}"
            f"{_failure_fields(failure) if failure is not None else ''}"
            f"{_fallback_fields(fell) if fell is not None else ''}{_trace_fields(head)}}}\n"
        )

    def _timestamp(self, unix_s: float) -> str:
        second = int(unix_s)
        cached, text = self._second
        if second != cached:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = (second, text)
        return f"{text}.{int((unix_s - second) * 1e6):06d}Z"

    def _remember_fields(self, values: tuple[str, str, str, str], names: tuple[str, ...]) -> str:
        if len(self._remembered) >= _MAX_REMEMBERED:  # clients choose methods and hosts
            self._remembered.clear()
        pairs = zip(names, map(_without_port, names, values), strict=True)
        text = "".join(f',"{name}":{_text_json(value)}' for name, value in pairs)
        if sum(map(len, values)) <= _MAX_REMEMBERED_LENGTH:
            self._remembered[values] = text
        return text


def _without_port(name: str, value: str) -> str:
    """Return the value of the ECS field `name`; a host loses its port, for which ECS has another field."""
    return re.sub(r":\d*$", "", value) if name == "url.domain" else value


@lru_cache(maxsize=1024)
def _client_json(address: str) -> str:
    """Return a client's address as JSON; cached, because the same clients come again."""
    return _text_json(address)


def _text_json(text: str, max_length: int = 300) -> str:
    """Return a JSON string of at most `max_length` characters; a longer text is cut and ends in `...`."""
    if 6 * len(text) <= max_length:  # escaping makes six characters of one at most
        return quoted(text)
    whole = quoted(text)
    return whole if len(whole) <= max_length else quoted(text[: max_length // 6 - 1] + "...")


def _path_json(target: bytes) -> str:
    return _text_json(target.partition(b"?")[0].decode("latin-1"), _MAX_PATH_LENGTH)


def _failure_fields(failure: Failure) -> str:
    return (
        f',"error.code":{_text_json(failure.code)},"error.message":{_text_json(failure.detail)}'
        f',"overgrow.failure.party":"{failure.party}","overgrow.failure.stage":"{failure.stage}"'
    )


def _fallback_fields(fell: FellBack) -> str:
    """Return the fields about a fallback: what migrated returned before legacy answered instead."""
    return f',"overgrow.fallback.code":"{fell.code}","overgrow.fallback.status":{fell.status}'


def _trace_fields(head: Head) -> str:
    """Return the W3C trace id and the X-Request-ID, if the client or a load balancer sent them."""
    headers = head.headers
    if type(headers) is not HeaderMemo:
        return _format_trace_fields(headers)
    if headers.log_fields is None:
        headers.log_fields = _format_trace_fields(headers)
    return headers.log_fields


def _format_trace_fields(headers: Headers) -> str:
    found = ""
    for name, value in headers:
        if name == b"traceparent" and len(value) >= 55 and value[3:35].isalnum():
            found += f',"trace.id":"{value[3:35].decode()}"'
        elif name == b"x-request-id":
            found += f',"http.request.id":{_text_json(value[:128].decode("latin-1"))}'
    return found


def _gap_line(lines: int) -> str:
    return (
        '{"log.level":"warn","event.dataset":"overgrow.access"'
        f',"message":"{lines} access-log lines were dropped: the log was not read fast enough"}}\n'
    )


def take_chunks(waiting: deque[str], max_length: int) -> Iterator[bytes]:
    """Take whole lines from the queue; yield them joined, in pieces of at most `max_length` bytes."""
    taken: list[str] = []
    size = 0
    while waiting:
        line = waiting.popleft()  # ASCII: a character is a byte
        if taken and size + len(line) > max_length:
            yield "".join(taken).encode()
            taken, size = [], 0
        taken.append(line)
        size += len(line)
    if taken:
        yield "".join(taken).encode()


def _writer_for(stream: Any) -> tuple[Callable[[bytes], object], int]:
    """Return (write, max bytes): a function that writes bytes to a stream, and the most that one call may write."""
    try:
        fd = stream.fileno()
    except (AttributeError, OSError, ValueError):  # a StringIO, or a test's capture
        return lambda chunk: stream.write(chunk.decode()), FILE_CHUNK
    max_length = PIPE_BUF if stat.S_ISFIFO(os.fstat(fd).st_mode) else FILE_CHUNK
    return lambda chunk: _write_all(fd, chunk), max_length


def _write_all(fd: int, chunk: bytes) -> None:
    while chunk:
        try:
            chunk = chunk[os.write(fd, chunk) :]
        except BlockingIOError:  # somebody made the shared stream non-blocking
            select.select([], [fd], [], 1.0)
