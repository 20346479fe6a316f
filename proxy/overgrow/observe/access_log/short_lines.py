"""Formats the access log for people at a terminal: one short line per request, coloured by status.

As in JSON, the query is left out. Everything that comes from a client is escaped, because a terminal obeys control
characters.
"""

from __future__ import annotations

import time

from overgrow.exchange import Exchange
from overgrow.observe.access_log.escaping import escape_text
from overgrow.text import duration_text

_MAX_PATH_LENGTH = 700
_MAX_METHOD_LENGTH = 40
_RESET = "\x1b[0m"
_RED, _GREEN, _YELLOW, _CYAN = (f"\x1b[{code}m" for code in (31, 32, 33, 36))
_STATUS_COLORS = {2: _GREEN, 3: _CYAN, 4: _YELLOW, 5: _RED}
_SIDE_COLORS = {"migrated": _CYAN}


class ShortLines:
    """Formats an Exchange as one short line of ASCII, such as `17:02:11 200 migrated   3.1 ms GET /orders/7 (orders, canary)`."""

    def __init__(self, *, is_colored: bool) -> None:
        self._is_colored = is_colored
        self._second = (0, "")

    def format_line(self, exchange: Exchange) -> str:
        """Format one exchange. The time is the local time of the request, as in the log of events."""
        head, decision, status = exchange.head, exchange.decision, exchange.status
        method = escape_text(head.method, _MAX_METHOD_LENGTH)
        path = escape_text(head.target.partition(b"?")[0].decode("latin-1"), _MAX_PATH_LENGTH)
        code = self._paint(f"{status or '---'}", _STATUS_COLORS.get(status // 100, _RED))
        side = self._paint(f"{decision.side:8}", _SIDE_COLORS.get(decision.side, ""))
        return (
            f"{self._clock(exchange.started_at)} {code} {side} {duration_text(exchange.duration_s):>7}"
            f" {method} {path} ({decision.route_name}, {decision.reason}){self._trouble(exchange)}\n"
        )

    def gap_line(self, lines: int) -> str:
        """Format the line that reports lost lines."""
        return self._paint(f"{lines} access-log lines were dropped", _RED) + "\n"

    def _trouble(self, exchange: Exchange) -> str:
        """Return the code of a failure, and what migrated returned before legacy answered instead."""
        found = ""
        if exchange.failure is not None:
            found += f" {self._paint(exchange.failure.code, _RED)}"
        if exchange.fallback is not None:
            found += f" {self._paint(f'instead of {exchange.fallback.code}', _YELLOW)}"
        return found

    def _paint(self, text: str, color: str) -> str:
        return f"{color}{text}{_RESET}" if color and self._is_colored else text

    def _clock(self, unix_s: float) -> str:
        second = int(unix_s)
        if second != self._second[0]:
            self._second = (second, time.strftime("%H:%M:%S", time.localtime(second)))
        return self._second[1]
