"""The history of flips, rollbacks, kills and resumes."""

from __future__ import annotations

from typing import Any

from overgrow.admin.api.endpoint import ApiCall, Endpoint, Parameter
from overgrow.admin.api.kinds import Integer, Text
from overgrow.admin.api.route_names import require_route
from overgrow.admin.api.schemas import ANYTHING, BOOLEAN, TEXT, list_of, map_of, nullable, record
from overgrow.admin.route_detail import flips_json
from overgrow.table.editing.flip import GROUP

MOST = 500
FLIP = record(
    {
        "at": TEXT,  # a file that people may have edited
        "who": TEXT,
        "action": TEXT,
        "route": nullable(TEXT),
        "from": nullable(TEXT),
        "to": nullable(TEXT),
        "before": nullable(TEXT),
        "after": nullable(TEXT),
        "why": nullable(TEXT),
        "evidence": nullable(map_of(ANYTHING)),
        "overruled": list_of(TEXT),
        "undone": nullable(TEXT),
        "undone_by": nullable(TEXT),
        "recorded": BOOLEAN,
    }
)
FLIPS = record({"entries": list_of(FLIP, MOST), "more": BOOLEAN, "broken": list_of(TEXT)})


def _answer_flips(call: ApiCall) -> dict[str, Any]:
    name = call["route"]
    found = flips_json(call.view, name, call["last"])
    if name is not None and not found["entries"]:  # a former route may still have some
        require_route(call.view, name, former=_groups_of(call))
    return found


def _groups_of(call: ApiCall) -> set[str]:
    routes = call.view.table.routes if call.view.table else ()
    return {f"{GROUP}{each.group}" for each in routes if each.group}


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/flips",
        "who moved what, when and why, the latest first",
        _answer_flips,
        FLIPS,
        (
            Parameter("last", "how many entries", Integer(1, MOST), 20),
            Parameter("route", "only of this route, or of group:NAME", Text(200, 1)),
        ),
        ("unknown-route",),
    ),
)
