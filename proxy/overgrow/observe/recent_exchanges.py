"""A Sink that remembers what the live list and the list of unrouted paths show, until it is written to their files.

Rule: this is on the path of each request. A request costs an append, and only a request that no route took is counted by
its path. Everything else happens in a thread, about twice a second.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from overgrow.exchange import Exchange
from overgrow.observe.decision_ring import MOST

MAX_PATHS = 500  # distinct unrouted requests between two writes; further ones are counted, but not looked at
MAX_PATH_BYTES = 512


class Recent(NamedTuple):
    """What was recorded since the last call: the newest exchanges, how many there were, and counts of unrouted requests."""

    exchanges: deque[Exchange]
    total: int
    unrouted: dict[tuple[str, bytes, int], int]
    unread: int


class RecentExchanges:
    """A Sink that keeps the newest exchanges, and counts those that no route took."""

    def __init__(self) -> None:
        self._reset()

    def record(self, exchange: Exchange) -> None:
        """Remember one exchange."""
        self._exchanges.append(exchange)
        self._total += 1
        if exchange.decision.route is None:
            self._count_unrouted(exchange)

    def _count_unrouted(self, exchange: Exchange) -> None:
        head, unrouted = exchange.head, self._unrouted
        path = head.target.partition(b"?")[0]
        key = (head.method, path[:MAX_PATH_BYTES], exchange.status)
        if key in unrouted:
            unrouted[key] += 1
        elif len(unrouted) < MAX_PATHS:
            unrouted[key] = 1
        else:
            self._unread += 1

    def take(self) -> Recent:
        """Return what was recorded since the last call, and begin anew."""
        recent = Recent(self._exchanges, self._total, self._unrouted, self._unread)
        self._reset()
        return recent

    def _reset(self) -> None:
        self._exchanges: deque[Exchange] = deque(maxlen=MOST)
        self._unrouted: dict[tuple[str, bytes, int], int] = {}
        self._total = self._unread = 0
