"""Readiness, rates, load, breakers and the traffic split of every route."""

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
from overgrow.admin.health import rates_json, read_load, server_json, sides_json
from overgrow.admin.view import living_workers, open_breakers, readiness
from overgrow.files import ANSWER_S, within
from overgrow.observe.as_json import split_json
from overgrow.observe.metrics import BUCKETS_S
from overgrow.observe.recent_counts import recent_requests
from overgrow.observe.split import split_of_totals

WORKER = record(
    {"slot": INTEGER, "pid": INTEGER, "revision": nullable(TEXT), "since": nullable(TIME)}
)
UPSTREAM = record({"up": BOOLEAN, "since": nullable(TIME), "error": nullable(TEXT)})
SERVER = record(
    {"version": TEXT, "pid": INTEGER, "started_at": TIME, "uptime_s": INTEGER},
    {"addresses": record({"public": TEXT, "admin": TEXT})},
)
LOAD = {
    "connections": record({"open": INTEGER, "most": INTEGER}),
    "local_calls": record(
        {
            "running": INTEGER,
            "threads": INTEGER,
            "waiting": INTEGER,
            "most_waiting": INTEGER,
            "stuck_threads": INTEGER,
        }
    ),
}
WINDOW = record(
    {
        "window_s": INTEGER,
        "requests": INTEGER,
        "per_second": NUMBER,
        "errors": INTEGER,
        "error_percent": nullable(NUMBER),
        "p50_s": nullable(NUMBER),
        "p95_s": nullable(NUMBER),
        "p99_s": nullable(NUMBER),
    }
)
WINDOWS = record({}, {"last_minute": WINDOW, "last_five_minutes": WINDOW})
SIDES = record({"legacy": WINDOWS, "migrated": WINDOWS})
SIDE_FIGURES = record(
    {"requests": INTEGER, "errors": INTEGER, "median_s": nullable(NUMBER)},
    {"last_minute": WINDOW, "last_five_minutes": WINDOW},
)
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
    payload |= {"server": server} if (server := server_json(view.server, call.now_s)) else {}
    traffic = call.counters.read(call.now_s)
    live = within(ANSWER_S, view.metrics, partial(recent_requests, view.metrics, call.now_s))
    routes = view.table.routes if view.table else ()
    rates = rates_json(traffic, view, call.now_s)
    return {
        **payload,
        **read_load(view, living),
        "sides": sides_json(traffic, view, call.now_s),
        "routes": [
            split_json(each, rates)
            for each in split_of_totals(traffic.totals, live, BUCKETS_S, routes)
        ],
    }


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/status",
        "readiness, rates and load, the traffic split of every route, breakers that are not closed",
        _answer_status,
        record(
            {
                **READINESS,
                **LOAD,
                "breakers": list_of(map_of(ANYTHING)),
                "sides": SIDES,
                "routes": list_of(SPLIT),
            },
            {"irreversible": list_of(TEXT), "notes": list_of(TEXT), "server": SERVER},
        ),
    ),
)
