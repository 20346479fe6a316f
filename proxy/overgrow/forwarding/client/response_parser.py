"""Parses the heads of responses strictly by RFC 9112. The library llhttp reads the chunks. Pure.

Rule: heads are always parsed strictly. If a leniency allows a deviation, the head is first rewritten into
strict form, so that only deviations named in LENIENCIES pass. A head of well-formed lines is split here in one
step, because llhttp would call Python once for each field. A malformed head goes to llhttp, which names the
fault. llhttp is not strict everywhere: this module checks version, status, transfer codings, sizes and blank
lines.
"""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

import httptools

from overgrow.caches.bounded_cache import BoundedCache
from overgrow.caches.header_memo import SplitHeaders, split_headers
from overgrow.connection_login import LOGIN_RESPONSE_NAMES, response_carries_login
from overgrow.forwarding.client.errors import Malformed
from overgrow.http import TOKEN_BYTES, Pairs, is_event_stream

HEAD_LIMIT_BYTES = 65536
MAX_CACHED_NAMES = 64  # names of one head; a longer list is worked out each time
UNTIL_CLOSE = -1
CHUNKED = -2

LENIENCIES: dict[str, str] = {
    "bare-lf": "lines of the head may end in LF alone (RFC 9112 2.2)",
    "obs-fold": "a header may go on in the next line; it is joined by a space (RFC 9112 5.2)",
    "duplicate-content-length": "equal Content-Length values count as one (RFC 9110 8.6)",
    "space-before-colon": "blanks between a header's name and its colon are removed (RFC 9112 5.1)",
    "chunked-http-1.0": "HTTP/1.0 responses may be chunked; the connection is not reused (RFC 9112 6.1)",
    "chunk-size-spaces": "blanks may follow a chunk's size (RFC 9112 7.1.1)",
    "missing-close-notify": "over TLS a FIN alone may end a response without a length (RFC 9112 9.8)",
}


class ResponseHead(NamedTuple):
    """A response head, and how its body is framed.

    `length` is the number of body bytes, or CHUNKED or UNTIL_CLOSE. `keeps` says that the connection can serve
    another request afterwards. `carries_login` says that the connection may serve only this client from now on.
    """

    status: int
    reason: bytes
    version: bytes
    headers: SplitHeaders
    length: int
    keeps: bool
    streams_events: bool
    carries_login: bool = False


class LlhttpResponseEvents:
    """What llhttp has read of one response so far. To avoid a reference cycle, it does not refer to the parser."""

    __slots__ = ("chunks", "is_done", "messages", "pairs")

    def __init__(self) -> None:
        self.pairs: Pairs = []
        self.chunks: list[bytes] = []
        self.messages = 0
        self.is_done = False

    def on_message_begin(self) -> None:
        """Count the messages. A second message consists of bytes that nobody asked for."""
        self.messages += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header, or a trailer once the head has ended."""
        if not self.is_done:
            self.pairs.append((name, value.rstrip(b" \t")))

    def on_body(self, data: bytes) -> None:
        """Collect the data of a chunk; ignore the data of a second message."""
        if not self.is_done:
            self.chunks.append(data)

    def on_message_complete(self) -> None:
        """Note that the response has been read to its end."""
        self.is_done = True


class ResponseParser:
    """One response read by llhttp: the head, then the chunks and trailers of its body."""

    __slots__ = ("_llhttp", "seen")

    def __init__(self, leniencies: frozenset[str]) -> None:
        self.seen = LlhttpResponseEvents()
        self._llhttp: Any = httptools.HttpResponseParser(self.seen)
        if "chunk-size-spaces" in leniencies:
            self._llhttp.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)

    def feed(self, data: bytes) -> None:
        """Feed more bytes. If a byte is not allowed at its place, raise Malformed."""
        try:
            self._llhttp.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # After the end these are bytes behind the message; for a 101 llhttp raises an upgrade.
            if not self.seen.is_done:
                raise Malformed(str(error)) from None

    def begin_chunks(self) -> None:
        """Start with the chunks of a body, whose head another parser has read."""
        self.feed(_CHUNKED_HEAD)
        self.pop_headers()

    def pop_headers(self) -> Pairs:
        """Return the headers read so far and start an empty list, for trailers."""
        headers, self.seen.pairs = self.seen.pairs, []
        return headers

    def pop_data(self) -> bytes:
        """Return the data of the chunks read since the last call."""
        chunks = self.seen.chunks
        if not chunks:
            return b""
        self.seen.chunks = []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


_CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def find_start_of_trailers(recent: bytes, read: Pairs) -> int | None:
    """If llhttp refused a Content-Length among the trailers, return where the trailers begin; else return None.

    `recent` ends with the last bytes given to llhttp; `read` are the trailers that it has read. The trailers
    begin after the size line of the last chunk. If several lines look like that size line, the last of them is
    right, because no trailer looks like a size line.
    """
    fields = b"".join(
        [b"%b:[ \t]*%b[ \t]*\r\n" % (re.escape(name), re.escape(value)) for name, value in read]
    )
    pattern = rb"(?:\A|\n)0+[ \t]*(?:;[^\r\n]*)?\r\n(?=%b(?i:content-length)[ \t]*:)" % fields
    return max((found.end() for found in re.finditer(pattern, recent)), default=None)


def parse_trailers(block: bytes) -> Pairs:
    """Return the fields of a trailer section. If a line is not a field, raise Malformed."""
    found: Pairs = _fields_of(block)
    is_clean = block.count(b"\r") == len(found) == block.count(b"\n")
    if not is_clean or len(block.translate(None, _CONTROLS)) != len(block):
        raise Malformed("a trailer is no field (RFC 9112 7.1.2)")
    return [(name, value.rstrip(b" \t")) for name, value in found]


# Each match is a whole line. If there are as many matches as lines, and no control character but the
# line ends, then every line is a field. (A pattern that checks each character of a value is slower.)
_fields_of = re.compile(rb"(?m)^(" + TOKEN_BYTES + rb"):[ \t]*+(.*)\r\n").findall
_CONTROLS = bytes([*range(9), 11, 12, *range(14, 32), 127])
_STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-9][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*+))?")
_NO_STATUS_LINE = "it does not begin with a status line of HTTP/1.1 or HTTP/1.0 (RFC 9112 4)"
_BARE_LF = re.compile(rb"(?<!\r)\n")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(rb"[ \t]*\r\n[ \t]+")
_SPACE_BEFORE_COLON = re.compile(rb"(?m)^(" + TOKEN_BYTES + rb")[ \t]+:")


def find_head_end(data: bytes | bytearray, start: int, leniencies: frozenset[str]) -> int:
    """Return where the head ends, or -1 if it is incomplete. If the bytes cannot begin a head, raise Malformed."""
    end = data.find(b"\r\n\r\n", start) + 4
    if leniencies and "bare-lf" in leniencies:
        found = _HEAD_END.search(data, start)
        end = found.end() if found else -1
    if end < 4:
        end = -1
        _check_head_start(data, start, leniencies)
    if (len(data) if end < 0 else end) > HEAD_LIMIT_BYTES:
        raise Malformed(f"the head is larger than {HEAD_LIMIT_BYTES} bytes")
    return end


def _check_head_start(data: bytes | bytearray, start: int, leniencies: frozenset[str]) -> None:
    """Refuse at once bytes that cannot begin a head, instead of waiting for the rest."""
    if data[:7] != b"HTTP/1."[: len(data)]:
        raise Malformed(_NO_STATUS_LINE)
    if "bare-lf" not in leniencies:
        refuse_bare_line_feeds(data, start)


def refuse_bare_line_feeds(data: bytes | bytearray, start: int = 0) -> None:
    """Refuse a line that ends in LF alone."""
    if _BARE_LF.search(data, start):
        raise Malformed("a line ends in LF without CR (RFC 9112 2.2)")


def parse_head(
    head: bytes, method: str, leniencies: frozenset[str], *, upgrades: bool = False
) -> ResponseHead:
    """Parse a whole head. If it is malformed, raise Malformed with the fault. `upgrades` allows a 101."""
    if leniencies:
        head = _rewrite_in_strict_form(head, leniencies)
    line_end = head.find(b"\r\n")
    line = _parse_status_line(head[:line_end])
    if line[0] == 101:
        _check_protocol_switch(line[2], upgrades=upgrades)
    return _build_head_with_framing(
        line, _split_header_lines(head, head[line_end + 2 : -2]), method, leniencies
    )


def _split_header_lines(head: bytes, block: bytes) -> SplitHeaders:
    """Return the fields of a head in strict form, with blanks around values removed.

    `block` has the lines of its fields.
    """
    found: Pairs = _fields_of(block)
    lines = len(found)
    is_clean = block.count(b"\r") == lines == block.count(b"\n")
    if not is_clean or len(block.translate(None, _CONTROLS)) != len(block):
        parser = ResponseParser(frozenset())
        parser.feed(head)
        return split_headers(parser.pop_headers())
    # Not `in`: for bytes, Python 3.11 first makes and drops an exception.
    if block.find(b" \r\n") >= 0 or block.find(b"\t\r\n") >= 0:
        found = [(name, value.rstrip(b" \t")) for name, value in found]
    return split_headers(found, are_checked=True)


@functools.lru_cache(maxsize=64)
def _parse_status_line(line: bytes) -> tuple[int, bytes, bytes]:
    """Return (status, reason, version); cached, because an upstream repeats a few status lines."""
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        raise Malformed(_NO_STATUS_LINE)
    return int(found[2]), found[3] or b"", found[1]


def _check_protocol_switch(version: bytes, *, upgrades: bool) -> None:
    """Refuse a 101 that the request did not ask for, and a 101 in HTTP/1.0 (RFC 9110 7.8)."""
    if not upgrades:
        raise Malformed("101 Switching Protocols was not asked for (RFC 9110 15.2.2)")
    if version != b"HTTP/1.1":
        raise Malformed("101 Switching Protocols in an HTTP/1.0 response (RFC 9110 7.8)")


def _build_head_with_framing(
    line: tuple[int, bytes, bytes], headers: SplitHeaders, method: str, leniencies: frozenset[str]
) -> ResponseHead:
    """Work out the body's framing from the headers (RFC 9112 6.3)."""
    status, reason, version = line
    names, values = headers.names, headers.values
    length_at, type_at, rest = _framing_fields[names]
    length = UNTIL_CLOSE if length_at is None else _parse_length(values[length_at])
    is_http_1_1 = keeps = version == b"HTTP/1.1"
    login = False
    if rest is not None:
        codings_at, connection_at, login_at = rest
        if connection_at:
            keeps = _is_connection_persistent(
                [values[at] for at in connection_at], is_http_1_1=is_http_1_1
            )
        if codings_at:
            if length != UNTIL_CLOSE:
                raise Malformed("both Content-Length and Transfer-Encoding (RFC 9112 6.3)")
            codings = [values[at].lower() for at in codings_at]
            _refuse_codings_but_chunked(codings, is_http_1_1=is_http_1_1, leniencies=leniencies)
            length, keeps = CHUNKED, keeps and is_http_1_1
        if login_at:
            login = response_carries_login([headers[at] for at in login_at])
    if method == "HEAD" or status < 200 or status in (204, 304):
        length = 0
    events = type_at is not None and is_event_stream(values[type_at])
    keeps = keeps and length != UNTIL_CLOSE
    return ResponseHead(status, reason, version, headers, length, keeps, events, login)


class _FramingFields(NamedTuple):
    """The positions, among the names of a head, of the fields that frame its body or may carry a login."""

    length_at: int | None
    type_at: int | None
    rest_at: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None
    """Of Transfer-Encoding, Connection and login fields; None if there are none of them, as usual."""


def _find_framing_fields(names: tuple[bytes, ...]) -> _FramingFields:
    """Return the positions of the fields that frame the body among the header names of a response.

    The result is cached, because an upstream sends the same few lists of names again and again.
    """
    at: dict[bytes, list[int]] = {}
    for index, name in enumerate(names):
        at.setdefault(name.lower(), []).append(index)
    lengths = at.get(b"content-length", [])
    if len(lengths) > 1:
        raise Malformed("more than one Content-Length (RFC 9110 8.6)")
    rest = (
        tuple(at.get(b"transfer-encoding", ())),
        tuple(at.get(b"connection", ())),
        tuple(index for name in LOGIN_RESPONSE_NAMES.intersection(at) for index in at[name]),
    )
    return _FramingFields(
        lengths[0] if lengths else None,
        at.get(b"content-type", [None])[-1],
        rest if any(rest) else None,
    )


_framing_fields = BoundedCache(_find_framing_fields, max_entries=256, max_length=MAX_CACHED_NAMES)


@functools.lru_cache(maxsize=256)
def _parse_length(value: bytes) -> int:
    """Return the number in a Content-Length. Only digits are allowed, and at most 2^63 - 1."""
    if not value.isdigit() or len(value) > 19 or (length := int(value)) >= 1 << 63:
        raise Malformed("Content-Length is not a number of bytes (RFC 9110 8.6)")
    return length


def _refuse_codings_but_chunked(
    codings: list[bytes], *, is_http_1_1: bool, leniencies: frozenset[str]
) -> None:
    """Refuse every transfer coding but chunked, since TE asked for no other (RFC 9112 6.1)."""
    if codings != [b"chunked"]:
        raise Malformed("Transfer-Encoding is not chunked alone (RFC 9112 6.1)")
    if not is_http_1_1 and "chunked-http-1.0" not in leniencies:
        raise Malformed("Transfer-Encoding in an HTTP/1.0 response (RFC 9112 6.1)")


def _is_connection_persistent(connection: list[bytes], *, is_http_1_1: bool) -> bool:
    """Whether the connection can serve another request after the response (RFC 9112 9.3)."""
    options = [option.strip().lower() for line in connection for option in line.split(b",")]
    return b"close" not in options and (is_http_1_1 or b"keep-alive" in options)


def _rewrite_in_strict_form(head: bytes, leniencies: frozenset[str]) -> bytes:
    """Rewrite a head into strict form where it has deviations that the named leniencies allow."""
    if "bare-lf" in leniencies:
        head = _BARE_LF.sub(b"\r\n", head)
    line, separator, fields = head.partition(b"\r\n")
    if "obs-fold" in leniencies and fields[:1] not in b" \t":
        fields = _FOLD.sub(b" ", fields)
    if "space-before-colon" in leniencies:
        fields = _SPACE_BEFORE_COLON.sub(rb"\1:", fields)
    if "duplicate-content-length" in leniencies:
        fields = _drop_repeated_lengths(fields)
    return line + separator + fields


_LENGTH_FIELD = re.compile(rb"(?mi)^content-length:[ \t]*([0-9, \t]*)\r\n")


def _drop_repeated_lengths(fields: bytes) -> bytes:
    """Of several equal Content-Length values, keep the first. Different values stay, and are refused later."""
    values = {v.strip() for found in _LENGTH_FIELD.findall(fields) for v in found.split(b",")}
    if len(values) != 1:
        return fields
    kept = _LENGTH_FIELD.sub(b"Content-Length: %b\r\n" % values.pop(), fields, count=1)
    first = _LENGTH_FIELD.search(kept)
    if first is None:
        return kept
    return kept[: first.end()] + _LENGTH_FIELD.sub(b"", kept[first.end() :])
