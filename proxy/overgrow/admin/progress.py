"""The progress of the migration over time: the share of requests and of routes that are on migrated, and the flips.

The share of routes is computed backwards: from the table in effect, through the history of flips. A route that
was added later therefore counts from the beginning, on the side that it had before its first flip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from overgrow.admin.request_history import (
    HistoryQuestion,
    SidesHistory,
    sides_history,
)
from overgrow.admin.view import StateFolder, history_of
from overgrow.observe.split import DEFAULT
from overgrow.routing.model import Route
from overgrow.table.editing.flip import GROUP
from overgrow.table.editing.history import HistoryEntry

MOVES = ("flip", "rollback")
MOVED = ("migrated", "gone")


@dataclass(frozen=True, slots=True)
class RoutesMoved:
    """How many of all routes are moved to migrated or gone from `at_s` on. A canary of 10% counts as 0.1 of a route."""

    at_s: float
    moved: float
    routes: int

    @property
    def share(self) -> float | None:
        """The share of moved routes, from 0 to 1; None if the table has no routes."""
        return round(self.moved / self.routes, 4) if self.routes else None


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress in a period: the requests of all routes, the unrouted requests, the moved routes, and the flips."""

    requests: SidesHistory
    unrouted: SidesHistory
    routes: tuple[RoutesMoved, ...]
    flips: tuple[HistoryEntry, ...]


def progress(view: StateFolder, question: HistoryQuestion, now_s: float) -> Progress:
    """Return the progress in the period that `question` names.

    The result covers all routes, even if `question` names one.

    Raises:
        OSError: if the history of flips cannot be read.

    """
    since_s, until_s, step_s = question.since_s, question.until_s, question.step_s
    entries = [each for each in history_of(view).entries if each.action in MOVES]
    table = view.table
    return Progress(
        sides_history(view, HistoryQuestion(None, since_s, until_s, step_s), now_s),
        sides_history(view, HistoryQuestion(DEFAULT, since_s, until_s, step_s), now_s),
        routes_moved(table.routes if table else (), entries, since_s, min(until_s, now_s)),
        tuple(each for each in entries if since_s <= (unix_s(each.at) or 0.0) < until_s),
    )


def routes_moved(
    routes: Sequence[Route], entries: Sequence[HistoryEntry], since_s: float, until_s: float
) -> tuple[RoutesMoved, ...]:
    """Return the number of moved routes at both ends of a period and after each flip in it, the oldest first."""
    parts = {route.name: _part_of(route) for route in routes}
    found: list[RoutesMoved] = []

    def note(at_s: float) -> None:
        found.append(RoutesMoved(at_s, sum(parts.values()), len(parts)))

    for entry in reversed(entries):
        at_s = unix_s(entry.at)
        if at_s is not None and at_s < since_s:
            break
        if at_s is not None and at_s <= until_s:
            if not found:
                note(until_s)
            note(at_s)
        for name in _routes_of(entry, routes):
            parts[name] = _part_before(entry)
    if not found:
        note(until_s)
    note(since_s)
    return tuple(reversed(found))


def _routes_of(entry: HistoryEntry, routes: Sequence[Route]) -> list[str]:
    """Return the names of the routes that a flip moved, as far as the table still has these routes."""
    moved = entry.route or ""
    if moved.startswith(GROUP):
        return [route.name for route in routes if f"{GROUP}{route.group}" == moved]
    return [route.name for route in routes if route.name == moved]


def _part_of(route: Route) -> float:
    return 1.0 if route.target in MOVED else route.canary / 10_000


def _part_before(entry: HistoryEntry) -> float:
    """Return how much of a route was moved before a flip, from 0 to 1, according to `from` in the flip's entry."""
    before = entry.from_ or ""
    if before in MOVED:
        return 1.0
    if before.endswith("%"):
        return _percent(before) / 100
    return 0.0


def _percent(text: str) -> float:
    try:
        return float(text.rstrip("%"))
    except ValueError:
        return 0.0


def unix_s(at: str) -> float | None:
    """Return the unix time of an entry of the history; None if its time is garbled."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return None
