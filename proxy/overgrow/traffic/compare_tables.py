"""Finds the recorded requests that change side when another table takes effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from overgrow.routing.decide import decide
from overgrow.routing.facts import Facts, Head, head_of
from overgrow.routing.match import Matcher
from overgrow.routing.model import FULL_CANARY, Decision
from overgrow.traffic.request_lines import RequestLine

_REMEMBERED = 20_000  # requests that are the same; a log has most of its lines many times


class RouteAndSide(NamedTuple):
    """The route and side of a request by a table. `side` is a side, or `canary` if the client decides."""

    route: str
    side: str
    canary: int = 0  # hundredths of a percent, where the side is canary

    def __str__(self) -> str:
        """Return the side as people read it: `legacy`, `migrated`, `canary 10%`."""
        return f"canary {self.canary / 100:g}%" if self.side == "canary" else self.side


class SideChange(NamedTuple):
    """A change of side: the route and side by the former table, and the route and side by the new table."""

    before: RouteAndSide
    after: RouteAndSide


class TrafficComparison(NamedTuple):
    """How a new table would change the sides of recorded requests. `examples` has one request for each change."""

    requests: int
    changes: Counter[SideChange]
    examples: dict[SideChange, str]
    routes: Counter[RouteAndSide]  # of all requests, by the new table

    @property
    def changed_requests(self) -> int:
        """Return how many requests change side."""
        return self.changes.total()


def compare_tables(
    requests: Iterable[RequestLine], before: Matcher | None, after: Matcher
) -> TrafficComparison:
    """Decide each request by both tables.

    If `before` is None, it stands for a table that sends everything to legacy.
    """

    @lru_cache(_REMEMBERED)
    def outcomes(request: RequestLine) -> SideChange:
        old = RouteAndSide("default", "legacy") if before is None else outcome_of(before, request)
        return SideChange(old, outcome_of(after, request))

    changes: Counter[SideChange] = Counter()
    routes: Counter[RouteAndSide] = Counter()
    examples: dict[SideChange, str] = {}
    count = 0
    for request in requests:
        count += 1
        change = outcomes(request)
        routes[change.after] += 1
        if str(change.before) != str(change.after):
            changes[change] += 1
            if change not in examples:
                examples[change] = f"{request.method} {request.target.decode('latin-1')}"
    return TrafficComparison(count, changes, examples, routes)


def outcome_of(matcher: Matcher, request: RequestLine) -> RouteAndSide:
    """Return the route and side of a recorded request. Kill file, breakers and overrides are ignored."""
    decision = decide(matcher, _head(matcher, request), Facts(subject=None))
    route = decision.route
    if route is not None and _is_open_canary(decision):
        return RouteAndSide(route.name, "canary", route.canary)
    return RouteAndSide(decision.route_name, decision.side)


def _is_open_canary(decision: Decision) -> bool:
    """Return whether a canary would decide by the client's identity, which the record lacks."""
    route = decision.route
    return (
        route is not None
        and (decision.side, decision.reason, decision.bucket) == ("legacy", "target", None)
        and 0 < route.canary < FULL_CANARY
    )


def _head(matcher: Matcher, request: RequestLine) -> Head:
    headers = list(request.headers)
    if request.host and not any(name == b"host" for name, _ in headers):
        headers.insert(0, (b"host", request.host.encode("latin-1", "replace")))
    return head_of(
        request.method,
        request.target,
        headers,
        peer=request.client,
        scheme=request.scheme,
        trusted=matcher.table.trusted_proxies,
    )
