"""One request of an access log, whatever the format of the line, and the parts that all formats share.

Pure. A reader of one format returns a LogLine, NOT_HTTP for a line of its format that has no HTTP request (a TLS
handshake on a plain port, a connection that sent nothing), or None for a line of another format.
"""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

MAX_METHOD = 20  # characters


class LogLine(NamedTuple):
    """One request. What the format does not tell is empty, 0 or None."""

    method: str
    target: bytes  # path and query
    status: int = 0
    client: bytes = b""
    at: float | None = None  # unix time
    duration_s: float | None = None
    size: int = 0
    agent: bytes = b""


NOT_HTTP = LogLine("", b"")

_REQUEST = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}) (\S.*?)(?: HTTP/[\d.]+)?",
    re.DOTALL,  # 20: MAX_METHOD
)
_URL = re.compile(rb"https?://[^/?#]*([^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL)
_ESCAPE = re.compile(rb'\\x([0-9A-Fa-f]{2})|\\(["\\])')
_CLF_TIME = re.compile(
    rb"(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d):(\d\d)(\.\d+)?(?: ([+-])(\d\d)(\d\d))?"
)
_MONTHS = {
    month: number
    for number, month in enumerate(
        b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), start=1
    )
}
_MAX_TIME = 32_503_680_000  # the year 3000
_MS_FROM = 1e11  # a number of seconds this large is one of milliseconds


def split_request(text: bytes) -> tuple[str, bytes] | None:
    """Return method and target of a request line; None if the text is not one."""
    found = _REQUEST.fullmatch(text)
    if found is None:
        return None
    target = path_and_query(found[2])
    return None if target is None else (found[1].decode("ascii"), target)


def path_and_query(target: bytes) -> bytes | None:
    """Return the target in origin form, without scheme and host; None if it has no path."""
    if target[:1] == b"/" or target == b"*":
        return target
    found = _URL.fullmatch(target)
    if found is None:
        return None
    return found[1] if found[1][:1] == b"/" else b"/" + found[1]


def unescape(text: bytes) -> bytes:
    r"""Return text with the escapes of web servers replaced: `\x22`, `\"`, `\\`."""
    if b"\\" not in text:
        return text
    return _ESCAPE.sub(
        lambda found: bytes.fromhex(found[1].decode()) if found[1] else found[2], text
    )


@lru_cache(maxsize=4096)  # a pure memo: many lines have the same second
def time_of(text: bytes) -> float | None:
    """Return a time as unix time: `30/Nov/2026:01:00:00 +0000`, RFC 3339, or seconds or milliseconds since 1970.

    A time without a zone counts as UTC. None if the text is not a time.
    """
    found = _CLF_TIME.fullmatch(text)
    if found is not None:
        return _clf_time(found)
    try:
        number = float(text)
    except ValueError:
        return _iso_time(text)
    number = number / 1000 if number >= _MS_FROM else number
    return number if 0 < number < _MAX_TIME else None


def _clf_time(found: re.Match[bytes]) -> float | None:
    day, month, year, hour, minute, second, fraction, sign, zone_h, zone_m = found.groups()
    if month not in _MONTHS:
        return None
    try:
        moment = timegm(
            (int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second), 0, 0, 0)
        )
    except ValueError:  # the year 0
        return None
    zone_s = int(zone_h or 0) * 3600 + int(zone_m or 0) * 60
    return moment + float(fraction or 0) - (-zone_s if sign == b"-" else zone_s)


def _iso_time(text: bytes) -> float | None:
    try:
        moment = datetime.fromisoformat(text.decode("ascii"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def status_of(text: bytes | str | float) -> int:
    """Return a status of three digits; 0 for anything else."""
    try:
        number = int(text)
    except (ValueError, OverflowError):
        return 0
    return number if 100 <= number <= 999 else 0


def size_of(text: bytes) -> int:
    """Return a number of bytes; 0 for `-`."""
    return int(text) if text.isdigit() else 0
