"""Adds routes for rules of the app to the text of a table, and keeps every other byte of the text. Pure.

Rule: no request changes its side. A new route has the target legacy. If a new route would take requests from an
existing route that sends clients to migrated, the new route is left out, and the reason is reported. A table
that cannot be edited safely is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from overgrow.cli.first_table import TAKEN, FoundRule, NewRoutes, SkippedRule, new_routes
from overgrow.routing.match import shape_of
from overgrow.routing.model import Route, RouteTable
from overgrow.routing.overlap import find_common_request
from overgrow.table.reading.parse import ParsedTable
from overgrow.table.reading.problems import EditRefused
from overgrow.table.reading.table_file import parse_tree
from overgrow.yaml_file.tree import Node

Read = Callable[[str], ParsedTable]  # parses a text
_LINE = re.compile(r" on line \d+")  # in messages about a text that nobody sees
_EMPTY = re.compile(r"\[\s*\]")
_CLOSING = re.compile(r"(?:[\s,]|#[^\n]*)*[]}]")


class AddedRoutes(NamedTuple):
    """The text with the new routes, their names, and the rules that were left out."""

    text: str
    names: tuple[str, ...]
    skipped: tuple[SkippedRule, ...]


def with_app(text: str, app: str, in_place_of: str) -> str:
    """Return the text with a line `app:`.

    It replaces the line `in_place_of`; if the text has no such line, it follows `version`.
    """
    placeholder = re.search(rf"(?m)^{re.escape(in_place_of)}(?=\r?$)", text)
    if placeholder is not None:
        return f"{text[: placeholder.start()]}app: {app}{text[placeholder.end() :]}"
    version = next(
        (value for key, value in parse_tree(text).children if key.text == "version"), None
    )
    at = _end_of_line(text, version.end if version is not None else 0)
    return _insert(text, at, [f"app: {app}"])


def add_routes(text: str, table: RouteTable, rules: Sequence[FoundRule], read: Read) -> AddedRoutes:
    """Return the text of the table with a new route for each rule of the app that needs one.

    A rule needs a route if no route takes its requests yet. A new route has target legacy, and the path and
    methods of its rule.

    Raises:
        EditRefused: if the routes are written in a way that cannot be edited safely.

    """
    without: dict[str, str] = {}
    while True:
        found = _routes_for(table, rules, without)
        if not found.names:
            return AddedRoutes(text, (), _skipped_rules_to_report(found))
        after = _insert_entries(text, found.lines)
        loaded = read(after)
        wrong = _find_invalid_new_routes(loaded, found) or _find_new_routes_in_the_way(
            loaded.table, table, found.names
        )
        if not wrong:
            _require_all_routes(loaded.table, table, found)
            return AddedRoutes(after, found.names, _skipped_rules_to_report(found))
        without |= wrong


def _routes_for(
    table: RouteTable, rules: Iterable[FoundRule], without: Mapping[str, str]
) -> NewRoutes:
    taken = _taken_methods(table)
    names = {route.name for route in table.routes}
    return new_routes(rules, without, taken=taken, names=names)


def _taken_methods(table: RouteTable) -> dict[Any, set[str]]:
    """Return the methods that routes of the table match, by shape and host; "*" stands for all.

    A route for one host also counts for a rule without a host, because somebody restricted the route to that host on
    purpose.
    """
    taken: dict[Any, set[str]] = {}
    for route in table.routes:
        for host in {route.host, None} if route.path is not None else ():
            methods = taken.setdefault((shape_of(route.path or ""), host), set())
            methods.update(route.methods or ("*",))
    return taken


def _skipped_rules_to_report(found: NewRoutes) -> tuple[SkippedRule, ...]:
    """Return the rules that were skipped for another reason than that the table has a route for them already."""
    return tuple(each for each in found.skipped if each.why != TAKEN)


def _find_invalid_new_routes(loaded: ParsedTable, found: NewRoutes) -> dict[str, str]:
    """Return {name: reason} for the new routes that are not valid in the table.

    Raises:
        EditRefused: if the table has a problem that is not in a new route.

    """
    wrong = {
        problem.route: _LINE.sub("", problem.message)
        for problem in loaded.problems
        if problem.route in found.names
    }
    if loaded.problems and not wrong:
        raise _edit_by_hand_refusal(found.lines)
    return {str(name): why for name, why in wrong.items()}


def _find_new_routes_in_the_way(
    after: RouteTable | None, before: RouteTable, names: Sequence[str]
) -> dict[str, str]:
    """Return {name: reason} for each new route that would take requests from a later route with clients on migrated."""
    order = {route.name: place for place, route in enumerate(after.routes if after else ())}
    moved = [route for route in before.routes if route.target != "legacy" or route.canary]
    added = [route for route in (after.routes if after else ()) if route.name in names]
    wrong: dict[str, str] = {}
    for route in added:
        later = (other for other in moved if order[route.name] < order[other.name])
        hit = next(
            ((other, example) for other in later if (example := find_common_request(route, other))),
            None,
        )
        if hit is not None:
            wrong[route.name] = _describe_conflict(*hit)
    return wrong


def _describe_conflict(other: Route, example: str) -> str:
    state = other.target if other.target != "legacy" else "in canary"
    return (
        f"route {other.name}, which is {state}, matches {example}, and a new route to legacy would "
        "match it first; write the route by hand"
    )


def _require_all_routes(after: RouteTable | None, before: RouteTable, found: NewRoutes) -> None:
    names = {route.name for route in after.routes} if after else set()
    if names != {*found.names, *(route.name for route in before.routes)}:
        raise _edit_by_hand_refusal(found.lines)


# --- the text -------------------------------------------------------------------------------------


def _insert_entries(text: str, lines: Sequence[str]) -> str:
    root = parse_tree(text)
    routes = next((value for key, value in root.children if key.text == "routes"), None)
    if root.style == "flow" or (routes is not None and routes.shared):
        raise _edit_by_hand_refusal(lines)
    if routes is None:
        ended = text if text.endswith("\n") else f"{text}\n"
        return _insert(ended, len(ended), ["", "routes:", *(f"  {line}" for line in lines)])
    if empty := _EMPTY.match(text, routes.start):
        return _replace_empty_list(text, empty, lines)
    if routes.kind != "list" or routes.style == "flow" or not routes.children:
        raise _edit_by_hand_refusal(lines)
    indent = " " * (routes.column - 1)
    at = _end_of_line(text, _end_of_content(text, routes, lines))
    return _insert(text, at, [f"{indent}{line}" for line in lines])


def _replace_empty_list(text: str, empty: re.Match[str], lines: Sequence[str]) -> str:
    """Return the text with the lines in place of an empty `routes: []`; a comment behind it stays."""
    at = _end_of_line(text, empty.end())
    rest = text[empty.end() : at]
    before = text[: empty.start()]
    head = before + rest.lstrip(" ") if rest.strip() else before.rstrip(" ") + rest
    return _insert(head + text[at:], len(head), [f"  {line}" for line in lines])


def _end_of_content(text: str, node: Node, lines: Sequence[str]) -> int:
    """Return the position after the content of a node; for a list or mapping, the position after its last item."""
    brackets = 0
    while node.kind != "scalar" and not node.shared:
        brackets += node.style == "flow"
        if not node.children:
            break
        last = node.children[-1]
        node = last[1] if node.kind == "mapping" else last
    at = node.end
    for _ in range(brackets):
        closing = _CLOSING.match(text, at)
        if closing is None:
            raise _edit_by_hand_refusal(lines)
        at = closing.end()
    if node.shared:
        raise _edit_by_hand_refusal(lines)
    return at


def _end_of_line(text: str, at: int) -> int:
    """Return the position after the end of the line in which `at` is."""
    if at and text[at - 1] == "\n":  # a block scalar ends with its line
        return at
    newline = text.find("\n", at)
    return len(text) if newline < 0 else newline + 1


def _insert(text: str, at: int, lines: Sequence[str]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    begin = "" if not at or text[at - 1] == "\n" else newline
    return f"{text[:at]}{begin}{newline.join(lines)}{newline}{text[at:]}"


def _edit_by_hand_refusal(lines: Sequence[str]) -> EditRefused:
    what = "the routes are written in a way that cannot be edited safely"
    entries = "\n".join(f"  {line}" for line in lines)
    return EditRefused(
        "shape-unknown", what, f"Nothing was changed. Add below routes:\n{entries}\n"
    )
