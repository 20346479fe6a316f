"""Requests that fell back to legacy, by route, for `overgrow shadow status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from overgrow.cli.evidence.store import ago_text, time_json
from overgrow.text import count_text

if TYPE_CHECKING:
    from overgrow.evidence import Fallbacks


class RouteFallbacks(NamedTuple):
    """The fallbacks of one route: their number, the outcomes of migrated that caused them, and the slowest one."""

    route: str
    times: int
    by_migrated: Mapping[str, int]
    last_at: float
    slowest_s: float

    def as_json(self) -> dict[str, Any]:
        """The figures as --json prints them."""
        return {
            "route": self.route,
            "count": self.times,
            "by_migrated": dict(self.by_migrated),
            "last": time_json(self.last_at),
            "slowest_s": round(self.slowest_s, 3),
        }

    def __str__(self) -> str:
        times = count_text(self.times, "time")
        outcomes = ", ".join(f"{code} {count}" for code, count in self.by_migrated.items())
        slowest = f"slowest {self.slowest_s:.3g} s"
        return f"{self.route} fell back to legacy: {times}, last {ago_text(self.last_at)} ({outcomes}; {slowest})"


def sum_fallbacks(hours: Iterable[Fallbacks]) -> list[RouteFallbacks]:
    """Add up the fallbacks of all hours by route; the most frequent routes and outcomes come first."""
    by_route: dict[str, list[Fallbacks]] = {}
    for each in hours:
        by_route.setdefault(each.route, []).append(each)
    found = [_sum_hours(route, own) for route, own in by_route.items()]
    return sorted(found, key=lambda each: (-each.times, each.route))


def _sum_hours(route: str, hours: list[Fallbacks]) -> RouteFallbacks:
    outcomes: Counter[str] = Counter()
    for each in hours:
        outcomes[each.migrated] += each.count
    in_order = dict(sorted(outcomes.items(), key=lambda one: (-one[1], one[0])))
    last_at = max(each.last_at for each in hours)
    slowest_s = max(each.slowest_s for each in hours)
    return RouteFallbacks(route, sum(outcomes.values()), in_order, last_at, slowest_s)
