"""What the overview shows, read at one moment: alerts of its own, the rows of the routes, and the latest flip.

A file that cannot be read leaves the page without its figures, and becomes an alert. Knows neither Flask nor HTML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from overgrow.admin.alerts import Alert
from overgrow.admin.route_rows import Counted, RouteRow, RowSources, rows_of
from overgrow.admin.view import AdminView, history_of, living_workers, notes_of
from overgrow.files import ANSWER_S, within
from overgrow.observe.metrics import BUCKETS_S, sum_samples
from overgrow.observe.recent_counts import recent_requests
from overgrow.observe.recent_rates import read_rates
from overgrow.observe.split import RouteSplit, split_by_route
from overgrow.table.editing.history import HistoryEntry, find_undoable

T = TypeVar("T")

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
    undo: HistoryEntry | None


def read_overview(view: AdminView, now_s: float) -> Overview:
    """Read the board, the metrics, the rates, the history and the open groups."""
    living = living_workers(view)
    entries, no_history = _read_or_reason(lambda: history_of(view).entries, "The history")
    counted, no_counts = _read_or_reason(
        lambda: _read_samples_in_time(view, now_s), "What was counted"
    )
    rates, no_rates = _read_or_reason(
        lambda: _read_rates_in_time(view, now_s), "What the last minutes brought"
    )
    figures = split_by_route(counted or (), view.table.routes if view.table else ())
    sources = RowSources(counted or (), living, rates or {}, open_groups_of(view), entries or ())
    unreadable = filter(None, (no_history, no_counts, no_rates))
    return Overview(
        alerts=tuple(Alert(each, fix=_BRAKE) for each in unreadable),
        notes=tuple(each for each in notes_of(living) if each.startswith(f"{view.config}:")),
        totals=totals_of(figures),
        rows=tuple(rows_of(figures, sources)),
        undo=find_undoable(entries or (), None),
    )


def _read_or_reason(read: Callable[[], T], name: str) -> tuple[T | None, str]:
    """Return (result, ""): what `read` returns. If it fails, return (None, reason), because the page must work all the same."""
    try:
        return read(), ""
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return None, f"{name} cannot be read ({where}{error.strerror or error})."


def _read_samples_in_time(view: AdminView, now_s: float) -> list[Counted]:
    return within(ANSWER_S, view.metrics, partial(read_samples, view, now_s))


def _read_rates_in_time(view: AdminView, now_s: float) -> dict[tuple[str, str], dict[str, Any]]:
    return within(ANSWER_S, view.metrics, partial(read_rates, view.metrics, BUCKETS_S, now_s))


def open_groups_of(view: AdminView) -> Mapping[str, int]:
    """Return the number of open groups by route; none if the store does not respond."""
    with suppress(OSError):
        return within(ANSWER_S, view.state / "store", view.open_groups)
    return {}


def read_samples(view: AdminView, now_s: float) -> list[Counted]:
    """Return what all workers counted in total and in the last minute."""
    return [*sum_samples(view.metrics), *recent_requests(view.metrics, now_s)]


def totals_of(figures: Sequence[RouteSplit]) -> Totals:
    """Return the sums over all routes."""
    return Totals(
        sum(each.legacy.requests for each in figures),
        sum(each.legacy.errors for each in figures),
        sum(each.migrated.requests for each in figures),
        sum(each.migrated.errors for each in figures),
    )


def failures_of(counted: Iterable[Counted]) -> tuple[tuple[str, str, int], ...]:
    """Return (code, party, number) of failures, the most frequent first; the party is the one that caused them."""
    times: Counter[tuple[str, str]] = Counter()
    for sample in counted:
        # `gone` is not a failure: the table asks for it.
        if sample.name == "overgrow_failures_total" and sample.labels["code"] != "gone":
            times[sample.labels["code"], sample.labels["party"]] += int(sample.value)
    return tuple((code, party, count) for (code, party), count in times.most_common())
