"""The history of requests over time: requests, errors, latency, and the share that migrated served."""

from __future__ import annotations

from typing import Any

from overgrow.admin.api.endpoint import ApiCall, Endpoint, Parameter
from overgrow.admin.api.errors import ApiError
from overgrow.admin.api.kinds import SpanKind, Text, Time, Word
from overgrow.admin.api.route_names import require_route
from overgrow.admin.api.schemas import INTEGER, NUMBER, TEXT, TIME, list_of, nullable, record
from overgrow.admin.request_history import LAST_S, HistoryQuestion, sides_history
from overgrow.text import rfc3339

HOUR_S, DAY_S = 3600, 86_400
MOST_POINTS = 1502  # those of the longest answer, and the ends that a step adds
SIDES = ("legacy", "migrated", "gone", "refused")
POINT = record(
    {
        "at": TIME,
        "requests": INTEGER,
        "errors": INTEGER,
        "p50": nullable(NUMBER),
        "p95": nullable(NUMBER),
        "p99": nullable(NUMBER),
        "share": nullable(NUMBER),
    }
)


def _answer_history(call: ApiCall) -> dict[str, Any]:
    until_s = _within_history(call["to"] if call["to"] is not None else call.now_s)
    since_s = _within_history(call["from"] if call["from"] is not None else until_s - HOUR_S)
    if since_s >= until_s:
        what = f"The parameter from is {rfc3339(since_s)}; it must be before {rfc3339(until_s)}."
        raise ApiError("bad-parameter", what, "Correct from, or to.", parameter="from")
    question = HistoryQuestion(call["route"], since_s, until_s, call["step"])
    found = sides_history(call.view, question, call.now_s)
    if call["route"] is not None and not found.is_known:
        require_route(call.view, call["route"])
    return {
        "route": call["route"],
        "side": call["side"],
        "since": rfc3339(found.since_s),
        "until": rfc3339(found.until_s),
        "step_s": found.step_s,
        "series": [point.as_json() for point in found.points(call["side"])],
        "problem": found.problem,
    }


def _within_history(at_s: float) -> float:
    """Return the time, moved into the range from 1970 to the last time that RFC 3339 can express."""
    return min(max(0.0, at_s), float(LAST_S))


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/history",
        "requests, errors, percentiles in seconds and the share of migrated, over time, of a route or of all together",
        _answer_history,
        record(
            {
                "route": nullable(TEXT),
                "side": nullable(TEXT),
                "since": TIME,
                "until": TIME,
                "step_s": INTEGER,
                "series": list_of(POINT, MOST_POINTS),
                "problem": nullable(TEXT),
            }
        ),
        (
            Parameter(
                "route", "a route's name, or default; all routes together without it", Text(200, 1)
            ),
            Parameter("side", "only requests that this side served", Word(SIDES)),
            Parameter("from", "the beginning; an hour before the end without it", Time()),
            Parameter("to", "the end; now without it", Time()),
            Parameter(
                "step",
                "the length of a step; longer if it is finer than what is kept, or gives too many points",
                SpanKind(366 * DAY_S),
            ),
        ),
        errors=("unknown-route",),
    ),
)
