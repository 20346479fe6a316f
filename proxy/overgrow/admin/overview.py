"""The data of the overview page: alerts, routes and the latest flip.

`overview` reads everything again for each page; the rest is pure and knows neither Flask nor HTML.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, TypeVar

from overgrow.admin.alerts import (
    Alert,
    is_well,
    killed_since_of,
    lag_sentences,
    readiness_alerts,
    revision_on_disk,
    split_notes,
)
from overgrow.admin.view import AdminView, Worker, history_of, living_workers, readiness
from overgrow.files import ANSWER_S, within
from overgrow.observe.metrics import sum_samples
from overgrow.observe.recent_counts import recent_requests
from overgrow.observe.split import RouteSplit, split_by_route
from overgrow.routing.model import Route
from overgrow.table.editing.flip import GROUP
from overgrow.table.editing.history import HistoryEntry, find_undoable

T = TypeVar("T")
Counted = Any  # a Sample of prometheus_client's: name, labels, value

MOST_ROWS = 500  # routes on one page; a search finds the rest
LAST_CHANGES = 8
_BRAKE = 'Fix that. "Everything to legacy" still works.'


@dataclass(frozen=True, slots=True)
class ShadowCounts:
    """How many of a route's requests were compared, and how many differed."""

    compared: int
    mismatched: int


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One route's row. `way_back` is the argument of a flip back to legacy, a name or group:NAME; None if there is no way back."""

    split: RouteSplit
    takes: str
    marks: tuple[str, ...]
    breakers: Mapping[str, str]  # side -> state, where not closed
    shadow: ShadowCounts
    open_groups: int  # of mismatches that no current rule covers
    way_back: str | None


@dataclass(frozen=True, slots=True)
class Totals:
    """The numbers of requests and errors of both sides up to one moment.

    The difference of two Totals is what happened between the two moments.
    """

    at_s: int
    legacy_requests: int
    legacy_errors: int
    migrated_requests: int
    migrated_errors: int

    def __str__(self) -> str:
        return ".".join(str(getattr(self, each.name)) for each in fields(self))

    def since(self, before: Totals) -> Totals | None:
        """Return the difference from earlier totals, with the seconds between the two as `at_s`; None if they cannot be compared."""
        names = [each.name for each in fields(self)]
        more = [getattr(self, name) - getattr(before, name) for name in names]
        return Totals(*more) if min(more) >= 0 and more[0] else None


def parse_totals(text: str) -> Totals | None:
    """Parse totals from a link of this page; None for any other text."""
    found = re.fullmatch(
        r"(\d{1,15})\.(\d{1,15})\.(\d{1,15})\.(\d{1,15})\.(\d{1,15})", text, re.ASCII
    )
    return Totals(*map(int, found.groups())) if found else None


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the page."""

    status: str
    is_well: bool  # ready, not killed, with the table on disk in effect, and legacy answers
    alerts: tuple[Alert, ...]
    notes: tuple[str, ...]
    lagging: tuple[str, ...]  # sentences on workers that do not follow the files on disk
    killed_since: str | None  # None: there is no kill file
    totals: Totals
    rows: tuple[RouteRow, ...]
    hidden: int  # routes found, but beyond MOST_ROWS
    failures: tuple[tuple[str, str, int], ...]  # code, who is to blame, how often
    workers: tuple[Worker, ...]
    undo: HistoryEntry | None
    changes: tuple[HistoryEntry, ...]  # the latest first


def overview(view: AdminView, now_s: float, find: str = "") -> Overview:
    """Read the board, the metrics, the history and the files' times; `find` filters the routes."""
    living = living_workers(view)
    entries, unreadable = _read_or_reason(lambda: history_of(view).entries, "The history")
    counted, uncounted = _read_or_reason(
        lambda: _read_samples_in_time(view, now_s), "What was counted"
    )
    payload, killed_since = readiness(view, living), killed_since_of(view)
    lagging = lag_sentences(living, revision_on_disk(view), killed=killed_since is not None)
    notes, of_app = split_notes(view, payload)
    figures = split_by_route(counted, view.table.routes if view.table else ())
    opened = open_groups_of(view)
    rows = [row for row in _rows(figures, counted, living, opened) if is_match(row, find)]
    return Overview(
        status=payload["status"],
        is_well=is_well(payload),
        alerts=(
            *readiness_alerts(payload, living, killed_since),
            *map(Alert, of_app),
            *(Alert(each, fix=_BRAKE) for each in (unreadable, uncounted) if each),
        ),
        notes=tuple(notes),
        lagging=lagging,
        killed_since=killed_since,
        totals=totals_of(figures, now_s),
        rows=tuple(rows[:MOST_ROWS]),
        hidden=len(rows[MOST_ROWS:]),
        failures=failures_of(counted),
        workers=tuple(living),
        undo=find_undoable(entries, None),
        changes=tuple(entries[: -LAST_CHANGES - 1 : -1]),
    )


def _read_or_reason(read: Callable[[], Sequence[T]], name: str) -> tuple[Sequence[T], str]:
    """Return (result, ""): what `read` returns. If it fails, return ((), reason), because the page must work all the same."""
    try:
        return read(), ""
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return (), f"{name} cannot be read ({where}{error.strerror or error})."


def _read_samples_in_time(view: AdminView, now_s: float) -> list[Counted]:
    return within(ANSWER_S, view.metrics, partial(read_samples, view, now_s))


def open_groups_of(view: AdminView) -> Mapping[str, int]:
    """Return the number of open groups by route; none if the store does not respond."""
    with suppress(OSError):
        return within(ANSWER_S, view.state / "store", view.open_groups)
    return {}


def read_samples(view: AdminView, now_s: float) -> list[Counted]:
    """Return what all workers counted in total and in the last minute."""
    return [*sum_samples(view.metrics), *recent_requests(view.metrics, now_s)]


# --- routes ---------------------------------------------------------------------------------------


def _rows(
    figures: Sequence[RouteSplit],
    counted: Sequence[Counted],
    living: Sequence[Worker],
    opened: Mapping[str, int],
) -> Iterable[RouteRow]:
    shadow, breakers = shadow_counts_of(counted), _breaker_states(living)
    for each in figures:
        name, route = each.name, each.route
        yield RouteRow(
            split=each,
            takes=describe_matched_requests(route) if route else "",
            marks=tuple(marks_of(each)),
            breakers=breakers.get(name, {}),
            shadow=shadow.get(name, ShadowCounts(0, 0)),
            open_groups=opened.get(name, 0),
            way_back=way_back_of(route) if route else None,
        )


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


def is_match(row: RouteRow, find: str) -> bool:
    """Whether a route's name, path or marks contain the text."""
    return find.lower() in " ".join([row.split.name, row.takes, *row.marks]).lower()


def _breaker_states(living: Sequence[Worker]) -> dict[str, dict[str, str]]:
    """Return {route: {side: state}} of breakers that are not closed: open if a breaker is open in any worker, else half-open."""
    found: dict[str, dict[str, str]] = {}
    breakers = [each for worker in living for each in worker.get("breakers", ())]
    for each in sorted(breakers, key=lambda one: one["state"] == "open"):
        found.setdefault(each["route"], {})[each["side"]] = each["state"]
    return found


# --- counts ---------------------------------------------------------------------------------------


def totals_of(figures: Sequence[RouteSplit], now_s: float) -> Totals:
    """Return the sums over all routes."""
    return Totals(
        int(now_s),
        sum(each.legacy.requests for each in figures),
        sum(each.legacy.errors for each in figures),
        sum(each.migrated.requests for each in figures),
        sum(each.migrated.errors for each in figures),
    )


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


def failures_of(counted: Iterable[Counted]) -> tuple[tuple[str, str, int], ...]:
    """Return (code, party, number) of failures, the most frequent first; the party is the one that caused them."""
    times: Counter[tuple[str, str]] = Counter()
    for sample in counted:
        # `gone` is not a failure: the table asks for it.
        if sample.name == "overgrow_failures_total" and sample.labels["code"] != "gone":
            times[sample.labels["code"], sample.labels["party"]] += int(sample.value)
    return tuple((code, party, count) for (code, party), count in times.most_common())
