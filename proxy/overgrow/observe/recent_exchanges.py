"""A Sink that remembers decisions and unrouted paths until they are written to files.

Rule: this is on the path of each request. A request costs an append. Only a request that no route took is counted by
its path, and only one with a traceparent is offered as an exemplar. Everything else happens later, in a thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from overgrow.caches.header_memo import NOT_READ, HeaderMemo
from overgrow.exchange import Exchange
from overgrow.observe.decision_record import RecentDecision
from overgrow.observe.decision_ring import MOST
from overgrow.routing.facts import Headers

MAX_PATHS = 2000  # distinct unrouted requests until they are taken; further ones are counted, but not looked at
MAX_PATH_BYTES = 512  # a longer path does not fit into a record anyway
# decision to duration_s of the exchange, method, target, traceparent
_Kept = tuple[tuple[Any, ...], str, bytes, bytes]


def _note_nothing(_: Exchange, __: bytes) -> None:
    """Do nothing: nobody keeps exemplars."""


class RecentDecisions(NamedTuple):
    """The newest decisions since the last call of `take_decisions`, and the number of all decisions since then."""

    kept: deque[_Kept]
    total: int

    def unpack(self) -> list[RecentDecision]:
        """Return the decisions. This takes a moment, so do not call it in the event loop."""
        return [RecentDecision(*facts, *texts) for facts, *texts in list(self.kept)]


class RecentUnrouted(NamedTuple):
    """The number of unrouted requests since the last call of `take_unrouted`.

    `counted` has numbers of requests by (method, path, status). `overflow` is the number of requests that
    `counted` lacks.
    """

    counted: dict[tuple[str, bytes, int], int]
    overflow: int


class RecentExchanges:
    """A Sink that keeps the newest decisions, and counts requests that no route took."""

    def __init__(self, note_trace: Callable[[Exchange, bytes], None] = _note_nothing) -> None:
        self._note_trace = note_trace  # called with each request that has a traceparent
        self._kept: deque[_Kept] = deque(maxlen=MOST)
        self.total = 0  # decisions since they were last taken, those no longer kept included
        self._counted: dict[tuple[str, bytes, int], int] = {}
        self._overflow = 0

    def record(self, exchange: Exchange) -> None:
        """Remember one exchange."""
        head = exchange.head
        headers = head.headers
        traceparent = headers.traceparent if type(headers) is HeaderMemo else NOT_READ
        if traceparent:  # sent, or not read yet
            traceparent = self._look_at_trace(exchange, traceparent)
        # One slice costs less than five attributes.
        self._kept.append((exchange[1:6], head.method, head.target[:MAX_PATH_BYTES], traceparent))
        self.total += 1
        if exchange.decision.route is None:
            self._count_unrouted(exchange)

    def _look_at_trace(self, exchange: Exchange, traceparent: bytes) -> bytes:
        """Return the header traceparent; offer the request as an exemplar if it has one."""
        if traceparent is NOT_READ:
            traceparent = _read_traceparent(exchange.head.headers)
        if traceparent:
            self._note_trace(exchange, traceparent)
        return traceparent

    def _count_unrouted(self, exchange: Exchange) -> None:
        head, counted = exchange.head, self._counted
        path = head.target.partition(b"?")[0]
        key = (head.method, path[:MAX_PATH_BYTES], exchange.status)
        if key in counted:
            counted[key] += 1
        elif len(counted) < MAX_PATHS:
            counted[key] = 1
        else:
            self._overflow += 1

    def take_decisions(self) -> RecentDecisions:
        """Return the decisions since the last call."""
        taken = RecentDecisions(self._kept, self.total)
        self._kept = deque(maxlen=MOST)
        self.total = 0
        return taken

    def take_unrouted(self) -> RecentUnrouted:
        """Return the requests that no route took since the last call."""
        taken = RecentUnrouted(self._counted, self._overflow)
        self._counted = {}
        self._overflow = 0
        return taken


def _read_traceparent(headers: Headers) -> bytes:
    """Return the header traceparent as the client sent it; empty if there is none, or more than one."""
    found = dict(headers).get(b"traceparent", b"")
    if (
        found and sum(name == b"traceparent" for name, _ in headers) > 1
    ):  # W3C Trace Context 3.2.2.5
        found = b""
    if type(headers) is HeaderMemo:
        headers.traceparent = found
    return found
