"""The row of each route on the pages: what the table says, recent figures, trouble, and the last flip.

Pure: everything that was read is an argument. Knows neither Flask nor HTML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from overgrow.admin.view import Worker
from overgrow.observe.split import RouteSplit
from overgrow.routing.model import Route
from overgrow.table.editing.flip import GROUP
from overgrow.table.editing.history import HistoryEntry

Counted = Any  # a Sample of prometheus_client's: name, labels, value
Rates = Mapping[tuple[str, str], Mapping[str, Any]]  # {(route, side): {name of a window: figures}}
FLIPS = ("flip", "rollback")  # actions of the history that change a route


@dataclass(frozen=True, slots=True)
class ShadowCounts:
    """How many of a route's requests were compared, and how many differed."""

    compared: int
    mismatched: int


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One route's row. `way_back` is the argument of a flip back to legacy, a name or group:NAME; None if there is no way back.

    `rates` has the figures of each window by side: {"legacy": {"last_minute": figures}}.
    """

    split: RouteSplit
    takes: str
    marks: tuple[str, ...]
    breakers: Mapping[str, str]  # side -> state, where not closed
    shadow: ShadowCounts
    open_groups: int  # of mismatches that no current rule covers
    way_back: str | None
    rates: Mapping[str, Mapping[str, Any]]
    last_flip: HistoryEntry | None


@dataclass(frozen=True, slots=True)
class RowSources:
    """What rows are made from, as it was read."""

    counted: Sequence[Counted]
    living: Sequence[Worker]
    rates: Rates
    open_groups: Mapping[str, int]
    entries: Sequence[HistoryEntry]


def rows_of(figures: Sequence[RouteSplit], sources: RowSources) -> Iterator[RouteRow]:
    """Yield the row of each route, in the order of the figures."""
    shadow, breakers = shadow_counts_of(sources.counted), breaker_states(sources.living)
    flips = last_flips(sources.entries)
    for each in figures:
        name, route = each.name, each.route
        yield RouteRow(
            split=each,
            takes=describe_matched_requests(route) if route else "",
            marks=tuple(marks_of(each)),
            breakers=breakers.get(name, {}),
            shadow=shadow.get(name, ShadowCounts(0, 0)),
            open_groups=sources.open_groups.get(name, 0),
            way_back=way_back_of(route) if route else None,
            rates={side: sources.rates.get((name, side), {}) for side in ("legacy", "migrated")},
            last_flip=flips.get(name),
        )


def last_flips(entries: Sequence[HistoryEntry]) -> dict[str, HistoryEntry]:
    """Return the latest flip or rollback of each route; that of a group counts for each of its routes."""
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


def marks_of(figures: RouteSplit) -> Iterable[str]:
    """Yield facts about a route for the page, such as its group, in a few words each."""
    route = figures.route
    if route is None and figures.target is None:
        yield "no longer in the table"
    if route and route.group:
        yield f"group {route.group}"
    if route and route.fallback:
        yield "fallback"
    if route and not route.reversible:
        yield "irreversible: cannot go back"
    if figures.other:
        yield f"{figures.other:,} served by neither side"


def way_back_of(route: Route) -> str | None:
    """Return the argument of a flip of this route to legacy: its name, or group:NAME.

    None if the route is completely on legacy already, or cannot go back.
    """
    if not route.reversible or (route.target == "legacy" and not route.canary):
        return None
    return f"{GROUP}{route.group}" if route.group else route.name


def breaker_states(living: Sequence[Worker]) -> dict[str, dict[str, str]]:
    """Return {route: {side: state}} of breakers that are not closed: open if a breaker is open in any worker, else half-open."""
    found: dict[str, dict[str, str]] = {}
    breakers = [each for worker in living for each in worker.get("breakers", ())]
    for each in sorted(breakers, key=lambda one: one["state"] == "open"):
        found.setdefault(each["route"], {})[each["side"]] = each["state"]
    return found


def shadow_counts_of(counted: Iterable[Counted]) -> dict[str, ShadowCounts]:
    """Return the number of comparisons and of differences of each route."""
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
