"""The busiest paths that no route takes."""

from __future__ import annotations

from functools import partial
from typing import Any

from overgrow.admin.api.endpoint import ApiCall, Endpoint, Parameter
from overgrow.admin.api.kinds import Integer
from overgrow.admin.api.schemas import (
    BOOLEAN,
    INTEGER,
    TEXT,
    TIME,
    list_of,
    map_of,
    nullable,
    record,
)
from overgrow.admin.view import AdminView
from overgrow.files import ANSWER_S, within
from overgrow.observe.unrouted import read_unrouted
from overgrow.observe.unrouted_list import UnroutedList, list_unrouted

MOST = 1000  # templates in one answer
ROW = record(
    {
        "template": TEXT,
        "requests": INTEGER,
        "requests_at_most": INTEGER,
        "not_found": INTEGER,
        "errors": INTEGER,
        "methods": map_of(INTEGER),
        "example": TEXT,
        "first_hit": TIME,
        "last_hit": TIME,
        "only_not_found": BOOLEAN,
        "route": nullable(TEXT),
    }
)


def unrouted_of(view: AdminView, now_s: float, limit: int) -> UnroutedList:
    """Return the busiest paths that no route takes.

    Raises:
        OSError: if the state folder does not respond.

    """
    counts = within(ANSWER_S, view.metrics, partial(read_unrouted, view.metrics, now_s))
    return list_unrouted(counts, view.route_of, limit)


def _answer_unrouted(call: ApiCall) -> dict[str, Any]:
    return unrouted_of(call.view, call.now_s, call["limit"]).as_json()


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/unrouted",
        "the busiest paths that no route takes, as templates, each with the route that would take it",
        _answer_unrouted,
        record(
            {
                "since": nullable(TIME),
                "requests": INTEGER,
                "not_listed_by_path": INTEGER,
                "missing_at_most": INTEGER,
                "routed_since": INTEGER,
                "templates": list_of(ROW, MOST),
                "more": BOOLEAN,
            }
        ),
        (Parameter("limit", "at most so many templates", Integer(1, MOST), 200),),
    ),
)
