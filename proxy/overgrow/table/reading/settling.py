"""Decides whether a file that was written in place may be only half of a table.

A rename replaces a file as a whole. Writing in place (an editor without a rename, `cat >`, a copy) shows every
state in between. A file that is cut at the end of a line can be a valid table. Rule: if a table lacks the end
of the running table, it waits until nobody has written to the file for STANDS_S. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from overgrow.routing.model import Extent, Route, RouteTable
from overgrow.text import count_text
from overgrow.yaml_file.problem import Problem
from overgrow.yaml_file.tree import Node

STANDS_S = 3.0


def half_written_note(file: str, why: str) -> Problem:
    """Return the note on a table that may be half-written. `why` is the result of `lost_end`."""
    what = f"it was written in place and {why}, so somebody may still be writing it"
    fix = f"It takes effect once nobody has written to it for {STANDS_S:g} s; a rename takes effect at once."
    return Problem("half-written", file, 1, 1, None, what, fix)


def extent_of(root: Node, text: str) -> Extent:
    """Return how many sections a file has, how many fields are in each, and whether the file ends with a line end."""
    pairs = root.children if root.kind == "mapping" else []
    sections = tuple((key.text, len(value.children)) for key, value in pairs)
    routes = next((value for key, value in pairs if key.text == "routes"), None)
    entries: Sequence[Node] = routes.children if routes and routes.kind == "list" else ()
    return Extent(sections, len(entries[-1].children) if entries else 0, text.endswith("\n"))


def lost_end(table: RouteTable, running: RouteTable) -> str | None:
    """Return which part of the running table's end a new table lacks; None if the end is complete.

    Only the end is checked, because a file that is still being written is complete up to its present end.
    """
    if len(table.routes) < len(running.routes):
        return f"has {_routes_text(table)}, and the running table has {_routes_text(running)}"
    ours, theirs = table.extent, running.extent
    absent = [name for name, _ in theirs.sections if name not in dict(ours.sections)]
    if absent:
        return f"has no {absent[0]}, which the running table has"
    if theirs.ends_line and not ours.ends_line:
        return "ends within a line"
    return _lost_route(table, running) or _lost_fields(table, running)


def _routes_text(table: RouteTable) -> str:
    return count_text(len(table.routes), "route")


def _lost_route(table: RouteTable, running: RouteTable) -> str | None:
    """Return a text if the new table ends with an earlier route of the running table and lacks its last route."""
    ours, theirs = _last_route(table), _last_route(running)
    if ours is None or theirs is None or ours.name == theirs.name:
        return None
    is_cut = all(route.name != theirs.name for route in table.routes) and any(
        route.name == ours.name for route in running.routes
    )
    return f"has no route {theirs.name}, which is the running table's last" if is_cut else None


def _lost_fields(table: RouteTable, running: RouteTable) -> str | None:
    """Return a text if both tables end with the same section or route, and the new one has fewer fields there."""
    ours, theirs = table.extent, running.extent
    if not ours.sections or not theirs.sections or ours.sections[-1][0] != theirs.sections[-1][0]:
        return None
    name, count = ours.sections[-1]
    if name != "routes":
        return f"has fewer fields in {name}" if count < theirs.sections[-1][1] else None
    last, before = _last_route(table), _last_route(running)
    if last is None or before is None or last.name != before.name:
        return None
    return f"has fewer fields in route {last.name}" if ours.fields < theirs.fields else None


def _last_route(table: RouteTable) -> Route | None:
    """Return the route that comes last in the file of a table."""
    return max(table.routes, key=lambda route: route.line, default=None)
