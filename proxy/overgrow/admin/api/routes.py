"""The route table, and everything that is known of one route."""

from __future__ import annotations

from typing import Any

from overgrow.admin.api.endpoint import ApiCall, Endpoint, Parameter
from overgrow.admin.api.flips import FLIPS
from overgrow.admin.api.kinds import Text
from overgrow.admin.api.route_names import require_route
from overgrow.admin.api.schemas import (
    ANYTHING,
    BOOLEAN,
    INTEGER,
    NUMBER,
    SIDE,
    TEXT,
    TIME,
    list_of,
    map_of,
    nullable,
    record,
)
from overgrow.admin.api.status import SPLIT, UPSTREAM, WINDOWS
from overgrow.admin.route_detail import route_detail
from overgrow.observe.as_json import route_json

ROUTE = record(
    {
        "name": TEXT,
        "path": nullable(TEXT),
        "prefix": nullable(TEXT),
        "methods": nullable(list_of(TEXT)),
        "host": nullable(TEXT),
        "headers": map_of(ANYTHING),
        "query": map_of(ANYTHING),
        "cookies": map_of(ANYTHING),
        "priority": INTEGER,
        "target": {"type": "string", "enum": ["legacy", "migrated", "gone"]},
        "canary": NUMBER,
        "shadow": NUMBER,
        "fallback": BOOLEAN,
        "group": nullable(TEXT),
        "reversible": BOOLEAN,
        "line": INTEGER,
    }
)


def _answer_routes(call: ApiCall) -> list[dict[str, Any]]:
    return [route_json(route) for route in call.view.table.routes] if call.view.table else []


def _answer_route(call: ApiCall) -> dict[str, Any]:
    require_route(call.view, call["name"])
    return route_detail(call.view, call["name"], call.now_s)


GATE = record(
    {
        "route": TEXT,
        "to": SIDE,
        "ready": BOOLEAN,
        "reasons": list_of(TEXT),
        "arithmetic": list_of(TEXT),
        "notes": list_of(TEXT),
        "required": INTEGER,
        "compared": INTEGER,
        "mismatched": INTEGER,
        "rate_bound": NUMBER,
        "allowed_rate": NUMBER,
        "coverage": nullable(NUMBER),
        "newest": nullable(TIME),
        "missing": INTEGER,
        "not_compared": map_of(INTEGER),
        "open_groups": list_of(map_of(ANYTHING)),
    }
)
DETAIL = record(
    {
        "name": TEXT,
        "route": nullable(ROUTE),
        "split": SPLIT,
        "health": record(
            {
                "killed": BOOLEAN,
                "upstream": UPSTREAM,
                "legacy": WINDOWS,
                "migrated": WINDOWS,
            }
        ),
        "gate": nullable(GATE),
        "shadow": record({"percent": NUMBER, "compared": INTEGER, "mismatched": INTEGER}),
        "breaker": list_of(map_of(ANYTHING)),
        "differences": nullable(
            record(
                {
                    "open": INTEGER,
                    "groups": list_of(map_of(ANYTHING)),
                    "more": BOOLEAN,
                    "missing": nullable(TEXT),
                }
            )
        ),
        "flips": FLIPS,
        "last_hit": record({"legacy": nullable(TIME), "migrated": nullable(TIME)}),
    }
)
ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/routes",
        "the route table in matching order",
        _answer_routes,
        list_of(ROUTE),
    ),
    Endpoint(
        "GET",
        "/api/routes/{name}",
        "everything that is known of one route now; `default` takes what no other route takes",
        _answer_route,
        DETAIL,
        (Parameter("name", "the name of a route, or default", Text(200, 1)),),
        ("unknown-route",),
    ),
)
