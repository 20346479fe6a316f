"""The overview: what moves now, and one row per route that can be found, sorted and put back.

The JSON has every route, so that the open page finds and sorts without asking. The HTML, which also works without JavaScript,
has the routes that its link asks for, at most MOST_SHOWN. A figure that a route does not have is left out of its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from overgrow.admin.overview import Overview, read_overview
from overgrow.admin.pages.figures import (
    error_text,
    percent_of,
    rate_text,
    split_bar,
)
from overgrow.admin.pages.site import Page, PageData, Query
from overgrow.admin.route_rows import RouteRow
from overgrow.admin.view import AdminView
from overgrow.observe.split import DEFAULT
from overgrow.table.editing.history import HistoryEntry
from overgrow.text import count_text, duration_text, percent_text

MOST_SHOWN = 200  # routes in the HTML, and at first on the open page
MINUTE, MINUTES = "last_minute", "last_five_minutes"
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


def overview_data(view: AdminView, now_s: float, _query: Query) -> PageData:
    """Return the data of the page, with all routes in matching order."""
    shown = read_overview(view, now_s)
    rows = [row_json(row) for row in shown.rows]
    return {
        "alerts": [{"id": each.what, "what": each.what, "fix": each.fix} for each in shown.alerts],
        "notes": [{"text": note} for note in shown.notes],
        "now": summary_json(shown.rows),
        "totals": totals_text(shown),
        "undo": undo_json(shown.undo),
        "rows": rows,
        "routes": len(rows),
    }


def narrow(data: PageData, query: Query) -> PageData:
    """Return the data with the routes that the link asks for: `find` and `sort`."""
    find, sort = query.get("find", "").strip(), query.get("sort", "")
    rows = sort_rows([row for row in data["rows"] if is_match(row, find)], sort)
    return {
        **data,
        "rows": rows[:MOST_SHOWN],
        "found": found_text(len(rows), data["routes"]),
        "find": find,
        "sort": sort if sort in SORTS else "",
    }


PAGE = Page("/", "overview.html", overview_data, narrow=narrow)


# --- rows -----------------------------------------------------------------------------------------


def row_json(row: RouteRow) -> dict[str, Any]:
    """Return a route's row: texts to show, and under `sort` the numbers to sort by."""
    split, route = row.split, row.split.route
    found: dict[str, Any] = {
        "name": split.name,
        "href": f"/routes/{split.name}",
        "takes": row.takes or None,
        "marks": " · ".join(row.marks) or None,
        "target": split.target or "-",
        "canary": _canary_text(row),
        "breakers": " · ".join(f"{side} breaker {state}" for side, state in row.breakers.items()),
        "groups": _groups_text(row),
        "groups_tone": "bad" if row.open_groups else None,
        "way_back": row.way_back if route else None,
        "flipped_at": row.last_flip.at if row.last_flip else None,
        "flipped": _flip_text(row.last_flip) if row.last_flip else None,
        "sort": _sort_numbers(row),
    }
    found |= split_bar(_requests(row, "legacy", MINUTE), _requests(row, "migrated", MINUTE))
    found |= {"rate": rate_text(_per_second(row))} if _per_second(row) else {}
    for side in SIDES:
        found |= _side_json(side, row.rates[side].get(MINUTES))
    difference = error_difference(row)
    if difference is not None:
        found["error_difference"] = f"{difference:+.2g} points" if difference else "none"
        found["difference_tone"] = "bad" if difference > 0 else None
    return {name: value for name, value in found.items() if value not in (None, "")}


def _side_json(side: str, figures: Mapping[str, Any] | None) -> dict[str, Any]:
    if not figures or not figures["requests"]:
        return {}
    return {
        f"{side}_errors": error_text(figures["errors"], figures["requests"]),
        f"{side}_tone": "bad" if figures["errors"] else None,
        f"{side}_p95": duration_text(figures["p95_s"]),
    }


def _canary_text(row: RouteRow) -> str:
    route = row.split.route
    if route is None or not route.canary:
        return ""
    return f"canary {percent_text(route.canary)}{', dormant' if route.target != 'legacy' else ''}"


def _groups_text(row: RouteRow) -> str:
    route = row.split.route
    if row.open_groups:
        return f"{count_text(row.open_groups, 'group')} open"
    if row.shadow.compared:
        return f"none in {row.shadow.compared:,}"
    return "none compared" if route and route.shadow else ""


def _flip_text(entry: HistoryEntry) -> str:
    return f"{entry.action}: {entry.from_} to {entry.to}, by {entry.who}"


def _requests(row: RouteRow, side: str, window: str) -> int:
    return int(row.rates[side].get(window, {}).get("requests", 0))


def _per_second(row: RouteRow) -> float:
    return sum(float(row.rates[side].get(MINUTE, {}).get("per_second", 0)) for side in SIDES)


def error_difference(row: RouteRow) -> float | None:
    """Return by how many percentage points migrated fails more often than legacy; None unless both sides had requests."""
    shares = [row.rates[side].get(MINUTES, {}).get("error_percent") for side in SIDES]
    return None if None in shares else round(shares[1] - shares[0], 2)


def _sort_numbers(row: RouteRow) -> dict[str, float]:
    legacy, migrated = (row.rates[side].get(MINUTES, {}) for side in SIDES)
    both = _requests(row, "legacy", MINUTE) + _requests(row, "migrated", MINUTE)
    found = {
        "rate": _per_second(row) or None,
        "share": _requests(row, "migrated", MINUTE) / both if both else None,
        "legacy_errors": legacy.get("error_percent"),
        "migrated_errors": migrated.get("error_percent"),
        "error_difference": error_difference(row),
        "legacy_p95": legacy.get("p95_s"),
        "migrated_p95": migrated.get("p95_s"),
        "groups": row.open_groups or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def is_match(row: Mapping[str, Any], find: str) -> bool:
    """Whether one of the texts that a search looks in contains the text."""
    return find.lower() in " ".join(str(row.get(name, "")) for name in FOUND_IN).lower()


def sort_rows(rows: Sequence[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    """Return rows with the highest value first; those without one come last, in matching order."""
    if sort == "name":
        return sorted(rows, key=lambda row: row["name"])
    if sort == "flipped":
        return sorted(rows, key=lambda row: row.get("flipped_at", ""), reverse=True)
    if sort not in SORTS:
        return list(rows)
    return sorted(rows, key=lambda row: -row["sort"].get(sort, float("-inf")))


def found_text(found: int, routes: int) -> str:
    """Return how many routes are shown, of how many."""
    if found > MOST_SHOWN:
        return f"The first {MOST_SHOWN} of {count_text(found, 'route')}. Search to find the others."
    return (
        count_text(found, "route")
        if found == routes
        else f"{found:,} of {count_text(routes, 'route')}"
    )


# --- sums -----------------------------------------------------------------------------------------


def summary_json(rows: Iterable[RouteRow]) -> dict[str, Any]:
    """Return what happens now: the share of requests and of routes on migrated, and what no route takes."""
    rows = list(rows)
    legacy, migrated = (sum(_requests(row, side, MINUTE) for row in rows) for side in SIDES)
    both = legacy + migrated
    unrouted = sum(
        _requests(row, side, MINUTE) for row in rows if row.split.name == DEFAULT for side in SIDES
    )
    routes = [row for row in rows if row.split.target]
    moved = sum(1 for row in routes if row.split.target != "legacy")
    return {
        **split_bar(legacy, migrated),
        "requests": percent_of(migrated, both) if both else "no requests",
        "routes": f"{moved:,} of {count_text(len(routes), 'route')}",
        "unrouted": percent_of(unrouted, both) if both else "no requests",
        "rate": rate_text(sum(_per_second(row) for row in rows)),
        **{f"{side}_errors": _errors_text(rows, side) for side in SIDES},
        **{f"{side}_tone": "bad" if _errors(rows, side) else None for side in SIDES},
    }


def _errors(rows: Sequence[RouteRow], side: str) -> int:
    return sum(int(row.rates[side].get(MINUTES, {}).get("errors", 0)) for row in rows)


def _errors_text(rows: Sequence[RouteRow], side: str) -> str:
    requests = sum(_requests(row, side, MINUTES) for row in rows)
    return error_text(_errors(rows, side), requests) if requests else "no requests"


def totals_text(shown: Overview) -> str:
    """Return the totals as a sentence."""
    totals = shown.totals
    return (
        f"Since the counters started: legacy {count_text(totals.legacy_requests, 'request')}"
        f" with {count_text(totals.legacy_errors, 'error')}, migrated"
        f" {count_text(totals.migrated_requests, 'request')} with {count_text(totals.migrated_errors, 'error')}."
    )


def undo_json(entry: HistoryEntry | None) -> dict[str, Any] | None:
    """Return the flip that can be undone."""
    if entry is None:
        return None
    what = f"{entry.route}: from {entry.to} back to {entry.from_}"
    return {"key": entry.key, "what": what, "at": entry.at, "who": entry.who}
