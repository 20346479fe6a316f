"""Implements the response of one WSGI call: start_response, write(), the iterable, close().

It runs in the app's thread. Rule: if a response is known to be whole and small, it goes to the event loop in
one step, as bytes. Any other response becomes a stream, so that its unsent bytes are counted, and are dropped
when the client leaves. A streamed response runs at most 256 KiB ahead of its client. If the app violates PEP
3333 before the head, the client gets 500 `migrated-crash`. After the head, a violation breaks the stream, so
that the client never mistakes a short body for a whole one.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from types import TracebackType
from typing import Any

from overgrow.exchange import Failure, Reply, Stage, failure_reply
from overgrow.http import CONNECTION_HEADERS, TOKEN, is_event_stream, is_own_header
from overgrow.routing.model import Timeouts
from overgrow.wsgi.error_log import AppErrorLog, one_line_text
from overgrow.wsgi.request_body import WsgiClientDisconnected
from overgrow.wsgi.response_stream import ResponseStream
from overgrow.wsgi.unsent_memory import UnsentMemory

LOG = logging.getLogger("overgrow.local")

WHOLE_BYTES = 64 * 1024  # as much as a connection may hold unsent anyway

WsgiHeaders = list[tuple[str, str]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

# RFC 9110 5.1 and 5.5; the status line is RFC 9112 4 without the 1xx, which are never final.
_NAME = re.compile(TOKEN)
_VALUE = re.compile(r"[ \t\x21-\x7e\x80-\xff]*")
_STATUS = re.compile(r"([2-9][0-9]{2})(?: [ \t\x21-\x7e\x80-\xff]*)?")
# RFC 9110 7.6.1: about one connection, not about the response. PEP 3333 forbids them to apps.
_HOP_BY_HOP = CONNECTION_HEADERS | {b"trailer"}


class ProtocolViolation(Exception):
    """The app violated PEP 3333, and there is no response to pass on."""


class WsgiResponse:
    """The response of one WSGI call. `deliver` passes the Reply to the event loop exactly once."""

    __slots__ = (
        "_abandoned",
        "_committed",
        "_declared_bytes",
        "_deliver",
        "_finished",
        "_headers",
        "_label",
        "_loop",
        "_omits_body",
        "_sent_bytes",
        "_status",
        "_stream",
        "_timeouts",
        "_unsent_memory",
        "whole_bytes",
    )

    def __init__(
        self,
        label: str,
        loop: asyncio.AbstractEventLoop,
        timeouts: Timeouts,
        unsent: UnsentMemory,
        deliver: Callable[[Reply], None],
    ) -> None:
        self._label = label  # "GET /path", for the log
        self._loop = loop
        self._timeouts = timeouts
        self._unsent_memory = unsent
        # None once it was called: it refers back to the call that holds this response.
        self._deliver: Callable[[Reply], None] | None = deliver
        self._omits_body = label.startswith("HEAD ")
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._declared_bytes: int | None = None
        self._sent_bytes = 0
        self._stream: ResponseStream | None = None
        self._committed = False  # the head is on its way
        self._finished = False
        self._abandoned = False
        self.whole_bytes = 0  # of a response in one piece that is not small

    def run_app(
        self,
        app: Callable[..., Iterable[bytes]],
        environ: Callable[[], dict[str, Any]],
        error_log: AppErrorLog,
    ) -> None:
        """Run the app to its end in this thread: the call, the iteration and close()."""
        try:
            result = app(environ(), self.start_response)
            try:
                self._send(result)
            finally:
                if (close := getattr(result, "close", None)) is not None:
                    close()
        except BaseException as error:  # noqa: BLE001 - whatever an app raises, SystemExit too
            if not (self._abandoned and isinstance(error, WsgiClientDisconnected)):
                error_log.log_error(self._label, error)
            self._report_crash(error)

    def start_response(
        self, status: str, headers: WsgiHeaders, exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """Take status and headers (PEP 3333). If they break its rules, raise an exception in the app."""
        if exc_info is not None:
            try:
                if self._committed:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # PEP 3333: no reference cycle through the traceback
        elif self._status:
            raise AssertionError("start_response was called a second time without exc_info")
        code = _status_code(status)
        self._headers, self._declared_bytes = _encode_headers_and_find_length(headers, code)
        self._status = code
        return self._write

    def detach(self) -> None:
        """Deliver nothing from now on, because the call is over or will never run."""
        self._deliver = None

    def abandon(self, failure: Failure | None = None) -> None:
        """Stop sending (called on the event loop). The thread notices this at its next block."""
        self._abandoned = True
        if self._stream is not None:
            self._stream.abandon(failure)

    def _write(self, block: bytes) -> None:
        """Send a block: the write() of PEP 3333, for old apps that push blocks."""
        if not self._send_block(block, whole=False) and self._abandoned:
            raise WsgiClientDisconnected("the client is gone")

    def _send(self, result: Iterable[bytes]) -> None:
        # PEP 3333 "Handling the Content-Length Header": one block in a sequence is the whole body.
        whole = isinstance(result, list | tuple) and len(result) == 1
        for block in result:
            if not self._send_block(block, whole=whole):
                break
        self._finish()

    def _send_block(self, block: bytes, *, whole: bool) -> bool:
        """Send a block. Return False if nobody needs a further block."""
        if not isinstance(block, bytes):
            raise ProtocolViolation(f"the body must be bytes, not {type(block).__name__}")
        if self._abandoned:
            return False
        if not block:
            return True
        if not self._committed:
            return self._send_first_block(block, whole=whole)
        block = self._cut_to_length(block)
        return bool(block) and self._stream is not None and self._stream.put(block)

    def _send_first_block(self, block: bytes, *, whole: bool) -> bool:
        """Send the head and the first block. If the response is complete with them, send both in one step."""
        self._require_status()
        if self._omits_body:
            self._deliver_whole(b"")
            return False
        size = len(block)
        block = self._cut_to_length(block)
        if self._sent_bytes == self._declared_bytes:
            self._deliver_whole(block)
            return size == len(block)
        if not whole:
            self._deliver_stream(block)
            return True
        if self._declared_bytes is not None:
            raise ProtocolViolation(self._shortfall())
        self._deliver_whole(block)
        return True

    def _cut_to_length(self, block: bytes) -> bytes:
        """Cut the block to the declared length: the client would mistake further bytes for the next response."""
        if self._declared_bytes is not None:
            left = self._declared_bytes - self._sent_bytes
            if len(block) > left:
                LOG.warning("%s: the body is longer than its Content-Length; cut", self._label)
                block = block[:left]
        self._sent_bytes += len(block)
        return block

    def _finish(self) -> None:
        if self._abandoned:
            return
        if not self._committed:
            self._require_status()
            if self._declared_bytes and not self._omits_body:
                raise ProtocolViolation(self._shortfall())
            self._deliver_whole(b"")
        elif self._stream is not None:
            short = self._declared_bytes is not None and self._sent_bytes < self._declared_bytes
            self._end_stream(_crash_failure("body", self._shortfall()) if short else None)
        self._finished = True

    def _require_status(self) -> None:
        if not self._status:
            raise ProtocolViolation("the app sent a body without calling start_response")
        self._omits_body = self._omits_body or self._status in {204, 304}

    def _shortfall(self) -> str:
        return f"Content-Length is {self._declared_bytes}, the body has {self._sent_bytes} bytes"

    def _deliver_whole(self, body: bytes) -> None:
        if self._declared_bytes is None and not self._omits_body:
            self._headers.append((b"content-length", b"%d" % len(body)))
        if len(body) <= WHOLE_BYTES:
            self._committed = self._finished = True
            self._deliver_reply(Reply(self._status, self._headers, body))
            return
        self.whole_bytes = len(body)
        self._deliver_stream(body, is_whole=True)
        self._end_stream()
        self._finished = True

    def _deliver_stream(self, block: bytes, *, is_whole: bool = False) -> None:
        idle_s, is_events = self._idle_timeout()
        stream = ResponseStream(
            self._unsent_memory, self._loop, idle_s, is_whole=is_whole, is_events=is_events
        )
        self._stream = stream
        is_added = stream.try_put(block)  # before the head if possible, so that both go out as one
        self._committed = True
        if self._abandoned:  # set by the loop before it could see the stream
            stream.abandon()
        self._deliver_reply(Reply(self._status, self._headers, stream))
        if not is_added:
            stream.put(block)

    def _end_stream(self, failure: Failure | None = None) -> None:
        if self._stream is not None:
            self._stream.end(failure)

    def _deliver_reply(self, reply: Reply) -> None:
        """Deliver the reply, once. Afterwards this object must not refer to the reply any more."""
        deliver, self._deliver = self._deliver, None
        if deliver is not None:
            deliver(reply)

    def _idle_timeout(self) -> tuple[float, bool]:
        """Return (seconds for which the app may send nothing, whether the response is an event stream)."""
        for name, value in self._headers:
            if name == b"content-type" and is_event_stream(value):
                return self._timeouts.stream_idle_s, True
        return self._timeouts.idle_s, False

    def _report_crash(self, error: BaseException) -> None:
        detail = one_line_text(error)
        if self._stream is not None and not self._finished:
            self._end_stream(_crash_failure("body", detail))
        elif not self._committed:
            self._committed = True
            self._deliver_reply(failure_reply(_crash_failure("head", detail)))
        self._finished = True


def _crash_failure(stage: Stage, detail: str) -> Failure:
    return Failure("migrated-crash", stage, "migrated", detail)


def _status_code(status: str) -> int:
    if not isinstance(status, str):
        raise TypeError(f"the status must be text, not {type(status).__name__}")
    matched = _STATUS.fullmatch(status)
    if matched is None:
        raise ValueError(f'the status must look like "200 OK", not {status!r}')
    return int(matched[1])


def _encode_headers_and_find_length(
    headers: WsgiHeaders, code: int
) -> tuple[list[tuple[bytes, bytes]], int | None]:
    """Return (headers as bytes, declared length of the body)."""
    found: list[tuple[bytes, bytes]] = []
    length: int | None = None
    for name, value in headers:
        wire_name = _wire_name(name)
        if not isinstance(value, str):
            raise TypeError(f"header {name}: the value must be text, not {type(value).__name__}")
        if _VALUE.fullmatch(value) is None:
            raise ValueError(f"header {name}: the value holds a control or a non-latin-1 character")
        if wire_name == b"content-length":
            repeated, length = length is not None, _parse_length(value, length)
            if code == 204 or repeated:
                continue  # RFC 9110 8.6: none in a 204; one is enough elsewhere
        if wire_name:
            found.append((wire_name, value.strip(" \t").encode("latin-1")))
    return found, length


@lru_cache(maxsize=512)
def _wire_name(name: str) -> bytes:
    """Return the name in lower case; empty if the header is not passed on (hop-by-hop, or our own)."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a header must be text, not {type(name).__name__}")
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not the name of a header")
    lowered = name.lower().encode("latin-1")
    return b"" if lowered in _HOP_BY_HOP or is_own_header(lowered) else lowered


def _parse_length(value: str, before: int | None) -> int:
    text = value.strip(" \t")
    if not (text.isascii() and text.isdigit()) or (before is not None and before != int(text)):
        raise ValueError(f"Content-Length: {value!r} is not one number of bytes")
    return int(text)
