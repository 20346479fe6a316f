"""Readiness, breakers and the traffic split of every route."""

from __future__ import annotations

from functools import partial
from typing import Any

from overgrow.admin.api.endpoint import ApiCall, Endpoint
from overgrow.admin.api.schemas import (
    ANYTHING,
    BOOLEAN,
    INTEGER,
    NUMBER,
    TEXT,
    TIME,
    list_of,
    map_of,
    nullable,
    record,
)
from overgrow.admin.overview import read_samples
from overgrow.admin.view import living_workers, open_breakers, readiness
from overgrow.files import ANSWER_S, within
from overgrow.observe.as_json import split_json
from overgrow.observe.metrics import BUCKETS_S
from overgrow.observe.recent_rates import read_rates
from overgrow.observe.split import split_by_route

WORKER = record(
    {"slot": INTEGER, "pid": INTEGER, "revision": nullable(TEXT), "since": nullable(TIME)}
)
UPSTREAM = record({"up": BOOLEAN, "since": nullable(TIME), "error": nullable(TEXT)})
SIDE_FIGURES = record({"requests": INTEGER, "errors": INTEGER, "median_s": nullable(NUMBER)})
SPLIT = record(
    {
        "name": TEXT,
        "target": nullable(TEXT),
        "canary": NUMBER,
        "live_share": nullable(NUMBER),
        "share": nullable(NUMBER),
        "requests": INTEGER,
        "errors": INTEGER,
        "other": INTEGER,
        "legacy": SIDE_FIGURES,
        "migrated": SIDE_FIGURES,
    }
)
READINESS = {
    "status": {"type": "string", "enum": ["ready", "starting", "draining"]},
    "revision": nullable(TEXT),
    "agreed": BOOLEAN,
    "killed": BOOLEAN,
    "workers": list_of(WORKER),
    "reload_error": nullable(map_of(ANYTHING)),
    "boot_error": nullable(map_of(ANYTHING)),
    "upstream": UPSTREAM,
}


def _answer_status(call: ApiCall) -> dict[str, Any]:
    view = call.view
    living = living_workers(view)
    payload = {**readiness(view, living), "breakers": open_breakers(living)}
    payload |= {"server": view.server} if view.server else {}
    counted = within(ANSWER_S, view.metrics, partial(read_samples, view, call.now_s))
    figures = split_by_route(counted, view.table.routes if view.table else ())
    recent = partial(read_rates, view.metrics, BUCKETS_S, call.now_s)
    rates = within(ANSWER_S, view.metrics, recent)
    return {**payload, "routes": [split_json(each, rates) for each in figures]}


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/status",
        "readiness, the traffic split of every route, breakers that are not closed",
        _answer_status,
        record(
            {**READINESS, "breakers": list_of(map_of(ANYTHING)), "routes": list_of(SPLIT)},
            {
                "irreversible": list_of(TEXT),
                "notes": list_of(TEXT),
                "server": record({"version": TEXT, "pid": INTEGER, "started_at": TIME}),
            },
        ),
    ),
)
