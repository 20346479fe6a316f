"""The health of the front door: workers, load, rates of both sides, and what is wrong."""

from __future__ import annotations

from typing import Any

from overgrow.admin.api.endpoint import ApiCall, Endpoint
from overgrow.admin.api.schemas import (
    ANYTHING,
    BOOLEAN,
    INTEGER,
    TEXT,
    TIME,
    list_of,
    map_of,
    nullable,
    record,
)
from overgrow.admin.api.status import LOAD, READINESS, SERVER, SIDES, WORKER
from overgrow.admin.health import health_json

WORKER_LOAD = record(
    {
        **WORKER["properties"],
        "leaving": BOOLEAN,
        "killed": BOOLEAN,
        "rejects_file": BOOLEAN,
        "connections": INTEGER,
        "running": INTEGER,
        "waiting": INTEGER,
        "stuck_threads": INTEGER,
    }
)
ALERT = record(
    {
        "what": TEXT,
        "since": nullable(TIME),
        "details": list_of(TEXT),
        "fix": TEXT,
        "command": TEXT,
    }
)
FAILURE = record({"code": TEXT, "party": TEXT, "times": INTEGER})


def _answer_health(call: ApiCall) -> dict[str, Any]:
    return health_json(call.view, call.counters, call.now_s)


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/health",
        "what is wrong, workers and their load, rates of both sides, failures",
        _answer_health,
        record(
            {
                **READINESS,
                **LOAD,
                "at": TIME,
                "well": BOOLEAN,
                "server": nullable(SERVER),
                "workers": list_of(WORKER_LOAD),
                "sides": SIDES,
                "breakers": list_of(map_of(ANYTHING)),
                "failures": list_of(FAILURE),
                "alerts": list_of(ALERT),
                "lagging": list_of(TEXT),
            },
            {"irreversible": list_of(TEXT), "notes": list_of(TEXT)},
        ),
    ),
)
