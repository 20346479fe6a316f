"""Decides which routes a stage allows: migrated may serve reads from `shadow` on, and writes from `live` on. Pure.

The routes of a table are those whose migrated code uses the new table. Before a route may move, the new table
must have every row. After `complete` no route may come back, because the legacy table gets no more writes.
"""

from __future__ import annotations

from collections.abc import Iterator

from overgrow.data.declaration import DataDeclaration, TableDeclaration
from overgrow.data.stages import LAST, STAGES, stage_named
from overgrow.http import SAFE_METHODS
from overgrow.routing.model import Route, RouteTable
from overgrow.yaml_file.problem import Problem
from overgrow.yaml_file.scalars import nearest_word


def stage_problems(declaration: DataDeclaration, table: RouteTable, file: str) -> list[Problem]:
    """Return a problem for each route that its table's stage does not allow. `file` is the route table's path."""
    routes = {route.name: route for route in table.routes}
    found = []
    for move in declaration.moves:
        for name in move.routes:
            if (route := routes.get(name)) is None:
                found.append(_unknown_route(declaration, move, name, routes))
            elif why := route_refusal(move, route):
                found.append(Problem(why[0], file, route.line, 1, name, why[1], why[2]))
    return found


def route_refusal(move: TableDeclaration, route: Route) -> tuple[str, str, str] | None:
    """If a table's stage does not allow the state of a route, return (code, what, fix); else return None."""
    stage = stage_named(move.stage)
    if stage.name == LAST:
        return _late_refusal(move, route)
    if not serves_migrated(route):
        return None
    may_move = stage.reads_may_move if is_read(route) else stage.writes_may_move
    if may_move:
        return None
    kind = "reads" if is_read(route) else "writes"
    needed = next(one.name for one in STAGES if _allows(one.name, route))
    what = f"migrated serves it, and table {move.name} is at stage {stage.name}: its {kind} may move from {needed} on"
    return (
        "stage-early",
        what,
        f"overgrow data stage {move.name} {needed}, or leave the route with legacy.",
    )


def _late_refusal(move: TableDeclaration, route: Route) -> tuple[str, str, str] | None:
    if route.target in ("migrated", "gone") and not route.reversible:
        return None
    what = f"table {move.name} is at stage {LAST}, and the route can still reach legacy, whose table gets no writes"
    return "stage-late", what, "Write target: migrated and reversible: false."


def _allows(stage: str, route: Route) -> bool:
    one = stage_named(stage)
    return one.reads_may_move if is_read(route) else one.writes_may_move


def is_read(route: Route) -> bool:
    """Return whether a route takes only methods that write nothing."""
    return route.methods is not None and SAFE_METHODS.issuperset(route.methods)


def serves_migrated(route: Route) -> bool:
    """Return whether migrated serves at least some clients of a route."""
    return route.target == "migrated" or (route.target == "legacy" and route.canary > 0)


def routes_with_legacy(move: TableDeclaration, table: RouteTable) -> Iterator[Route]:
    """Yield the routes of a table's move that may still send clients to legacy."""
    for route in table.routes:
        if route.name in move.routes and route.target == "legacy":
            yield route


def _unknown_route(
    declaration: DataDeclaration, move: TableDeclaration, name: str, routes: dict[str, Route]
) -> Problem:
    near = nearest_word(name, routes)
    fix = f"Did you mean {near}?" if near else "overgrow routes lists the names."
    what = f"table {move.name} names the route {name}, which the route table does not have"
    return Problem(
        "unknown-table-route", declaration.file, *move.place_of("routes"), None, what, fix
    )
