"""The last decisions of all workers, the latest first, with filters."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import quote

from overgrow.admin.api.decisions import REASONS, SIDES
from overgrow.admin.api.errors import ApiError
from overgrow.admin.api.route_names import require_route
from overgrow.admin.pages.site import Page, PageData, Query
from overgrow.admin.view import AdminView
from overgrow.files import ANSWER_S, within
from overgrow.observe.decision_list import (
    STATUS_WORDS,
    DecisionFilter,
    is_status_filter,
    list_decisions,
)
from overgrow.observe.decision_record import DecisionRecord
from overgrow.observe.split import DEFAULT
from overgrow.text import duration_text

MOST = 100  # decisions on the page
_ERROR, _CLIENT_ERROR = 500, 400


def live_data(view: AdminView, _now_s: float, query: Query) -> PageData:
    """Return the data of the page."""
    given = {name: query[name].strip() for name in DecisionFilter._fields if query.get(name)}
    problem = _problem_of(given)
    rows = [] if problem else _read_rows(view, DecisionFilter(**given))
    if not rows and not problem and "route" in given:
        problem = _problem_of_route(view, given["route"])
    return {
        "filter": {name: given.get(name, "") for name in DecisionFilter._fields},
        "is_filtered": bool(given),
        "sides": SIDES,
        "reasons": REASONS,
        "problem": problem,
        "rows": rows,
        "no_rows": not rows and not problem,
        "most": MOST,
    }


def _problem_of(given: Query) -> str:
    """Return a text that says what is wrong with a filter; return "" if the filter is valid."""
    if not is_status_filter(given.get("status", "200")):
        return f"The status must be {STATUS_WORDS}."
    if given.get("side") not in (None, *SIDES):
        return f"The side must be one of {', '.join(SIDES)}."
    if given.get("reason") not in (None, *REASONS):
        return f"The reason must be one of {', '.join(REASONS)}."
    return ""


def _problem_of_route(view: AdminView, name: str) -> str:
    try:
        require_route(view, name)
    except ApiError as error:
        return f"{error.message} {error.fix}"
    return ""


def _read_rows(view: AdminView, wanted: DecisionFilter) -> list[dict[str, Any]]:
    read = partial(list_decisions, view.metrics, wanted, None, MOST)
    found = within(ANSWER_S, view.metrics, read)
    names = {route.name for route in view.table.routes} if view.table else set()
    return [_row_json(record, names) for record in reversed(found.records)]


def _row_json(record: DecisionRecord, names: set[str]) -> dict[str, Any]:
    return {
        "seq": record.seq,
        "at": record.as_json()["at"],
        "clock": record.as_json()["at"][11:-1],
        "status": record.status or "left",
        "tone": _tone_of(record.status),
        "duration": duration_text(record.duration_s),
        "method": record.method,
        "path": record.path,
        "route": "" if record.route == DEFAULT else record.route,
        "href": f"/routes/{quote(record.route, safe='')}" if record.route in names else None,
        "side": record.side,
        "reason": record.reason,
        "failure": record.failure or "",
        "trace": record.trace_id or "",
    }


def _tone_of(status: int) -> str:
    if status >= _ERROR:
        return "bad"
    return "warn" if status >= _CLIENT_ERROR or not status else "good"


PAGE = Page("/live", "live.html", live_data, DecisionFilter._fields)
