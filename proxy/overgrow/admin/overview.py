"""What the overview shows, read at one moment: alerts of its own, the rows of the routes, and the latest flip.

If a file cannot be read, the page shows an alert in place of the file's figures. Nothing here knows Flask or
HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from overgrow.admin.alerts import Alert
from overgrow.admin.route_rows import RouteRow, RowSources, rows_of
from overgrow.admin.traffic import NO_TRAFFIC, CounterReader, Traffic
from overgrow.admin.view import AdminView, history_of, living_workers, notes_of, started_s
from overgrow.files import ANSWER_S, within
from overgrow.observe.counted_families import sum_samples
from overgrow.observe.recent_counts import recent_requests
from overgrow.observe.recent_rates import WINDOWS_S
from overgrow.table.editing.history import HistoryEntry, find_undoable

T = TypeVar("T")
Counted = Any  # a Sample of prometheus_client's: name, labels, value

_BRAKE = 'Fix that. "Everything to legacy" still works.'


@dataclass(frozen=True, slots=True)
class Totals:
    """The numbers of requests and errors of both sides since the counters started."""

    legacy_requests: int
    legacy_errors: int
    migrated_requests: int
    migrated_errors: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the page besides the frame."""

    alerts: tuple[Alert, ...]  # on what cannot be read
    notes: tuple[str, ...]
    totals: Totals
    rows: tuple[RouteRow, ...]  # in matching order
    entries: tuple[HistoryEntry, ...]  # of the history

    @property
    def undo(self) -> HistoryEntry | None:
        """The latest flip that can be undone."""
        return find_undoable(self.entries, None)


def read_overview(view: AdminView, traffic: CounterReader, now_s: float) -> Overview:
    """Read the board, the counters, the history and the open groups."""
    living = living_workers(view)
    entries, no_history = _read_or_reason(lambda: history_of(view).entries, "The history")
    counted, no_counts = _read_or_reason(lambda: traffic.read(now_s), "What was counted")
    counted = counted or NO_TRAFFIC
    routes = view.table.routes if view.table else ()
    began_s = started_s(view.server)
    windows_s = {name: counted.window_s(name, now_s, began_s) for name in WINDOWS_S}
    groups = open_groups_of(view)
    sources = RowSources(routes, counted, living, groups, entries or (), windows_s)
    return Overview(
        alerts=tuple(Alert(each, fix=_BRAKE) for each in (no_history, no_counts) if each),
        notes=tuple(each for each in notes_of(living) if each.startswith(f"{view.config}:")),
        totals=totals_of(counted),
        rows=tuple(rows_of(sources)),
        entries=tuple(entries or ()),
    )


def _read_or_reason(read: Callable[[], T], name: str) -> tuple[T | None, str]:
    """Return (result of `read`, "").

    If `read` fails, return (None, reason), because the page must work all the same.
    """
    try:
        return read(), ""
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return None, f"{name} cannot be read ({where}{error.strerror or error})."


def open_groups_of(view: AdminView) -> Mapping[str, int]:
    """Return the number of open groups of each route; an empty mapping if the store does not respond."""
    with suppress(OSError):
        return within(ANSWER_S, view.state / "store", view.open_groups)
    return {}


def read_samples(view: AdminView, now_s: float) -> list[Counted]:
    """Return the counts of all workers: in total, and in the last minute."""
    return [*sum_samples(view.metrics), *recent_requests(view.metrics, now_s)]


def totals_of(traffic: Traffic) -> Totals:
    """Return the sums over all routes."""
    found = dict.fromkeys(("legacy", "migrated"), (0, 0))
    for (_, side), (errors, *buckets) in traffic.totals.items():
        if side in found:
            requests, failed = found[side]
            found[side] = (requests + sum(buckets), failed + errors)
    return Totals(*found["legacy"], *found["migrated"])
