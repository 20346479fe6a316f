"""Writes a share of the requests to the access log, and in addition every request that somebody may look for.

A request is always written if it failed or got a 5xx, if legacy answered instead of migrated, if the client
left, or if its first byte took SLOW_S or longer.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random

from overgrow.exchange import Exchange, Sink
from overgrow.observe.access_log.json_lines import JsonLines

SLOW_S = 1.0


class SampledSink:
    """Passes on each exchange that must be logged, and a share (0 to 1) of all other exchanges.

    `draw` returns a random number, at least 0 and below 1.
    """

    def __init__(self, sink: Sink, share: float, draw: Callable[[], float] = random) -> None:
        self._sink, self._share, self._draw = sink, share, draw

    def record(self, exchange: Exchange) -> None:
        """Record the exchange, or ignore it."""
        if must_be_logged(exchange) or self._draw() < self._share:
            self._sink.record(exchange)


class SampledJsonLines(JsonLines):
    """JsonLines for a sampled log.

    If chance selected a line, it also has the share, so that a reader can scale its counts.
    """

    def __init__(self, share: float, user_key: Callable[[], bytes] = bytes) -> None:
        super().__init__(user_key)
        self._field = f',"overgrow.sample_percent":{100 * share:.4g}}}\n'

    def format_line(self, exchange: Exchange) -> str:
        """Format one exchange."""
        line = super().format_line(exchange)
        return line if must_be_logged(exchange) else line[:-2] + self._field


def must_be_logged(exchange: Exchange) -> bool:
    """Whether an exchange is always logged, regardless of the share."""
    return (
        exchange.status >= 500
        or not exchange.status
        or exchange.failure is not None
        or exchange.fallback is not None
        or exchange.first_byte_s >= SLOW_S
    )
