"""The breakers of one worker: one per route and side, made when first needed.

Each worker process has its own breakers. A worker with a bad connection therefore does not block a route for
the other workers.

Rule: there are never more breakers than twice the routes of the table in force. A reload keeps the breakers of
all routes whose names still exist. Breakers of removed routes are dropped when the next breaker is made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from overgrow.resilience.breaker import (
    LEGACY_POLICY,
    MIGRATED_POLICY,
    Breaker,
    Event,
    Policy,
    State,
)
from overgrow.routing.model import RouteTable, Side

LOG = logging.getLogger("overgrow.breaker")
POLICIES: Mapping[Side, Policy] = {"legacy": LEGACY_POLICY, "migrated": MIGRATED_POLICY}


class Breakers:
    """The breakers of one worker, by route name and side. `clock` returns monotonic seconds."""

    def __init__(
        self,
        table_of: Callable[[], RouteTable],
        *,
        clock: Callable[[], float],
        policies: Mapping[Side, Policy] = POLICIES,
    ) -> None:
        self._table_of = table_of
        self._policies = policies
        self._breakers: dict[tuple[str, Side], Breaker] = {}
        self.clock = clock

    def of(self, route: str, side: Side) -> Breaker:
        """Return the breaker of a route's side. If there is none, make one."""
        breaker = self._breakers.get((route, side))
        if breaker is None:
            self._drop_vanished()
            breaker = Breaker(self._policies[side], _log_changes_of(route, side))
            self._breakers[route, side] = breaker
        return breaker

    def guards(self, side: Side) -> bool:
        """Whether routes have breakers for this side.

        Migrated always has breakers, and legacy if the table sets `legacy.breaker`.
        """
        return side == "migrated" or self._table_of().legacy.breaker

    def refuses(self, route: str, side: Side) -> bool:
        """Whether a route's side has a breaker that refuses requests now."""
        breaker = self._breakers.get((route, side))
        return breaker is not None and not breaker.allows(self.clock())

    def reset(self, route: str) -> bool:
        """Close the breakers of a route. If the route has no breakers, return False."""
        found = [breaker for (name, _), breaker in self._breakers.items() if name == route]
        for breaker in found:
            breaker.reset(self.clock())
        return bool(found)

    def snapshot(self) -> list[dict[str, Any]]:
        """Return the state of the open and half-open breakers as JSON, ordered by route and side."""
        now_s, names = self.clock(), self._names()
        return [
            _breaker_json(route, side, breaker, now_s)
            for (route, side), breaker in sorted(self._breakers.items())
            if breaker.state != "closed" and route in names and self.guards(side)
        ]

    def _drop_vanished(self) -> None:
        names = self._names()
        self._breakers = {key: each for key, each in self._breakers.items() if key[0] in names}

    def _names(self) -> Collection[str]:
        return {route.name for route in self._table_of().routes}


class OpenBreakers:
    """The routes for which migrated's breaker refuses the current request; used as a set by `decide`.

    `decide` evaluates `name in open_breakers` once for each request to a route with `fallback`. If the result
    is False, the breaker counts the request as let through. This count is needed because only a share of the
    requests is let through while a side recovers.
    """

    def __init__(self, breakers: Breakers) -> None:
        self._breakers = breakers

    def __contains__(self, route: object) -> bool:
        """Whether the breaker of this route refuses the current request."""
        return self._breakers.refuses(str(route), "migrated")


def _breaker_json(route: str, side: Side, breaker: Breaker, now_s: float) -> dict[str, Any]:
    return {
        "route": route,
        "side": side,
        "state": breaker.state,
        "share": round(breaker.share(now_s), 3),
        "retry_after_s": breaker.retry_after_s(now_s),
        "opened_by": breaker.opened_by._asdict() if breaker.opened_by else None,
    }


def _log_changes_of(route: str, side: Side) -> Callable[[State, Event, State], None]:
    def log_change(before: State, event: Event, after: State) -> None:
        level = logging.WARNING if after == "open" else logging.INFO
        LOG.log(level, "route %s, %s: breaker %s -> %s (%s)", route, side, before, after, event)

    return log_change
