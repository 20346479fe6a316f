"""Everything that is known of one route now, for the API and the page of the route. Knows neither Flask nor HTML.

The default route, which takes what no other route takes, is a route too: it has figures, but no flips, gate or shadow.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, TypeGuard

from overgrow.admin.differences import ListedDifferences, list_differences
from overgrow.admin.health import read_recent
from overgrow.admin.overview import read_samples
from overgrow.admin.route_rows import ShadowCounts, shadow_counts_of
from overgrow.admin.view import AdminView, history_of, living_workers, open_breakers
from overgrow.files import ANSWER_S, within
from overgrow.observe.as_json import route_json, split_json
from overgrow.observe.recent_counts import WINDOW_S, last_requests
from overgrow.observe.split import split_by_route
from overgrow.observe.upstream import upstream_json
from overgrow.routing.model import Route
from overgrow.shadow.review.as_json import group_json
from overgrow.shadow.review.gate_report import (
    GateReport,
    gate_json,
    judge_gate_without_store,
    question_for,
)
from overgrow.table.editing.history_list import list_history
from overgrow.table.editing.unrecorded import FOLDER, waiting_notes
from overgrow.text import percent_number, rfc3339

SIDES = ("legacy", "migrated")
MOST_FLIPS = 20
MOST_GROUPS = 20
NO_RATES: Mapping[str, Any] = {}


def route_detail(view: AdminView, name: str, now_s: float) -> dict[str, Any]:
    """Return what is known of a route, or of the default route; the table in effect has it.

    Raises:
        OSError: if a file cannot be read, or its file system does not respond.

    """
    route = find_route(view, name)
    living = living_workers(view)
    counted = within(ANSWER_S, view.metrics, partial(read_samples, view, now_s))
    rates = read_recent(view, now_s).by_route
    split = next(each for each in split_by_route(counted, _routes_of(view)) if each.name == name)
    shadow = shadow_counts_of(counted).get(name, ShadowCounts(0, 0))
    return {
        "name": name,
        "route": route_json(route) if route else None,
        "split": split_json(split, rates),
        "health": {
            "killed": view.is_killed,
            "upstream": upstream_json(living),
            **{side: dict(rates.get((name, side), NO_RATES)) for side in SIDES},
        },
        "gate": gate_json(ask_gate_in_time(view, route, now_s)) if has_gate(route) else None,
        "shadow": {
            "percent": percent_number(route.shadow) if route else 0,
            "compared": shadow.compared,
            "mismatched": shadow.mismatched,
        },
        "breaker": [each for each in open_breakers(living) if each.get("route") == name],
        "differences": _differences_json(view, name, now_s) if route else None,
        "flips": flips_json(view, name, MOST_FLIPS),
        "last_hit": last_hit_json(view, name, now_s),
    }


def find_route(view: AdminView, name: str) -> Route | None:
    """Return the route with this name in the table in effect; None if the table has no such route."""
    return next((each for each in _routes_of(view) if each.name == name), None)


def _routes_of(view: AdminView) -> tuple[Route, ...]:
    return view.table.routes if view.table else ()


def has_gate(route: Route | None) -> TypeGuard[Route]:
    """Whether the route exists and has a gate. A route has a gate if it can go to the other side."""
    return route is not None and route.reversible and route.target in SIDES


def ask_gate_in_time(view: AdminView, route: Route, now_s: float) -> GateReport:
    """Return the gate's answer. If the store does not respond in time, judge without evidence."""
    question = question_for(route)
    try:
        return within(ANSWER_S, view.state / "store", partial(view.ask_gate, question))
    except OSError as error:
        why = f"The evidence cannot be read: {error.strerror or error}."
        return judge_gate_without_store(question, why, now_s)


def _differences_json(view: AdminView, name: str, now_s: float) -> dict[str, Any]:
    found: ListedDifferences = list_differences(
        view, now_s, name, everything=False, limit=MOST_GROUPS
    )
    return {
        "open": found.matching,
        "groups": [group_json(each) for each in found.groups],
        "more": found.has_more,
        "missing": found.missing or None,
    }


def flips_json(view: AdminView, name: str | None, last: int) -> dict[str, Any]:
    """Return the latest changes, the latest first: of a route, of group:NAME, or of all.

    `broken` says where the history is damaged.
    """
    history = history_of(view)
    read_notes = partial(waiting_notes, view.config, view.state)
    notes = within(ANSWER_S, view.state / FOLDER, read_notes)
    rows = list_history(history, notes, name)
    return {
        "entries": [row.as_json() for row in rows[:last]],
        "more": len(rows) > last,
        "broken": list(history.broken),
    }


def last_hit_json(view: AdminView, name: str, now_s: float) -> dict[str, str | None]:
    """Return when each side last answered a request of a route, exact to ten seconds.

    None for a side that has never answered one.
    """
    latest = within(ANSWER_S, view.metrics, partial(last_requests, view.metrics))
    return {side: _time_json(latest.get((name, side)), now_s) for side in SIDES}


def _time_json(window_s: int | None, now_s: float) -> str | None:
    return None if window_s is None else rfc3339(min(window_s + WINDOW_S / 2, now_s))
