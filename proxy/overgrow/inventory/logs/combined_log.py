"""Reads lines of nginx and Apache: the common and the combined format, with a virtual host before or fields after.

Pure. No pattern takes more than linear time on a hostile line. A field after the format is the duration if it is in seconds with three digits after the point, as nginx's
`$request_time` writes it, alone or as `rt=` or `request_time=`.
"""

from __future__ import annotations

import re

from overgrow.inventory.logs.log_line import (
    NOT_HTTP,
    LogLine,
    size_of,
    split_request,
    time_of,
    unescape,
)

# CLIENT IDENT USER [TIME] "METHOD PATH HTTP/1.1" STATUS SIZE ["REFERER" "AGENT" ...]
_PLAIN = re.compile(
    rb'(\S+) \S+ \S+ \[([^\]]+)\] "([A-Z]{1,20}) (/[^"\\ ]*) HTTP/\d(?:\.\d)?" (\d{3}) (\d+|-)'
    rb'(?: "[^"\\]*" "([^"\\]*)"(.*))?'
).fullmatch
# The same with anything in quotes, users with blanks, a virtual host before the client, and fields after.
_ANY = re.compile(
    rb"(?:[\w.*-]+:\d+ )?(?!\d{4}-\d\d-)([^\s.:]{0,64}[.:]\S{0,255}|-|localhost|unknown) \S+ [^\[\"]*?\[([^\]]+)\] "
    rb'"((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)(?: "(?:[^"\\]|\\.)*" "((?:[^"\\]|\\.)*)")?(.*)',
    re.DOTALL,
).fullmatch
_DURATION = re.compile(rb'(?:^|[ "=])(?:rt=|request_time=)?"?(\d{1,7}\.\d{3})(?![\d.])')


def read_combined(line: bytes) -> LogLine | None:
    """Return the request of a line; NOT_HTTP if it has none; None for a line of another format."""
    found = _PLAIN(line)
    if found is None:
        return _read_any(line)
    client, at, method, target, status, size, agent, rest = found.groups()
    return LogLine(
        method.decode(),
        target,
        int(status),
        client,
        time_of(at),
        duration_in(rest) if rest else None,
        size_of(size),
        agent or b"",
    )


def _read_any(line: bytes) -> LogLine | None:
    found = _ANY(line)
    if found is None:
        return None
    client, at, request, status, size, agent, rest = found.groups()
    parts = split_request(unescape(request))
    if parts is None:
        return NOT_HTTP
    return LogLine(
        *parts,
        int(status),
        client,
        time_of(at),
        duration_in(rest),
        size_of(size),
        agent or b"",
    )


def duration_in(rest: bytes) -> float | None:
    """Return the duration in seconds that the fields after the format name; None if there is none."""
    found = _DURATION.search(rest)
    return float(found[1]) if found else None
