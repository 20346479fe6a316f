"""The overview: what moves now, and one row for each route. Viewers search and sort the rows, and put a route back.

The JSON has every route, so that the open page can search and sort by itself. The HTML also works without
JavaScript; it has the routes that its link asks for, at most MOST_SHOWN. If a route lacks a figure, its row
leaves that figure out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from overgrow.admin.overview import Totals, read_overview
from overgrow.admin.pages.figures import error_text, percent_of, rate_text, split_bar
from overgrow.admin.pages.history_charts import KEEP_S, known_range, progress_charts
from overgrow.admin.pages.kept_answers import KeptAnswers
from overgrow.admin.pages.site import Page, PageData, Query
from overgrow.admin.route_rows import RouteRow, describe_matched_requests, marks_of
from overgrow.admin.traffic import MINUTE, MINUTES, CounterReader
from overgrow.admin.view import AdminView
from overgrow.observe.metrics import BUCKETS_S
from overgrow.observe.rates_reader import RateCounts
from overgrow.observe.split import DEFAULT
from overgrow.table.editing.history import HistoryEntry
from overgrow.text import count_text, duration_text, percent_text, rfc3339

MOST_SHOWN = 200  # routes in the HTML, and at first on the open page
SIDES = ("legacy", "migrated")
SORTS = {
    "rate": "Requests/s",
    "share": "Split",
    "legacy_errors": "Legacy",
    "migrated_errors": "Migrated",
    "error_difference": "Difference",
    "legacy_p95": "Legacy",
    "migrated_p95": "Migrated",
    "groups": "Open groups",
    "flipped": "Last flip",
}
FOUND_IN = (
    "name",
    "takes",
    "marks",
    "target",
    "canary",
    "breakers",
)  # the texts that a search looks in


def create_overview(traffic: CounterReader) -> Page:
    """Return the page; `traffic` is shared with the other pages."""
    return Page("/", "overview.html", OverviewBuilder(traffic), ("range",), narrow)


class OverviewBuilder:
    """Makes the data of the page. It makes the row of a route again only if something in the row has changed."""

    def __init__(self, traffic: CounterReader) -> None:
        self._traffic = traffic
        self._charts = KeptAnswers()
        self._made: dict[str, tuple[RouteRow, dict[str, Any]]] = {}

    def __call__(self, view: AdminView, now_s: float, query: Query) -> PageData:
        """Return the data of the page, with all routes in matching order."""
        span = known_range(query.get("range", ""))
        chart = partial(progress_charts, view, span, now_s)
        shown = read_overview(view, self._traffic, now_s)
        rows = self._rows_json(shown.rows)
        return {
            "alerts": [
                {"id": each.what, "what": each.what, "fix": each.fix} for each in shown.alerts
            ],
            "notes": [{"text": note} for note in shown.notes],
            "now": summary_json(shown.rows),
            "progress": self._charts.get(span, KEEP_S[span], chart),
            "totals": totals_text(shown.totals),
            "undo": undo_json(shown.undo),
            "rows": rows,
            "routes": len(rows),
        }

    def _rows_json(self, rows: Sequence[RouteRow]) -> list[dict[str, Any]]:
        before = self._made
        made = {}
        for row in rows:
            known = before.get(row.name)
            made[row.name] = known if known and known[0] == row else (row, row_json(row))
        self._made = made
        return [told for _, told in made.values()]


def narrow(data: PageData, query: Query) -> PageData:
    """Return the data with only the rows that match `find`, in the order of `sort`. Both values come from the link."""
    find, sort = query.get("find", "").strip(), query.get("sort", "")
    rows = sort_rows([row for row in data["rows"] if is_match(row, find)], sort)
    return {
        **data,
        "rows": rows[:MOST_SHOWN],
        "found": found_text(len(rows), data["routes"]),
        "find": find,
        "sort": sort if sort in SORTS else "",
    }


# --- rows -----------------------------------------------------------------------------------------


def row_json(row: RouteRow) -> dict[str, Any]:
    """Return a route's row: texts to show, and under `sort` the numbers to sort by."""
    found: dict[str, Any] = {
        "name": row.name,
        "href": f"/routes/{row.name}",
        "takes": describe_matched_requests(row.route) if row.route else None,
        "marks": " \u00b7 ".join(marks_of(row)),
        "target": row.target or "-",
        "canary": canary_text(row),
        "breakers": " \u00b7 ".join(
            f"{side} breaker {state}" for side, state in row.breakers.items()
        ),
        "groups": _groups_text(row),
        "groups_tone": "bad" if row.open_groups else None,
        "way_back": row.way_back,
        "flipped_at": row.last_flip.at if row.last_flip else None,
        "flipped": _flip_text(row.last_flip) if row.last_flip else None,
        **{f"{side}_last": rfc3339(row.last_s[side]) for side in SIDES if side in row.last_s},
        "sort": _sort_numbers(row),
    }
    found |= split_bar(requests_of(row, "legacy"), requests_of(row, "migrated"))
    if per_second(row):
        found["rate"] = rate_text(per_second(row))
    for side in SIDES:
        found |= _side_json(side, row.recent.get((side, MINUTES)))
    difference = error_difference(row)
    if difference is not None:
        found["error_difference"] = f"{difference:+.2g} points" if difference else "none"
        found["difference_tone"] = "bad" if difference > 0 else None
    return {name: value for name, value in found.items() if value not in (None, "")}


def _side_json(side: str, counts: RateCounts | None) -> dict[str, Any]:
    if counts is None:
        return {}
    return {
        f"{side}_errors": error_text(counts.errors, counts.requests),
        f"{side}_tone": "bad" if counts.errors else None,
        f"{side}_p95": duration_text(counts.percentile(0.95, BUCKETS_S)),
    }


def canary_text(row: RouteRow) -> str:
    """Return the canary of a route, and whether it is dormant; return "" if the route has no canary."""
    route = row.route
    if route is None or not route.canary:
        return ""
    return f"canary {percent_text(route.canary)}{', dormant' if route.target != 'legacy' else ''}"


def _groups_text(row: RouteRow) -> str:
    if row.open_groups:
        return f"{count_text(row.open_groups, 'group')} open"
    return "none open" if row.route and row.route.shadow else ""


def _flip_text(entry: HistoryEntry) -> str:
    return f"{entry.action}: {entry.from_} to {entry.to}, by {entry.who}"


def requests_of(row: RouteRow, side: str, window: str = MINUTE) -> int:
    """Return the number of requests of a side in a window."""
    counts = row.recent.get((side, window))
    return counts.requests if counts else 0


def per_second(row: RouteRow) -> float:
    """Return the requests per second of both sides in the last minute."""
    return sum(requests_of(row, side) for side in SIDES) / row.windows_s[MINUTE]


def error_difference(row: RouteRow) -> float | None:
    """Return by how many percentage points migrated fails more often than legacy.

    Return None if one of them had no requests.
    """
    legacy, migrated = (row.recent.get((side, MINUTES)) for side in SIDES)
    if legacy is None or migrated is None:
        return None
    return round(_error_percent(migrated) - _error_percent(legacy), 2)


def _error_percent(counts: RateCounts) -> float:
    return 100 * counts.errors / counts.requests


def _sort_numbers(row: RouteRow) -> dict[str, float]:
    both = sum(requests_of(row, side) for side in SIDES)
    found: dict[str, float | None] = {
        "rate": per_second(row) or None,
        "share": requests_of(row, "migrated") / both if both else None,
        "error_difference": error_difference(row),
        "groups": row.open_groups or None,
    }
    for side in SIDES:
        counts = row.recent.get((side, MINUTES))
        if counts is not None:
            found[f"{side}_errors"] = _error_percent(counts)
            found[f"{side}_p95"] = counts.percentile(0.95, BUCKETS_S)
    return {name: value for name, value in found.items() if value is not None}


def is_match(row: Mapping[str, Any], find: str) -> bool:
    """Whether one of the row's searchable texts contains the text `find`, in upper or lower case."""
    return find.lower() in " ".join(str(row.get(name, "")) for name in FOUND_IN).lower()


def sort_rows(rows: Sequence[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    """Return the rows sorted by name, or by the value of `sort` with the highest or latest first.

    Rows without a value come last.
    """
    if sort == "name":
        return sorted(rows, key=lambda row: row["name"])
    if sort == "flipped":
        return sorted(rows, key=lambda row: row.get("flipped_at", ""), reverse=True)
    if sort not in SORTS:
        return list(rows)
    return sorted(rows, key=lambda row: -row["sort"].get(sort, float("-inf")))


def found_text(found: int, routes: int) -> str:
    """Return a text that says how many routes are shown, and how many there are."""
    if found > MOST_SHOWN:
        return f"The first {MOST_SHOWN} of {count_text(found, 'route')}. Search to find the others."
    return (
        count_text(found, "route")
        if found == routes
        else f"{found:,} of {count_text(routes, 'route')}"
    )


# --- sums -----------------------------------------------------------------------------------------


def summary_json(rows: Sequence[RouteRow]) -> dict[str, Any]:
    """Return the present state: migrated's share of requests and of routes, and the unrouted requests."""
    legacy, migrated = (sum(requests_of(row, side) for row in rows) for side in SIDES)
    both = legacy + migrated
    unrouted = sum(requests_of(row, side) for row in rows if row.name == DEFAULT for side in SIDES)
    routes = [row for row in rows if row.target]
    moved = sum(1 for row in routes if row.target != "legacy")
    return {
        **split_bar(legacy, migrated),
        "requests": percent_of(migrated, both) if both else "no requests",
        "routes": f"{moved:,} of {count_text(len(routes), 'route')}",
        "unrouted": percent_of(unrouted, both) if both else "no requests",
        "rate": rate_text(sum(map(per_second, rows))),
        **{f"{side}_errors": _errors_text(rows, side) for side in SIDES},
        **{f"{side}_tone": "bad" if _errors(rows, side) else None for side in SIDES},
    }


def _errors(rows: Iterable[RouteRow], side: str) -> int:
    found = (row.recent.get((side, MINUTES)) for row in rows)
    return sum(counts.errors for counts in found if counts)


def _errors_text(rows: Sequence[RouteRow], side: str) -> str:
    requests = sum(requests_of(row, side, MINUTES) for row in rows)
    return error_text(_errors(rows, side), requests) if requests else "no requests"


def totals_text(totals: Totals) -> str:
    """Return the totals as a sentence."""
    sides = (
        ("legacy", totals.legacy_requests, totals.legacy_errors),
        ("migrated", totals.migrated_requests, totals.migrated_errors),
    )
    told = (
        f"{side} {count_text(requests, 'request')} with {count_text(errors, 'error')}"
        for side, requests, errors in sides
    )
    return f"Since the counters started: {', '.join(told)}."


def undo_json(entry: HistoryEntry | None) -> dict[str, Any] | None:
    """Return the flip that can be undone, as JSON; None if there is none."""
    if entry is None:
        return None
    what = f"{entry.route}: from {entry.to} back to {entry.from_}"
    return {"key": entry.key, "what": what, "at": entry.at, "who": entry.who}
