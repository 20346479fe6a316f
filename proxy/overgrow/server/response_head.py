"""Builds the lines of a response's head as bytes (status, headers, date), and whole error responses.

Rule: names and values that cannot form a header line are refused here, for every response. This module does
not know connections.
"""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

from overgrow.caches.bounded_cache import BoundedCache
from overgrow.exchange import Failure, failure_reply
from overgrow.http import TOKEN_BYTES

_is_field_block = re.compile(
    rb"(?:" + TOKEN_BYTES + rb": [^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*"
).fullmatch
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_is_reason = re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch
_MAX_CACHED_NAMES = 64  # names of one head; a list of more is looked through and forgotten
# The request cycle decides framing and persistence of this hop, whatever the app says.
_OWN_FIELDS = frozenset({b"transfer-encoding", b"connection", b"keep-alive"})


def error_response(failure: Failure, *, method: bytes | None) -> bytes:
    """Return the whole error response to a request that never reaches the app. It contains `Connection: close`.

    `method` is the request's method, if known. The response to HEAD has no body (RFC 9110 9.3.2).
    """
    reply = failure_reply(failure)
    block = build_header_block(reply.headers)
    body = reply.body if isinstance(reply.body, bytes) and method != b"HEAD" else b""
    close = b"connection: close\r\n\r\n"
    return status_line(reply.status) + block + date_line() + close + body


def build_header_block(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Check headers and return them as lines. An app that echoes input must not be able to end a line.

    Raises:
        RuntimeError: for a name or value that RFC 9110 5.5 and 5.6.2 do not allow.

    """
    block = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    # One pass over all lines; the count sees a value that is itself a well-formed line or more.
    if not _is_field_block(block) or block.count(b"\n") != len(headers):
        raise RuntimeError("A response header's name or value is not valid")
    return block


class HeadLayout(NamedTuple):
    """What follows from the names of a response's headers, without their values."""

    length_at: int | None  # the first Content-Length
    owned_at: tuple[int, ...]  # _OWN_FIELDS, and any further Content-Length
    has_date: bool


def head_layout_of(names: tuple[bytes, ...]) -> HeadLayout:
    """Return the layout of a response's head. Cached, because an app repeats a few lists of names."""
    return _layouts[names]


def _compute_layout(names: tuple[bytes, ...]) -> HeadLayout:
    lower = [name.lower() for name in names]
    lengths = [at for at, name in enumerate(lower) if name == b"content-length"]
    owned = [at for at, name in enumerate(lower) if name in _OWN_FIELDS]
    return HeadLayout(lengths[0] if lengths else None, tuple(owned + lengths[1:]), b"date" in lower)


_layouts = BoundedCache(_compute_layout, max_entries=256, max_length=_MAX_CACHED_NAMES)


def status_line(status: int, reason: bytes | None = None) -> bytes:
    """Return a status line such as `HTTP/1.1 404 Not Found` with its line end. `reason` replaces the usual phrase.

    If there is no `reason`, a status that HTTP does not define has an empty phrase.

    Raises:
        RuntimeError: for a phrase that RFC 9112 4 does not allow.

    """
    if reason is None:
        return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    if not _is_reason(reason):
        raise RuntimeError("A reason phrase is not valid")
    return b"HTTP/1.1 %d %b\r\n" % (status, reason)


_date = (0, b"")  # the second, and its line: formatting costs more than the rest of a head


def date_line() -> bytes:
    """Return the line of the Date header for the current second."""
    global _date  # noqa: PLW0603 - a cache of the clock, the same for all
    now = int(time.time())
    if now != _date[0]:
        _date = (now, f"date: {formatdate(now, usegmt=True)}\r\n".encode())
    return _date[1]
