"""Reads request lines from recorded traffic: our access log, nginx's and Apache's combined format, HAR.

Every line is read by itself, so that rotated and mixed files work. Lines in other formats are counted, and the
first one is kept for the report, so that nothing is dropped silently. Memory is bounded by the length of a line
(MAX_LINE_BYTES), except for HAR, which is one JSON value.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import quote

FORMATS = (
    "the access log of overgrow serve (JSON)",
    "nginx's or Apache's combined or common format",
    "HAR, as browsers export it",
)
MAX_LINE_BYTES = 1 << 20
MAX_HAR_BYTES = 64 << 20
_SHOWN_CHARACTERS = 200
_GZIP_MAGIC = b"\x1f\x8b"

# ADDRESS IDENT USER [TIME] "METHOD TARGET HTTP/1.1" STATUS ...; a quote inside is written \" or \x22.
_COMBINED = re.compile(
    rb'(?P<peer>\S+) \S+ .*?\[[^\]]*\] "(?P<method>[!#$%&\'*+.^_`|~0-9A-Za-z-]+) '
    rb'(?P<target>(?:[^"\\]|\\.)+?)(?: HTTP/[\d.]+)?" (?P<status>\d{3})\b'
)
_ESCAPED = re.compile(rb'\\x([0-9A-Fa-f]{2})|\\(["\\])')
_URL = re.compile(
    r"(?P<scheme>https?)://(?:[^/?#@]*@)?(?P<host>[^/?#]*)(?P<rest>[^#]*)(?:#.*)?", re.IGNORECASE
)
_SAFE = "".join(map(chr, range(0x21, 0x7F)))


class RequestLine(NamedTuple):
    """One request, with the facts that the log or HAR file has about it. Most logs have no headers."""

    method: str
    target: bytes  # origin form, as on the wire
    host: str = ""
    scheme: str = "http"
    client: str = ""  # an address, or empty
    headers: tuple[tuple[bytes, bytes], ...] = ()


class TrafficUnreadable(Exception):
    """A file has no line that is a request. The text lists the formats that were tried, and quotes the first line."""


class TrafficReader:
    """The requests of one file, and the lines that could not be read.

    Iterate once. Afterwards `unread` is the number of lines (in a HAR file: entries) that could not be read as
    requests. `first_unread` is (number from 1, beginning) of the first such line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.unit = "line"  # what is numbered: `entry` in a HAR file
        self.requests = 0
        self.unread = 0
        self.first_unread: tuple[int, str] | None = None

    def __iter__(self) -> Iterator[RequestLine]:
        """Yield each request. Raises OSError if the file cannot be read, TrafficUnreadable if it has no requests."""
        with self._open() as stream:
            found = self._read_har(stream) if _is_har(stream) else self._read_lines(stream)
            for request in found:
                self.requests += 1
                yield request
        if not self.requests:
            raise TrafficUnreadable(self._describe_failure())

    def _open(self) -> IO[bytes]:
        with self._path.open("rb") as stream:
            magic = stream.read(len(_GZIP_MAGIC))
        return gzip.open(self._path, "rb") if magic == _GZIP_MAGIC else self._path.open("rb")  # type: ignore[return-value]

    def _read_lines(self, stream: IO[bytes]) -> Iterator[RequestLine]:
        for number, line in enumerate(_bounded_lines(stream), start=1):
            text = line.strip()
            if not text:
                continue
            request = _read_json_line(text) if text[:1] == b"{" else _read_combined(text)
            if request is not None:
                yield request
            else:
                self._count_unread(number, text)

    def _read_har(self, stream: IO[bytes]) -> Iterator[RequestLine]:
        """Read the requests of a HAR file. Count the entries that are something else, such as data: URLs."""
        self.unit = "entry"
        data = stream.read(MAX_HAR_BYTES + 1)
        if len(data) > MAX_HAR_BYTES:
            limit = f"{MAX_HAR_BYTES >> 20} MiB"
            raise TrafficUnreadable(f"the HAR file {self._path} has more than {limit}")
        for number, entry in enumerate(_har_entries(data, self._path), start=1):
            request = _read_har_entry(entry)
            if request is not None:
                yield request
            else:
                shown = json.dumps(entry, ensure_ascii=False)[:_SHOWN_CHARACTERS]
                self._count_unread(number, shown.encode("utf-8", "replace"))

    def _count_unread(self, number: int, line: bytes) -> None:
        self.unread += 1
        if self.first_unread is None:
            shown = line[:_SHOWN_CHARACTERS].decode("utf-8", "replace")
            self.first_unread = (number, shown)

    def _describe_failure(self) -> str:
        tried = ", ".join(FORMATS)
        if self.first_unread is None:
            return f"{self._path} has no requests. Formats that are read: {tried}"
        number, line = self.first_unread
        unit = self.unit
        return (
            f"no {unit} of {self._path} is a request. Tried: {tried}. "
            f"{unit.capitalize()} {number} is {line!r}"
        )


def _bounded_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield each line, cut at MAX_LINE_BYTES."""
    while line := stream.readline(MAX_LINE_BYTES):
        yield line
        while line and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE_BYTES)


def _read_json_line(line: bytes) -> RequestLine | None:
    """Read a line of our own access log. The path in it has no query (docs/operations.md#the-access-log)."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    method, path = fields.get("http.request.method"), fields.get("url.path")
    if not isinstance(method, str) or not isinstance(path, str) or path[:1] not in "/*":
        return None
    return RequestLine(
        method,
        encode_target(path),
        _text(fields.get("url.domain")),
        _text(fields.get("url.scheme")) or "http",
        _text(fields.get("client.address")),
    )


def _read_combined(line: bytes) -> RequestLine | None:
    found = _COMBINED.match(line)
    if found is None:
        return None
    target = found["target"]
    if b"\\" in target:
        target = _ESCAPED.sub(_unescape, target)
    method, client = found["method"].decode(), found["peer"].decode("latin-1")
    if target[:1] == b"/" or target == b"*":
        return RequestLine(method, encode_target(target), client=client)
    return _from_url(method, target.decode("latin-1"), (), client)


def _unescape(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[1].decode()) if found[1] else found[2]


def _from_url(
    method: str, url: str, headers: tuple[tuple[bytes, bytes], ...], client: str = ""
) -> RequestLine | None:
    """Read a request whose target is a complete URL; return None for any other text."""
    found = _URL.fullmatch(url)
    if found is None:
        return None
    rest = found["rest"] if found["rest"].startswith("/") else "/" + found["rest"]
    target = encode_target(rest)
    return RequestLine(method, target, found["host"], found["scheme"].lower(), client, headers)


def encode_target(target: str | bytes) -> bytes:
    """Percent-encode blanks, control characters and bytes beyond ASCII. Other bytes stay unchanged."""
    data = target.encode("utf-8", "surrogatepass") if isinstance(target, str) else target
    return quote(data, safe=_SAFE).encode()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_har(stream: IO[bytes]) -> bool:
    """Return whether a stream begins like a HAR file: one JSON object with a `log`."""
    start = stream.read(4096)
    stream.seek(0)
    return re.match(rb'(?:\xef\xbb\xbf)?\s*\{\s*"log"\s*:\s*\{', start) is not None


def _har_entries(data: bytes, path: Path) -> list[object]:
    """Return the entries of a HAR file (HTTP Archive 1.2)."""
    try:
        entries = json.loads(data)["log"]["entries"]
    except (ValueError, RecursionError) as error:
        raise TrafficUnreadable(f"the HAR file {path} is not JSON: {error}") from error
    except KeyError:
        entries = None
    if not isinstance(entries, list):
        raise TrafficUnreadable(f"the HAR file {path} has no list log.entries")
    return entries


def _read_har_entry(entry: Any) -> RequestLine | None:
    """Read an entry of a HAR file; return None if it is not a request to a web address."""
    try:
        request = entry["request"]
        method, url = request["method"], request["url"]
        pairs = [(str(each["name"]), str(each["value"])) for each in request.get("headers") or ()]
    except (KeyError, TypeError, AttributeError):
        return None
    if not isinstance(method, str) or not isinstance(url, str):
        return None
    headers = tuple(
        (name.lower().encode("latin-1", "replace"), value.encode("utf-8", "surrogatepass"))
        for name, value in pairs
        if name[:1] != ":"  # HTTP/2's pseudo headers
    )
    return _from_url(method, url, headers)
