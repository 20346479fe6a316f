"""Writes a share of the requests to the access log, and always those that somebody will look for.

Always written: a request that failed or was answered 5xx, one that legacy answered instead of migrated, one whose
client left, and one that took SLOW_S or longer to its first byte.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random

from overgrow.exchange import Exchange, Sink
from overgrow.observe.access_log.json_lines import JsonLines

SLOW_S = 1.0


class SampledSink:
    """Passes on each exchange that must be logged, and a share (0 to 1) of the others.

    `draw` returns a random number, at least 0 and below 1.
    """

    def __init__(self, sink: Sink, share: float, draw: Callable[[], float] = random) -> None:
        self._sink, self._share, self._draw = sink, share, draw

    def record(self, exchange: Exchange) -> None:
        """Record the exchange, or leave it out."""
        if must_be_logged(exchange) or self._draw() < self._share:
            self._sink.record(exchange)


class SampledJsonLines(JsonLines):
    """JsonLines for a sampled log: a line that chance selected also has the share, so that a reader can scale its counts."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._field = f',"overgrow.sample_percent":{100 * share:.4g}}}\n'

    def format_line(self, exchange: Exchange) -> str:
        """Format one exchange."""
        line = super().format_line(exchange)
        return line if must_be_logged(exchange) else line[:-2] + self._field


def must_be_logged(exchange: Exchange) -> bool:
    """Whether an exchange is logged whatever the share is."""
    return (
        exchange.status >= 500
        or not exchange.status
        or exchange.failure is not None
        or exchange.fallback is not None
        or exchange.first_byte_s >= SLOW_S
    )
