"""The route table."""

from __future__ import annotations

from typing import Any

from overgrow.admin.api.endpoint import ApiCall, Endpoint
from overgrow.admin.api.schemas import (
    ANYTHING,
    BOOLEAN,
    INTEGER,
    NUMBER,
    TEXT,
    list_of,
    map_of,
    nullable,
    record,
)
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


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/routes",
        "the route table in matching order",
        _answer_routes,
        list_of(ROUTE),
    ),
)
