"""Parses requests with a subclass of gunicorn's strict parser that is faster (it uses `re`) and stricter.

Rule: gunicorn's own parser accepts each request that this parser accepts, with the same framing (a property
test checks this). There are two exceptions: a method may be any token, and a trailer may have any name except
the two names that frame a message. This parser refuses more than gunicorn's: see `_parse_framing`. It does not
know connections, time or responses. If it refuses a request, it raises gunicorn's ParseError.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from gunicorn.asgi.parser import (
    RFC9110_5_3_SINGLETON_FIELDS,
    InvalidHeader,
    InvalidRequestLine,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseError,
    PythonProtocol,
)

from overgrow.caches.header_memo import HeaderMemo
from overgrow.http import TOKEN_BYTES

MAX_LENGTH = 2**63 - 1  # what every peer can count; a length beyond it wraps somewhere
MAX_DIGITS = 18  # of a Content-Length; any number of them stays below MAX_LENGTH
HEAD_BYTES = 65_536  # of all headers together
KNOWN_BYTES = 4_096  # the longest header block that is remembered, in case it comes again
STEP_BYTES = 8_192  # so that a step through the tiniest chunks takes a few milliseconds

_VALUE = rb"[^\x00-\x08\x0a-\x1f\x7f]*+"
# The usual request line, without "#"; gunicorn's own code parses any other.
_plain_start = re.compile(
    rb"(" + TOKEN_BYTES + rb") (/[\x21\x22\x24-\x7e]*) HTTP/1\.([01])\r\n"
).match
_is_token = re.compile(TOKEN_BYTES).fullmatch
_has_control = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
_is_field_block = re.compile(rb"(?:" + TOKEN_BYTES + rb":" + _VALUE + rb"\r\n)*").fullmatch
_is_field = re.compile(TOKEN_BYTES + rb":" + _VALUE + rb"\r\n").fullmatch
_fields_of = re.compile(rb"(" + TOKEN_BYTES + rb"):[ \t]*(" + _VALUE + rb")\r\n").findall

# RFC 9110 5.3: a second one of these makes the message ambiguous.
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_SINGLE = RFC9110_5_3_SINGLETON_FIELDS | _FRAMING
_READ_HERE = _SINGLE | {b"connection", b"upgrade", b"expect", b"te"}

# RFC 9110 7.2, RFC 3986 3.2.2: host [":" port], without userinfo; an empty host is allowed.
_HOST = rb"(?:\[[0-9A-Fa-f:.vV~_\-]+\]|[A-Za-z0-9\-._~!$&'()*+;=%]*)(?::[0-9]*)?"
_is_host = re.compile(_HOST).fullmatch
# RFC 9112 3.2.2. A proxy that forwards has no use for other schemes.
_absolute_form = re.compile(rb"(?i:https?)://(?=[^/?#:])(" + _HOST + rb")([/?][^#]*)?").fullmatch


class _RememberedHead(NamedTuple):
    """The headers of a request without a body, and the values that follow from the headers alone."""

    block: bytes
    rest: bytes  # the same and the blank line: a request's bytes behind its first line
    version: tuple[int, int]
    headers: HeaderMemo
    content_length: int | None
    should_keep_alive: bool
    takes_trailers: bool


# Map 2 (docs/architecture.md#a-request-by-numbers)
class RequestParser(PythonProtocol):  # type: ignore[misc]
    """The request parser of one connection; gunicorn's PythonProtocol documents its callbacks.

    When a head is complete, the parser sets gunicorn's own attributes and three more: `expects_continue`,
    `is_upgrade` (GET, no body, Connection: upgrade, Upgrade: websocket), `takes_trailers`.
    """

    # gunicorn's, untyped
    method: bytes
    path: bytes
    http_version: tuple[int, int]
    headers: list[tuple[bytes, bytes]]
    is_chunked: bool
    is_complete: bool
    should_keep_alive: bool
    content_length: int | None
    _state: str
    _chunk_state: str
    _header_count: int
    _body_remaining: int
    _buffer: bytearray

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.expects_continue = False
        self.is_upgrade = False
        self.takes_trailers = False
        self._head_bytes = 0  # of headers taken line by line
        self._previous_hash = 0  # the hash of the headers of the request before
        self._remembered: _RememberedHead | None = None
        self._applied: _RememberedHead | None = None  # whose facts stand in the attributes

    def try_parse_repeated_request(self, data: bytes) -> bool:
        """Parse `data` if it is one whole request with the same headers as the previous request.

        Most requests of a connection are of this kind. If the result is True, the request is complete, and no
        callback was called. If the result is False, `data` is still to be parsed.
        """
        remembered = self._remembered
        if remembered is None or self._buffer or self._state != "request_line":
            return False
        found = _plain_start(data)
        if found is None or (end := found.end()) - 2 > self._limit_request_line:
            return False
        method, path, minor = found.groups()
        if data[end:] != remembered.rest or (minor == b"1") != (remembered.version == (1, 1)):
            return False
        if self._applied is not remembered:
            self._apply_remembered_head(remembered)
            self._applied = remembered
        self.method, self.path = method, path
        self._state = "complete"
        self.is_complete = True
        return True

    def prepare_for_next_request(self) -> bytes:
        """Prepare for the next request. Return those of its bytes that have come already."""
        if self._applied is None or self._buffer:
            pipelined: bytes = self.remaining()
            self.reset()
            return pipelined
        self._state = "request_line"
        self.is_complete = False
        return b""

    def reset(self) -> None:
        """Prepare for the next request, as gunicorn's own parser does."""
        super().reset()
        self._applied = None

    @property
    def max_feed_bytes(self) -> int:
        """How many bytes can be fed at once without delaying other requests.

        Small and large chunks cost the same. Therefore a body that may have many chunks is fed in steps.
        """
        if self._state in ("body", "complete"):
            return MAX_LENGTH
        return STEP_BYTES + int(self._chunk_remaining)

    @property
    def is_in_chunks(self) -> bool:
        """Whether the parser is within a chunked body."""
        return self._state == "chunked"

    @property
    def pipelined_bytes(self) -> int:
        """How many bytes came after a complete request and belong to the next one."""
        return len(self._buffer) if self.is_complete else 0

    @property
    def is_between_requests(self) -> bool:
        """Whether the next request has not begun: none of its bytes has come."""
        return self._state == "request_line" and not self._buffer

    def clear_callbacks(self) -> None:
        """Drop the callbacks when the connection is gone, because parser and connection refer to each other."""
        self._on_headers_complete = self._on_body = self._on_message_complete = None

    def raise_if_chunk_too_large(self) -> None:
        """Raise ParseError for a chunk size that could overflow, in this parser or at the upstream (RFC 9112 7.1)."""
        if self._chunk_size > MAX_LENGTH:
            raise ParseError("chunk size beyond 2^63")

    def _is_valid_method(self, method: bytes) -> bool:
        # RFC 9110 9.1: any token. The legacy app may know methods that we do not.
        return _is_token(method) is not None

    def _is_valid_token(self, data: bytes) -> bool:
        return _is_token(data) is not None

    def _has_invalid_header_chars(self, value: bytes) -> bool:
        return _has_control(value) is not None

    def _find_line(self, limit: int, error: ParseError) -> int:
        """Find the next line, as gunicorn does.

        In addition, check that trailers are well-formed fields (RFC 9112 7.1.2).
        """
        end: int = super()._find_line(limit, error)
        is_trailer = end > 0 and self._state == "chunked" and self._chunk_state == "trailer"
        if is_trailer:
            if _is_field(self._buffer, 0, end + 2) is None:
                raise InvalidHeader("Malformed trailer field")
            # RFC 9110 6.5.1: what may not stand there may be ignored, as all trailers of requests
            # are here. gunicorn would refuse the whole request for any name that it knows; we leave
            # it those that frame a message, which only smugglers write there.
            if bytes(self._buffer[: self._buffer.index(b":")]).lower() not in _FRAMING:
                self._buffer[:1] = b"-"
        return end

    def _parse_request_line(self) -> bool:
        """Parse a usual request line with one pattern, and any other line step by step."""
        if self._applied is not None:
            self._finish_deferred_reset()
        found = _plain_start(self._buffer)
        if found is None or found.end() - 2 > self._limit_request_line:
            return self._parse_unusual_request_line()
        self.method, self.path, minor = found.groups()
        self.http_version = (1, 1) if minor == b"1" else (1, 0)
        del self._buffer[: found.end()]
        self._scan_from = self._head_bytes = 0
        self._state = "headers"
        return True

    def _finish_deferred_reset(self) -> None:
        """Do the rest of the reset that `prepare_for_next_request` began. Keep the bytes that have come."""
        came, self._buffer = self._buffer, bytearray()
        self.reset()
        self._buffer = came

    def _parse_unusual_request_line(self) -> bool:
        self._head_bytes = 0
        if not super()._parse_request_line():
            return False
        # RFC 9112 3.2: no form of a target has a fragment. Who reads one sees another path.
        if b"#" in self.path:
            raise InvalidRequestLine("The target has a fragment")
        return True

    def _parse_headers(self) -> bool:
        """If the whole head has come and is well-formed, parse it in one step; else parse it line by line."""
        end = 0 if self._buffer[:2] == b"\r\n" else self._buffer.find(b"\r\n\r\n")
        size = len(self._buffer) if end == -1 else end
        if self._head_bytes + size > HEAD_BYTES:
            raise LimitRequestHeaders("The headers are too large")
        if self._header_count or end <= 0 or end > self._limit_request_field_size:
            return self._parse_header_lines()
        block = bytes(self._buffer[: end + 2])
        if self._remembered is not None and self._is_same_head(self._remembered, block):
            del self._buffer[: end + 4]
            self._scan_from = 0
            self._header_count = len(self._remembered.headers)
            self._apply_remembered_head(self._remembered)
            self._emit_headers_complete()
            return True
        found = _fields_of(block) if _is_field_block(block) else None
        if found is None or len(found) > self._limit_request_fields:
            return self._parse_header_lines()  # which names the fault
        del self._buffer[: end + 4]
        self._scan_from = 0
        self._headers_list = [(name.lower(), value.rstrip(b" \t")) for name, value in found]
        self._header_count = len(found)
        self.headers = self._headers_list
        self._parse_framing()
        if len(block) <= KNOWN_BYTES:
            self._remember_head_if_repeated(block)
        self._emit_headers_complete()
        return True

    def _is_same_head(self, remembered: _RememberedHead, block: bytes) -> bool:
        """Whether the headers are the remembered ones.

        False if the target is not a path, because Host must be checked then.
        """
        return (
            block == remembered.block
            and self.http_version == remembered.version
            and self.path[:1] == b"/"
        )

    def _apply_remembered_head(self, remembered: _RememberedHead) -> None:
        """Set the attributes of this parser from the remembered head."""
        self.headers = remembered.headers
        self.http_version = remembered.version
        self.content_length = remembered.content_length
        self.should_keep_alive = remembered.should_keep_alive
        self.takes_trailers = remembered.takes_trailers
        self.expects_continue = self.is_upgrade = self.is_chunked = False

    def _remember_head_if_repeated(self, block: bytes) -> None:
        """Remember a head only if it comes twice in a row, because many connections carry a single request."""
        seen = hash(block)  # a hash collision costs memory alone: the whole block is compared later
        is_second, self._previous_hash = seen == self._previous_hash, seen
        is_plain = not (self._body_remaining or self.expects_continue)
        self._remembered = None
        if is_second and is_plain:
            names = dict(self.headers)
            if b"upgrade" in names:  # whether it is an upgrade depends on the method too
                return
            host = names.get(b"host", b"")
            self.headers = HeaderMemo(self.headers, host.decode("latin-1"))
            self._remembered = _RememberedHead(
                block,
                block + b"\r\n",
                self.http_version,
                self.headers,
                self.content_length,
                self.should_keep_alive,
                self.takes_trailers,
            )

    def _parse_header_lines(self) -> bool:
        before = len(self._buffer)
        if super()._parse_headers():
            return True
        self._head_bytes += before - len(self._buffer)
        return False

    def _finalize_headers(self) -> None:
        """Decide where the body ends and whether the connection persists.

        Then call the callback for a complete head.
        """
        self.headers = self._headers_list
        self._parse_framing()
        self._emit_headers_complete()

    def _emit_headers_complete(self) -> None:
        if self._on_headers_complete:
            self._on_headers_complete()
        if self.is_chunked:
            self._state, self._chunk_state = "chunked", "size"
        elif self._body_remaining:
            self._state = "body"
        else:
            self._state = "complete"
            self.is_complete = True
            if self._on_message_complete:
                self._on_message_complete()

    def _parse_framing(self) -> None:
        """Read how the body is framed (RFC 9112 6): one Content-Length of digits, or one `chunked`."""
        seen: dict[bytes, bytes] = {}
        for name, value in self.headers:
            if name not in _READ_HERE:
                continue
            if name not in seen:
                seen[name] = value
            elif name in _SINGLE:
                raise InvalidHeader(f"Duplicate {name.decode()} header")
            else:
                seen[name] += b"," + value
        length = seen.get(b"content-length")
        coding = seen.get(b"transfer-encoding")
        # Any other coding cannot be decoded here, and would be lost.
        is_plain = coding is None or (coding.lower() == b"chunked" and length is None)
        if not is_plain or (coding is not None and self.http_version < (1, 1)):
            raise InvalidHeader("Transfer-Encoding is not chunked, once, alone, in HTTP/1.1")
        self.is_chunked = coding is not None
        self.content_length = None if length is None else _parse_length(length)
        self._body_remaining = -1 if self.is_chunked else (self.content_length or 0)
        self._require_host(seen.get(b"host"))
        self._read_connection_options(seen)

    def _read_connection_options(self, seen: dict[bytes, bytes]) -> None:
        """Read the options in Connection, Expect, TE and Upgrade (RFC 9112 9.3, RFC 9110 10.1.1, RFC 6455 4.1)."""
        is_current = self.http_version >= (1, 1)
        options = _split_comma_list(seen.get(b"connection", b""))
        self.should_keep_alive = b"close" not in options and (
            is_current or b"keep-alive" in options
        )
        self.expects_continue = is_current and seen.get(b"expect", b"").lower() == b"100-continue"
        self.takes_trailers = is_current and b"trailers" in _split_comma_list(seen.get(b"te", b""))
        self.is_upgrade = (
            seen.get(b"upgrade", b"").lower() == b"websocket"
            and b"upgrade" in options
            and self.method == b"GET"
            and is_current
            and self._body_remaining == 0
        )

    def _require_host(self, host: bytes | None) -> None:
        """Refuse HTTP/1.1 without Host, and an invalid host in Host or in an absolute target (RFC 9112 3.2)."""
        if host is None:
            if self.http_version >= (1, 1):
                raise InvalidHeader("HTTP/1.1 without Host header")
        elif not _is_host(host):
            raise InvalidHeader("Invalid Host header")
        if self.path[:1] != b"/" and self.path != b"*" and self.method != b"CONNECT":
            origin_form_of(self.path)


def _split_comma_list(value: bytes) -> set[bytes]:
    """Return the members of a comma-separated list, in lower case."""
    return {member.strip() for member in value.lower().split(b",")} if value else set()


def _parse_length(value: bytes) -> int:
    if not value.isdigit() or len(value) > MAX_DIGITS:
        raise InvalidHeader("Invalid Content-Length value")
    return int(value)


def origin_form_of(target: bytes) -> bytes:
    """Return the path and query of a target in absolute form (RFC 9112 3.2.2).

    Raises:
        InvalidRequestLine: the target is not in absolute form.

    """
    found = _absolute_form(target)
    if found is None:
        raise InvalidRequestLine("The target is neither a path nor an absolute http URI")
    rest = found[2] or b"/"
    return rest if rest[:1] == b"/" else b"/" + rest


def failure_code(error: Exception) -> str:
    """Return the code in overgrow.exchange.FAILURES for an exception of the parser."""
    if isinstance(error, LimitRequestLine):
        return "target-too-long"
    if isinstance(error, LimitRequestHeaders):
        return "head-too-large"
    return "bad-request"
