"""The history of flips, rollbacks, kills and resumes."""

from __future__ import annotations

from typing import Any

from overgrow.admin.api.endpoint import ApiCall, Endpoint, Parameter
from overgrow.admin.api.kinds import Integer, Text
from overgrow.admin.api.schemas import ANYTHING, BOOLEAN, TEXT, list_of, map_of, nullable, record
from overgrow.admin.route_detail import flips_json

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
    return flips_json(call.view, call["route"], call["last"])


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
    ),
)
