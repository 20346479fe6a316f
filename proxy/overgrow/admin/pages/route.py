"""One route: why it is on its present side, its charts, the gate with its arithmetic, and flips in two steps.

The first step is a link: it shows what the flip would do, or why the flip would be refused. The second step is
a form. It carries the revision of the table that the first step showed. The page of the default route has
figures and charts only.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any

from werkzeug.exceptions import NotFound

from overgrow.admin.alerts import killed_since_of
from overgrow.admin.overview import Overview, read_overview
from overgrow.admin.pages.figures import error_text, rate_text
from overgrow.admin.pages.history_charts import KEEP_S, known_range, route_charts
from overgrow.admin.pages.kept_answers import KeptAnswers
from overgrow.admin.pages.overview import SIDES, row_json
from overgrow.admin.pages.site import Page, PageData, Query
from overgrow.admin.route_detail import ask_gate_in_time, has_gate
from overgrow.admin.route_reasons import reasons_of
from overgrow.admin.route_rows import RouteRow
from overgrow.admin.traffic import MINUTE, MINUTES, NO_TRAFFIC, CounterReader, Traffic
from overgrow.admin.view import AdminView, living_workers, readiness
from overgrow.files import ANSWER_S, within
from overgrow.observe.metrics import BUCKETS_S
from overgrow.observe.rates_reader import RateCounts
from overgrow.routing.model import FULL_CANARY
from overgrow.shadow.review.gate_report import GateReport, gate_json
from overgrow.table.editing.history import HistoryEntry, find_undoable
from overgrow.table.editing.preview import FlipPreview, preview_flip
from overgrow.table.reading.problems import EditRefused
from overgrow.text import count_text, duration_text, percent_text

GATE_S = 10.0  # the gate is asked at most once in this time
MOST_FLIPS = 10
STEPS = ("1%", "5%", "10%", "25%", "50%")
MOST_TO = 12  # characters of a state
WINDOWS = ((MINUTE, "Last minute"), (MINUTES, "Last 5 minutes"))


def create_route_page(traffic: CounterReader) -> Page:
    """Return the page; `traffic` is shared with the other pages."""
    return Page("/routes/<name>", "route.html", RouteBuilder(traffic), ("range", "to"))


class RouteBuilder:
    """Makes the data of the page of a route."""

    def __init__(self, traffic: CounterReader) -> None:
        self._traffic, self._kept = traffic, KeptAnswers()

    def __call__(self, view: AdminView, now_s: float, query: Query, name: str) -> PageData:
        """Return the data of a route's page.

        Raises:
            NotFound: with the nearest names, if there is no such route.

        """
        shown = read_overview(view, self._traffic, now_s)
        row = _find_row(shown.rows, name)
        span = known_range(query.get("range", ""))
        charts = partial(route_charts, view, name, span, now_s)
        flip_name = row.flip_name
        return {
            **row_json(row),
            "alerts": [
                {"id": each.what, "what": each.what, "fix": each.fix} for each in shown.alerts
            ],
            "reasons": [{"text": text} for text in self._reasons(view, row)],
            "figures": self._figures(row, now_s),
            "gate": self._gate(view, row, now_s),
            "charts": self._kept.get(("charts", name, span), KEEP_S[span], charts),
            "flips": [flip_json(each) for each in flips_of(shown, name)[:MOST_FLIPS]],
            "undo": _undo_json(find_undoable(shown.entries, flip_name)) if flip_name else None,
            "steps": steps_of(row),
            "plan": plan_json(view, row, query.get("to", "")[:MOST_TO]),
            "flip_name": flip_name,
        }

    def _reasons(self, view: AdminView, row: RouteRow) -> Sequence[str]:
        group = row.route.group if row.route else None
        routes = view.table.routes if view.table else ()
        members = [each.name for each in routes if group and each.group == group]
        rejected = readiness(view, living_workers(view))["reload_error"] is not None
        return tuple(reasons_of(row, members, killed_since_of(view), is_rejected=rejected))

    def _figures(self, row: RouteRow, now_s: float) -> list[dict[str, Any]]:
        try:
            traffic = self._traffic.read(now_s)
        except OSError:
            traffic = NO_TRAFFIC
        recent = [_window_json(row, window, label) for window, label in WINDOWS]
        return [*recent, _totals_json(traffic, row.name)]

    def _gate(self, view: AdminView, row: RouteRow, now_s: float) -> dict[str, Any] | None:
        route = row.route
        if not has_gate(route):
            return None
        ask = partial(ask_gate_in_time, view, route, now_s)
        return _gate_json(self._kept.get(("gate", route), GATE_S, ask))


def _find_row(rows: Sequence[RouteRow], name: str) -> RouteRow:
    found = next((row for row in rows if row.name == name), None)
    if found is None:
        near = get_close_matches(name.lower()[:80], [row.name for row in rows], 3, cutoff=0.5)
        more = (
            f" The nearest names: {', '.join(near)}." if near else " The overview lists all names."
        )
        raise NotFound(f"There is no route named {name[:80]}.{more}")
    return found


# --- figures --------------------------------------------------------------------------------------


def _window_json(row: RouteRow, window: str, label: str) -> dict[str, Any]:
    found: dict[str, Any] = {"window": label}
    for side in SIDES:
        counts = row.recent.get((side, window))
        if counts is not None:
            found[f"{side}_rate"] = rate_text(counts.requests / row.windows_s[window])
            found |= _side_json(side, counts)
    return found


def _totals_json(traffic: Traffic, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"window": "Total since the counters started"}
    for side in SIDES:
        errors, *buckets = traffic.totals.get((name, side), (0,))
        if sum(buckets):
            found |= _side_json(side, RateCounts(sum(buckets), errors, tuple(buckets)))
    return found


def _side_json(side: str, counts: RateCounts) -> dict[str, Any]:
    percentiles = {f"p{share}": counts.percentile(share / 100, BUCKETS_S) for share in (50, 95, 99)}
    return {
        f"{side}_errors": error_text(counts.errors, counts.requests),
        f"{side}_tone": "bad" if counts.errors else None,
        **{f"{side}_{name}": duration_text(value) for name, value in percentiles.items()},
    }


def _gate_json(report: GateReport) -> dict[str, Any]:
    told = gate_json(report)
    return {
        "ready": told["ready"],
        "to": told["to"],
        "state": "open" if told["ready"] else "closed",
        "tone": "good" if told["ready"] else "warn",
        "reasons": [{"text": text} for text in told["reasons"]],
        "arithmetic": [{"text": text.replace("`", "")} for text in told["arithmetic"]],
        "notes": [{"text": text} for text in told["notes"]],
        "newest": told["newest"],
        "missing": f"{count_text(told['missing'], 'comparison')} without a mismatch to go."
        if told["missing"]
        else "",
    }


# --- flips ----------------------------------------------------------------------------------------


def flips_of(shown: Overview, name: str) -> list[HistoryEntry]:
    """Return the flips of a route, including those of its group, the latest first."""
    return [
        entry
        for entry in reversed(shown.entries)
        if entry.route == name or any(change.route == name for change in entry.changes)
    ]


def flip_json(entry: HistoryEntry) -> dict[str, Any]:
    """Return an entry of the history for the page."""
    names = ("at", "who", "action", "route", "from_", "to", "why")
    return {"id": entry.key, **{name.rstrip("_"): getattr(entry, name) for name in names}}


def _undo_json(entry: HistoryEntry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {
        "key": entry.key,
        "what": f"{entry.to} back to {entry.from_}",
        "at": entry.at,
        "who": entry.who,
    }


def steps_of(row: RouteRow) -> list[dict[str, Any]]:
    """Return the states that the page offers as targets of a flip; the present state is marked."""
    route = row.route
    if route is None:
        return []
    now = percent_text(route.canary) if route.target == "legacy" and route.canary else route.target
    if not route.reversible:
        offered = ["migrated", "gone"]
    else:
        offered = ["legacy", *STEPS, "migrated", "gone"]
    if now not in offered:
        offered.insert(1, now)
    return [
        {
            "to": to,
            "now": "true" if to == now else None,
            "href": f"/routes/{row.name}?to={to.replace('%', '%25')}#flip",
        }
        for to in offered
    ]


def plan_json(view: AdminView, row: RouteRow, to: str) -> dict[str, Any] | None:
    """Return what the flip of the link would do, before anybody makes it.

    Return None if the link asks for no flip, or if the table does not have the route.
    """
    if not to or row.flip_name is None:
        return None
    ask = partial(preview_flip, view.config, view.state, os.environ, row.flip_name, to)
    try:
        found = within(ANSWER_S, view.config, ask)
    except EditRefused as refused:
        return {
            "to": to,
            "is_possible": False,
            "refusal": f"{refused.message}. {refused.fix}",
            "effects": [],
        }
    except OSError as error:
        return {
            "to": to,
            "is_possible": False,
            "refusal": f"{error.strerror or error}.",
            "effects": [],
        }
    return {
        "to": found.to,
        "is_possible": bool(found.lines) and found.locked is None,
        "is_forward": found.is_forward,
        "revision": found.revision,
        "refusal": _locked_text(found),
        "effects": [{"text": text} for text in effects_of(row, found)],
        "command": f"overgrow flip {found.name} {found.to}",
    }


def _locked_text(found: FlipPreview) -> str:
    if not found.lines:
        return f"It is {found.to} already."
    if found.locked:
        return f"It cannot be changed here, because {found.locked}. Change it where it is kept: {found.lines}."
    return ""


def effects_of(row: RouteRow, found: FlipPreview) -> Sequence[str]:
    """Return sentences that say what a flip does."""
    if not found.lines:
        return []
    told = [_effect_on_clients(found)]
    if len(found.members) > 1:
        told.append(f"All routes of the group move together: {', '.join(found.members)}.")
    requests = sum(
        counts.requests for (_, window), counts in row.recent.items() if window == MINUTE
    )
    if requests:
        told.append(f"The route had {count_text(requests, 'request')} in the last minute.")
    if found.is_forward and row.open_groups:
        told.append(f"Open groups of differences: {row.open_groups:,}.")
    told.append(
        f"In the table, {found.lines}. Every worker follows within a second; requests in flight finish where they are."
    )
    return told


def _effect_on_clients(found: FlipPreview) -> str:
    if found.to == "gone":
        return f"From {found.from_} to gone: every client gets 410."
    if found.share == FULL_CANARY:
        return f"From {found.from_} to {found.to}: migrated serves all clients."
    if found.share:
        return f"From {found.from_} to {found.to}: migrated serves {found.to} of clients, always the same ones, and legacy the others."
    return f"From {found.from_} to {found.to}: legacy serves all clients."
