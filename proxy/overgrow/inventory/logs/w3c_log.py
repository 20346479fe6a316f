"""Reads the W3C extended format: IIS, and CDNs that write it. A `#Fields:` line says what the columns are.

Pure: the caller keeps the columns between two lines. A time without fraction is in milliseconds, as IIS writes
`time-taken`; with a fraction it is in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

from overgrow.inventory.logs.log_line import (
    MAX_METHOD,
    NOT_HTTP,
    LogLine,
    path_and_query,
    size_of,
    status_of,
    time_of,
)

FIELDS = b"#Fields:"
_NEEDED = frozenset({b"cs-method", b"cs-uri-stem"})
MAX_COLUMNS = 200


def columns_of(line: bytes) -> tuple[bytes, ...]:
    """Return the columns that a `#Fields:` line names. If they contain no method or no path, return none of them."""
    names = tuple(line[len(FIELDS) :].split())[:MAX_COLUMNS]
    return names if set(names) >= _NEEDED else ()


def read_w3c(line: bytes, columns: Sequence[bytes]) -> LogLine | None:
    """Return the request of a line; NOT_HTTP if it has none; None if the line does not fit the columns."""
    values = line.split(b"\t") if b"\t" in line else line.split()
    if len(values) != len(columns):
        return None
    row = {name: value for name, value in zip(columns, values, strict=True) if value != b"-"}
    method, stem = row.get(b"cs-method", b""), row.get(b"cs-uri-stem", b"")
    path = path_and_query(stem)
    if not 0 < len(method) <= MAX_METHOD or path is None:
        return NOT_HTTP
    return LogLine(
        method.decode("ascii", "replace"),
        path,
        status_of(row.get(b"sc-status", b"")),
        row.get(b"c-ip", b""),
        _time_in(row),
        _duration_in(row.get(b"time-taken")),
        size_of(row.get(b"sc-bytes", b"")),
        row.get(b"cs(User-Agent)", b"").replace(b"+", b" ").replace(b"%20", b" "),
    )


def _time_in(row: dict[bytes, bytes]) -> float | None:
    if b"date" not in row or b"time" not in row:
        return None
    return time_of(row[b"date"] + b"T" + row[b"time"])


def _duration_in(text: bytes | None) -> float | None:
    try:
        number = float(text or b"")
    except ValueError:
        return None
    return number if b"." in (text or b"") else number / 1000
