"""The last decisions of all workers: who answered which request, why, and how long it took."""

from __future__ import annotations

from functools import partial
from typing import Any, get_args

from overgrow.admin.api.endpoint import ApiCall, Endpoint, Parameter
from overgrow.admin.api.kinds import Integer, Pattern, Text, Word
from overgrow.admin.api.route_names import require_route
from overgrow.admin.api.schemas import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    TEXT,
    TIME,
    list_of,
    nullable,
    record,
)
from overgrow.files import ANSWER_S, within
from overgrow.observe.decision_list import (
    STATUS_PATTERN,
    STATUS_WORDS,
    DecisionFilter,
    list_decisions,
)
from overgrow.routing.model import Reason, Verdict

MOST = 1000  # decisions in one answer
REASONS, SIDES = get_args(Reason), get_args(Verdict)
DECISION = record(
    {
        "seq": INTEGER,
        "at": TIME,
        "slot": INTEGER,
        "method": TEXT,
        "path": TEXT,
        "route": TEXT,
        "side": TEXT,
        "reason": TEXT,
        "status": INTEGER,
        "duration_s": NUMBER,
        "failure": nullable(TEXT),
        "trace_id": nullable(TEXT),
    }
)
FILTERS = (
    Parameter(
        "route", "only decisions of this route; default: those that no route took", Text(200, 1)
    ),
    Parameter("side", "only decisions for this side", Word(SIDES)),
    Parameter("status", f"only {STATUS_WORDS}", Pattern(STATUS_PATTERN, STATUS_WORDS)),
    Parameter("reason", "only decisions with this reason", Word(REASONS)),
)


def _answer_decisions(call: ApiCall) -> dict[str, Any]:
    folder = call.view.metrics
    wanted = DecisionFilter(*(call[each.name] for each in FILTERS))
    read = partial(list_decisions, folder, wanted, call["after"], call["limit"])
    found = within(ANSWER_S, folder, read)
    if wanted.route is not None and not found.records:  # a former route may still have some
        require_route(call.view, wanted.route)
    return found.as_json()


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/decisions",
        "the last decisions of all workers, the oldest first; poll with the `next_after` of the answer before",
        _answer_decisions,
        record(
            {
                "decisions": list_of(DECISION, MOST),
                "next_after": INTEGER,
                "missed": INTEGER,
                "restarted": BOOLEAN,
                "more": BOOLEAN,
            }
        ),
        (
            Parameter("after", "only decisions after this number (`seq`)", Integer(0, 2**53)),
            *FILTERS,
            Parameter("limit", "at most so many", Integer(1, MOST), 200),
        ),
        ("unknown-route",),
    ),
)
