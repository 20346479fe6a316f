"""The row of each route on the pages: what the table says, recent figures, trouble, and the last flip.

Pure: everything that was read is an argument. Knows neither Flask nor HTML.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from overgrow.admin.traffic import Traffic
from overgrow.admin.view import Worker
from overgrow.observe.rates_reader import RateCounts
from overgrow.observe.recent_rates import WINDOWS_S
from overgrow.observe.split import DEFAULT
from overgrow.routing.model import Route
from overgrow.table.editing.flip import GROUP
from overgrow.table.editing.history import HistoryEntry

NOTHING: Mapping[Any, Any] = MappingProxyType({})
FLIPS = ("flip", "rollback")  # actions of the history that change a route


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One route's row. `route` is None for the default route, and for a name that is no longer in the table.

    `recent` has the counts of each side in the last minute and in the last five minutes; a window is left out
    if it had no requests. `way_back` is the argument of a flip back to legacy, a name or group:NAME; it is None
    if the route cannot go back.
    """

    name: str
    route: Route | None
    breakers: Mapping[str, str]  # side -> state, where not closed
    open_groups: int  # of mismatches that no current rule covers
    recent: Mapping[tuple[str, str], RateCounts]  # by side and window
    last_flip: HistoryEntry | None
    last_s: Mapping[str, float] = field(
        default_factory=dict
    )  # by side: unix time of the latest request
    windows_s: Mapping[str, int] = field(default_factory=lambda: WINDOWS_S)  # shorter after a start

    @property
    def target(self) -> str | None:
        """The target in the table; None for a name that is no longer in the table."""
        if self.route:
            return self.route.target
        return "legacy" if self.name == DEFAULT else None

    @property
    def flip_name(self) -> str | None:
        """The name by which the route is flipped: its own name or group:NAME.

        It is None if the table does not have the route.
        """
        if self.route is None:
            return None
        return f"{GROUP}{self.route.group}" if self.route.group else self.name

    @property
    def way_back(self) -> str | None:
        """The argument of a flip back to legacy."""
        return way_back_of(self.route) if self.route else None


@dataclass(frozen=True, slots=True)
class RowSources:
    """The values from which rows are made, as they were read."""

    routes: Sequence[Route]
    traffic: Traffic
    living: Sequence[Worker]
    open_groups: Mapping[str, int]
    entries: Sequence[HistoryEntry]
    windows_s: Mapping[str, int] = field(default_factory=lambda: WINDOWS_S)


def rows_of(sources: RowSources) -> Iterator[RouteRow]:
    """Yield the rows: first the routes in matching order, then the default route, then removed routes with counts."""
    breakers, flips = breaker_states(sources.living), last_flips(sources.entries)
    routes = {route.name: route for route in sources.routes}
    recent, last = _recent_by_route(sources.traffic), _last_by_route(sources.traffic)
    retired = sorted({name for name, _ in sources.traffic.totals} - routes.keys() - {DEFAULT})
    for name in (*routes, DEFAULT, *retired):
        yield RouteRow(
            name=name,
            route=routes.get(name),
            breakers=breakers.get(name, NOTHING),
            open_groups=sources.open_groups.get(name, 0),
            recent=recent.get(name, NOTHING),
            last_flip=flips.get(name),
            last_s=last.get(name, NOTHING),
            windows_s=sources.windows_s,
        )


def _recent_by_route(traffic: Traffic) -> dict[str, dict[tuple[str, str], RateCounts]]:
    found: defaultdict[str, dict[tuple[str, str], RateCounts]] = defaultdict(dict)
    for window, counted in traffic.recent.items():
        for (route, side), counts in counted.items():
            found[route][side, window] = counts
    return found


def _last_by_route(traffic: Traffic) -> dict[str, dict[str, float]]:
    found: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for (route, side), at_s in traffic.last_s.items():
        found[route][side] = at_s
    return found


def last_flips(entries: Sequence[HistoryEntry]) -> dict[str, HistoryEntry]:
    """Return the latest flip or rollback of each route. The flip of a group counts for each route of that group."""
    found: dict[str, HistoryEntry] = {}
    for entry in reversed(entries):
        if entry.action in FLIPS:
            for name in {change.route or entry.route for change in entry.changes} or {entry.route}:
                if name is not None:
                    found.setdefault(name, entry)
    return found


def describe_matched_requests(route: Route) -> str:
    """Return which requests a route matches, in words."""
    words = [*(route.methods or ()), route.path or f"{route.prefix} and below"]
    words += [f"on {route.host}"] if route.host else []
    return " ".join([*words, *(f"if {predicate}" for predicate in route.predicates)])


def marks_of(row: RouteRow) -> Iterator[str]:
    """Yield short facts about a route for the page, such as its group."""
    route = row.route
    if row.target is None:
        yield "no longer in the table"
    if route and route.group:
        yield f"group {route.group}"
    if route and route.fallback:
        yield "fallback"
    if route and not route.reversible:
        yield "irreversible: cannot go back"


def way_back_of(route: Route) -> str | None:
    """Return the argument of a flip of this route to legacy: its name, or group:NAME.

    Return None if the route is completely on legacy already, or cannot go back.
    """
    if not route.reversible or (route.target == "legacy" and not route.canary):
        return None
    return f"{GROUP}{route.group}" if route.group else route.name


def breaker_states(living: Sequence[Worker]) -> dict[str, dict[str, str]]:
    """Return {route: {side: state}} of open and half-open breakers. If the workers differ, open wins."""
    found: dict[str, dict[str, str]] = {}
    breakers = [each for worker in living for each in worker.get("breakers", ())]
    for each in sorted(breakers, key=lambda one: one["state"] == "open"):
        found.setdefault(each["route"], {})[each["side"]] = each["state"]
    return found


@dataclass(frozen=True, slots=True)
class ShadowCounts:
    """How many of a route's requests were compared, and how many differed."""

    compared: int
    mismatched: int


def shadow_counts_of(counted: Iterable[Any]) -> dict[str, ShadowCounts]:
    """Return the number of comparisons and of differences of each route, from samples of prometheus_client."""
    times: Counter[tuple[str, str]] = Counter()
    for sample in counted:
        if sample.name == "overgrow_shadow_total":
            times[sample.labels["route"], sample.labels["verdict"]] += int(sample.value)
    found = {}
    for route in {route for route, _ in times}:
        differed = times[route, "mismatched"]
        alike = times[route, "matched"] + times[route, "ignored"]
        found[route] = ShadowCounts(alike + differed, differed)
    return found
