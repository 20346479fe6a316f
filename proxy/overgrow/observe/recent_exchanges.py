"""A Sink that remembers what the live list and the list of unrouted paths show, until it is written to their files.

Rule: this is on the path of each request. A request costs an append, and only a request that no route took is counted by
its path. Everything else happens later, in a thread.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from overgrow.exchange import Exchange
from overgrow.observe.decision_record import RecentFields, recent_fields_of
from overgrow.observe.decision_ring import MOST

MAX_PATHS = 500  # distinct unrouted requests until they are taken; further ones are counted, but not looked at
MAX_PATH_BYTES = 512


class RecentDecisions(NamedTuple):
    """The newest decisions since they were last taken, and how many there were."""

    kept: deque[RecentFields]
    total: int


class RecentUnrouted(NamedTuple):
    """How many requests no route took since they were last taken, by (method, path, status), and how many more."""

    counted: dict[tuple[str, bytes, int], int]
    unread: int


class RecentExchanges:
    """A Sink that keeps the newest decisions, and counts requests that no route took."""

    def __init__(self) -> None:
        self._kept: deque[RecentFields] = deque(maxlen=MOST)
        self.total = 0  # decisions since they were last taken, those no longer kept included
        self._counted: dict[tuple[str, bytes, int], int] = {}
        self._unread = 0

    def record(self, exchange: Exchange) -> None:
        """Remember one exchange."""
        self._kept.append(recent_fields_of(exchange))
        self.total += 1
        if exchange.decision.route is None:
            self._count_unrouted(exchange)

    def _count_unrouted(self, exchange: Exchange) -> None:
        head, counted = exchange.head, self._counted
        path = head.target.partition(b"?")[0]
        key = (head.method, path[:MAX_PATH_BYTES], exchange.status)
        if key in counted:
            counted[key] += 1
        elif len(counted) < MAX_PATHS:
            counted[key] = 1
        else:
            self._unread += 1

    def take_decisions(self) -> RecentDecisions:
        """Return the decisions since the last call."""
        taken = RecentDecisions(self._kept, self.total)
        self._kept = deque(maxlen=MOST)
        self.total = 0
        return taken

    def take_unrouted(self) -> RecentUnrouted:
        """Return the requests that no route took since the last call."""
        taken = RecentUnrouted(self._counted, self._unread)
        self._counted = {}
        self._unread = 0
        return taken
