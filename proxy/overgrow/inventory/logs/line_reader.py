"""Finds the format of each line. Rotated files and files with several formats work, because each line is read by itself.

Only the columns of the W3C format are kept between two lines: `columns` is what a later scan goes on with.
"""

from __future__ import annotations

import re

from overgrow.inventory.logs.combined_log import read_combined
from overgrow.inventory.logs.haproxy_log import read_haproxy
from overgrow.inventory.logs.json_log import fields_of, read_fields, wrapped_line
from overgrow.inventory.logs.log_line import LogLine
from overgrow.inventory.logs.w3c_log import FIELDS, columns_of, read_w3c

FORMATS = (
    "nginx's and Apache's common and combined format",
    "HAProxy's HTTP log",
    "W3C extended (IIS)",
    "JSON (overgrow serve, ECS, Caddy, Traefik, nginx)",
)
# What log shippers write before a line: syslog (RFC 3164 and 5424), Kubernetes (CRI), docker compose.
_PREFIX = re.compile(
    rb"\d{4}-\d\d-\d\dT\S+ (?:stdout|stderr) [FP] |[\w.-]+ +\| "
    rb"|(?:<\d{1,3}>)?(?:1 )?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+) \S+ "
    rb"(?:[\w./-]+(?:\[\d+\])?: +|\S+ \S+ \S+ (?:-|\[.*?\]) )"
)


class LineReader:
    """Reads the lines of one file, one after the other."""

    def __init__(self, columns: bytes = b"") -> None:
        self._columns = columns_of(columns) if columns else ()

    @property
    def columns(self) -> bytes:
        """The `#Fields:` line in effect; empty before the first one."""
        return FIELDS + b" " + b" ".join(self._columns) if self._columns else b""

    def is_comment(self, line: bytes) -> bool:
        """Return whether a line is a directive of the W3C format; take the columns from one with fields."""
        if line[:1] != b"#":
            return False
        if line.startswith(FIELDS):
            self._columns = columns_of(line)
        return True

    def read(self, line: bytes) -> LogLine | None:
        """Return the request of a line; NOT_HTTP if it has none; None if no format fits."""
        if line[:1] == b"{":
            return self._read_json(line)
        if self._columns:
            found = read_w3c(line, self._columns)
            if found is not None:
                return found
        found = read_combined(line)
        if found is None:
            found = read_haproxy(line) or self._read_after_prefix(line)
        return found

    def _read_json(self, line: bytes) -> LogLine | None:
        fields = fields_of(line)
        if fields is None:
            return None
        found = read_fields(fields)
        if found is not None:
            return found
        inner = wrapped_line(fields)
        return None if inner is None or inner[:1] == b"{" else self.read(inner)

    def _read_after_prefix(self, line: bytes) -> LogLine | None:
        found = _PREFIX.match(line)
        if found is None:
            return None
        rest = line[found.end() :]
        return self._read_json(rest) if rest[:1] == b"{" else read_combined(rest)
