"""Reads lines of HAProxy's HTTP log (`option httplog`), with or without syslog's prefix.

Pure. HAProxy writes no zone: its times count as UTC. `<BADREQ>` stands for a request that HAProxy could not read.
"""

from __future__ import annotations

import re

from overgrow.inventory.logs.log_line import (
    NOT_HTTP,
    LogLine,
    split_request,
    status_of,
    time_of,
)

# CLIENT:PORT [TIME] FRONTEND BACKEND/SERVER TIMERS STATUS BYTES COOKIE COOKIE STATE CONNECTIONS QUEUES {HEADERS} "REQUEST"
_LINE = re.compile(
    rb"(?:^|\s)(\S+):\d+ \[([^\]]+)\] \S+ \S+ ([-+\d]+(?:/[-+\d]+){4}) (-1|\d{3}) \+?(\d+) \S+ \S+ [A-Za-z-]{4} "
    rb'[-+\d]+(?:/[-+\d]+){4} \d+/\d+ (?:\{.*\} )?"([^"]*)"?',
    re.DOTALL,
).search


def read_haproxy(line: bytes) -> LogLine | None:
    """Return the request of a line; NOT_HTTP if HAProxy could not read one; None for a line of another format."""
    found = _LINE(line)
    if found is None:
        return None
    client, at, timers, status, size, request = found.groups()
    parts = split_request(request)
    if parts is None:
        return NOT_HTTP
    total_ms = int(timers.rpartition(b"/")[2])
    duration_s = total_ms / 1000 if total_ms >= 0 else None
    return LogLine(*parts, status_of(status), client, time_of(at), duration_s, int(size))
