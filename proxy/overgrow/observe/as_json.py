"""Routes and their figures as JSON: one shape for the command line, the admin API and the pages.

Pure. Every key is always present; a field that routes.yaml omits has its default value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from overgrow.observe.split import RouteSplit, SideFigures
from overgrow.routing.model import Predicate, PredicateKind, Route
from overgrow.text import percent_number

NO_RATES: Mapping[Any, Any] = {}


def route_json(route: Route) -> dict[str, Any]:
    """Return one route as `overgrow routes --json` and /api/routes show it."""
    return {
        "name": route.name,
        "path": route.path,
        "prefix": route.prefix,
        "methods": None if route.methods is None else list(route.methods),
        "host": route.host,
        "headers": _conditions(route, "header"),
        "query": _conditions(route, "query"),
        "cookies": _conditions(route, "cookie"),
        "priority": route.priority,
        "target": route.target,
        "canary": percent_number(route.canary),
        "shadow": percent_number(route.shadow),
        "fallback": route.fallback,
        "group": route.group,
        "reversible": route.reversible,
        "line": route.line,
    }


def _conditions(route: Route, kind: PredicateKind) -> dict[str, Any]:
    return {each.name: _condition(each) for each in route.predicates if each.kind == kind}


def _condition(predicate: Predicate) -> str | dict[str, bool]:
    return {"present": predicate.present} if predicate.value is None else predicate.value


def split_json(
    split: RouteSplit, rates: Mapping[tuple[str, str], Mapping[str, Any]] = NO_RATES
) -> dict[str, Any]:
    """Return one route's figures as /api/status shows them. `rates` has the windows of each route and side."""
    route = split.route
    recent = {
        side: dict(rates.get((split.name, side), NO_RATES)) for side in ("legacy", "migrated")
    }
    return {
        "name": split.name,
        "target": split.target,
        "canary": percent_number(route.canary) if route else 0,
        "live_share": split.live_share,
        "share": split.share,
        "requests": split.requests,
        "errors": split.errors,
        "other": split.other,
        "legacy": {**_side_json(split.legacy), **recent["legacy"]},
        "migrated": {**_side_json(split.migrated), **recent["migrated"]},
    }


def _side_json(side: SideFigures) -> dict[str, Any]:
    return {"requests": side.requests, "errors": side.errors, "median_s": side.median_s}
