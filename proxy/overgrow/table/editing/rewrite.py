"""Changes a route's target and canary in the text of routes.yaml, and leaves every other byte unchanged. Pure.

Comments, quotes, line ends and indentation stay. Values that cannot be edited safely are refused with their
line: values from ${}, anchors and aliases, block scalars. Every edited text is parsed again: the route must
have the wanted state, and every other route must be unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from overgrow.routing.model import FULL_CANARY, Route, RouteTable
from overgrow.table.editing.history import FieldChange
from overgrow.table.reading.parse import Draft, parse_drafts
from overgrow.table.reading.problems import EditRefused
from overgrow.table.reading.values import parse_hundredths
from overgrow.text import percent_text
from overgrow.yaml_file.scalars import FieldError, nearest_word
from overgrow.yaml_file.tree import Node, YamlSyntaxError

PLACES = ("legacy", "migrated", "gone")
_QUOTES = ("", "'", '"')
_ALIAS = re.compile(r"\*[^\s,\[\]{}]+")


class Goal(NamedTuple):
    """What a flip should write into a route: a target and, if the flip sets one, a canary."""

    target: str
    canary: int | None  # hundredths of a percent

    def __str__(self) -> str:
        return self.target if self.canary is None else percent_text(self.canary)


def parse_goal(to: str) -> Goal:
    """Return the goal of `overgrow flip ROUTE TO` for TO: legacy, migrated, gone or a percentage."""
    if to in PLACES:
        return Goal(to, None)
    try:
        return Goal("legacy", parse_hundredths(to, "the share"))
    except FieldError as bad:
        fix = "Write 100% or migrated for everybody."
        if bad.code != "percent-out-of-range":
            fix = bad.fix
        if any(char in "0123456789%" for char in to):
            raise EditRefused("bad-flip", bad.message, fix) from None
    close = nearest_word(to, PLACES)
    fix = (
        f"Did you mean {close}?"
        if close
        else "Write legacy, migrated, gone or a share such as 10%."
    )
    raise EditRefused("bad-flip", f"{to!r} is not a valid target", fix)


def state_of(draft: Draft) -> str:
    """Return the state of a route, as the command line writes it: legacy, migrated, gone or N%."""
    target = draft.fields.values.get("target", "nothing valid")
    canary = draft.fields.values.get("canary", 0)
    return percent_text(canary) if target == "legacy" and canary else str(target)


def state_of_all(drafts: Sequence[Draft]) -> str:
    """Return the state of a group's members. If they differ, which no valid table has, return "split"."""
    states = {state_of(draft) for draft in drafts}
    return states.pop() if len(states) == 1 else "split"


def share_of(state: str) -> int:
    """Return the share of clients, in hundredths of a percent, that a state sends to migrated."""
    if state.endswith("%"):
        return parse_hundredths(state, "the share")
    return FULL_CANARY if state == "migrated" else 0


def is_same_state(first: str, second: str) -> bool:
    """Return whether two states are equal. 0% and legacy are equal, because both send all clients to legacy."""
    return first == second or {first, second} == {"legacy", "0%"}


def changes_for(draft: Draft, goal: Goal) -> tuple[FieldChange, ...]:
    """Return the scalars to write so that the route gets the state of the goal; empty if it has this state already."""
    values, found = draft.fields.values, []
    if values.get("target") != goal.target:
        found.append(FieldChange("target", written_text(draft, "target"), goal.target, draft.name))
    canary = goal.canary
    if goal == Goal("legacy", None) and "canary" in draft.fields.nodes:
        canary = 0
    if canary is not None and values.get("canary") != canary:
        found.append(
            FieldChange("canary", written_text(draft, "canary"), percent_text(canary), draft.name)
        )
    return tuple(found)


def written_text(draft: Draft, field: str) -> str | None:
    """Return the scalar's text in the file, without quotes; None if the field is missing."""
    node = draft.fields.nodes.get(field)
    return node.text if node is not None else None


def apply_changes(
    text: str, draft: Draft, changes: Sequence[FieldChange], *, file: str = "routes.yaml"
) -> str:
    """Return the text with the changes to one route. The rest of the text stays unchanged."""
    for change in sorted(changes, key=lambda one: _position_of_change(draft, one), reverse=True):
        text = _apply_change(text, draft, change, file)
    return text


def _position_of_change(draft: Draft, change: FieldChange) -> int:
    """Return the offset of a change in the text.

    Changes are made from the end of the text to its beginning, so that the offsets of later changes stay valid.
    """
    node = draft.fields.nodes.get(change.field)
    return node.start if node is not None else draft.fields.nodes.get("target", draft.node).end


def _apply_change(text: str, draft: Draft, change: FieldChange, file: str) -> str:
    node = draft.fields.nodes.get(change.field)
    if node is None:
        target = draft.fields.nodes.get("target")
        if target is None:
            raise _edit_refusal(
                "shape-unknown", draft.node, "the route has no target", change, file
            )
        return _insert_field(text, draft, target, change, file)
    _require_editable(text, draft, node, change, file)
    if change.after is None:
        return _remove_field(text, draft, node)
    quote = node.style
    return f"{text[: node.start]}{quote}{change.after}{quote}{text[node.end :]}"


def _require_editable(text: str, draft: Draft, node: Node, change: FieldChange, file: str) -> None:
    """If a value shares an anchor with other places, or is not written here as a plain scalar, raise EditRefused."""
    if node.shared or draft.node.shared:
        what = f"{change.field} comes from an anchor or alias that other places share"
        raise _edit_refusal("anchored-value", node, what, change, file)
    if "${" in node.text:
        what = f"{change.field} comes from the environment ({node.text})"
        raise _edit_refusal("variable-value", node, what, change, file)
    quote = node.style
    if quote not in _QUOTES or text[node.start : node.end] != f"{quote}{node.text}{quote}":
        what = f"{change.field} is written in a way that cannot be edited safely"
        raise _edit_refusal("shape-unknown", node, what, change, file)


def _edit_refusal(code: str, node: Node, what: str, change: FieldChange, file: str) -> EditRefused:
    where = f"{file}:{node.line}:{node.column}"
    fix = f"Write {change.field}: {change.after} there by hand." if change.after else ""
    return EditRefused(code, f"{where}: {what}", fix)


def _insert_field(text: str, draft: Draft, target: Node, change: FieldChange, file: str) -> str:
    """Insert a field after `target:`, on a new line with the same indent. In `{}`, insert it after a comma."""
    if draft.node.shared:
        _require_editable(text, draft, target, change, file)
    key = next(key for key, _ in draft.node.children if key.text == "target")
    end = _end_of(text, target)
    if draft.node.style == "flow":
        quote = key.style if key.style in _QUOTES else ""
        field = f"{quote}{change.field}{quote}: {quote}{change.after}{quote}"
        return f"{text[:end]}, {field}{text[end:]}"
    newline = re.search(r"\r?\n", text[end:])
    line = " " * (key.column - 1) + f"{change.field}: {change.after}"
    if newline is None:
        return f"{text}\n{line}"
    at = end + newline.end()
    return f"{text[:at]}{line}{newline[0]}{text[at:]}"


def _end_of(text: str, node: Node) -> int:
    """Return where a value ends in the text. An alias ends with its name, as in `*name`."""
    alias = _ALIAS.match(text, int(node.place.index))
    return alias.end() if alias else node.end


def _remove_field(text: str, draft: Draft, node: Node) -> str:
    """Remove a canary that a flip inserted. If somebody has added something to its line, write 0% instead."""
    if draft.node.style == "flow":
        end = _end_of(text, draft.fields.nodes["target"])
        if re.fullmatch(r",\s*[\"']?canary[\"']?:\s*", text[end : node.start]):
            return text[:end] + text[node.end :]
    else:
        begin = text.rfind("\n", 0, node.start) + 1
        newline = text.find("\n", node.end)
        if re.fullmatch(r"\s*canary:\s*", text[begin : node.start]):
            if newline >= 0 and not text[node.end : newline].strip():
                return text[:begin] + text[newline + 1 :]
            if newline < 0 and not text[node.end :].strip():
                return text[: begin - 1]
    return f"{text[: node.start]}{node.style}0%{node.style}{text[node.end :]}"


def require_safe_edit(
    old: Sequence[Draft], after: str, moved: Collection[str], to: str, env: Mapping[str, str]
) -> str:
    """Check the edited text `after`, and return it.

    The `moved` routes must have the state `to`, and all other routes must be unchanged; else raise EditRefused.
    """
    try:
        new = parse_drafts(after, env)
    except YamlSyntaxError:
        new = []
    expected = [(draft.name, to if draft.name in moved else state_of(draft)) for draft in old]
    found = [(draft.name, state_of(draft)) for draft in new]
    agree = len(found) == len(expected) > 0 and all(
        one[0] == two[0] and is_same_state(one[1], two[1])
        for one, two in zip(found, expected, strict=True)
    )
    if not agree:
        entries = [f"{one.name} (line {one.node.line})" for one in old if one.name in moved]
        what = f"the entry of {', '.join(entries)} is written in a way that cannot be edited safely"
        raise EditRefused("shape-unknown", what, f"Change it by hand so that it says {to}.")
    return after


def has_states(table: RouteTable, old: Sequence[Draft], moved: Collection[str], to: str) -> bool:
    """Return whether the `moved` routes of a valid table have the state `to`, and the others their state in `old`.

    This is the check of `require_safe_edit` for a table that is parsed already.
    """
    found = {route.name: _state_of_route(route) for route in table.routes}
    expected = {str(one.name): to if one.name in moved else state_of(one) for one in old}
    return found.keys() == expected.keys() and all(
        is_same_state(found[name], state) for name, state in expected.items()
    )


def _state_of_route(route: Route) -> str:
    return percent_text(route.canary) if route.target == "legacy" and route.canary else route.target


def lines_to_change(before: str, after: str) -> str:
    """Describe the lines that an edit changes, for a person who has to make it by hand."""
    old, new = before.splitlines(), after.splitlines()
    shorter = min(len(old), len(new))
    top = next((n for n in range(shorter) if old[n] != new[n]), shorter)
    rest = shorter - top
    tail = next((n for n in range(rest) if old[-1 - n] != new[-1 - n]), rest)
    first, last = top + 1, len(old) - tail
    lines = ", ".join(f'"{line.strip()}"' for line in new[top : len(new) - tail])
    if not lines:
        return f"line {first} goes"
    if first > last:
        return f"after line {last} comes {lines}"
    return (
        f"line {first} becomes {lines}" if first == last else f"lines {first}-{last} become {lines}"
    )
