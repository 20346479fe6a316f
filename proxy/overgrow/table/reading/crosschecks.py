"""Checks of routes against each other: equal names, split groups, ties, and unreachable routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from overgrow.http import SAFE_METHODS
from overgrow.routing.conflicts import find_ties, find_unreachable
from overgrow.routing.model import Route
from overgrow.routing.ranking import Ranking, rank_routes
from overgrow.routing.rules import shape_of
from overgrow.routing.weakening import find_exposing_routes
from overgrow.table.reading.routes import Draft
from overgrow.text import percent_text
from overgrow.yaml_file.fields import FileReading
from overgrow.yaml_file.scalars import FieldError
from overgrow.yaml_file.tree import Node


def crosscheck(reading: FileReading, drafts: Sequence[Draft]) -> Ranking:
    """Report problems between routes, and return the valid routes in matching order."""
    _report_equal_names(reading, drafts)
    _report_split_groups(reading, drafts)
    drafted = {id(draft.route): draft for draft in drafts if draft.route}
    ranking = rank_routes([draft.route for draft in drafts if draft.route])
    for tie in find_ties(ranking):
        draft = drafted[id(tie.second)]
        what = (
            f'both this route and "{tie.first.name}" on line {tie.first.line} would take '
            f"{tie.example}, and nothing says which comes first"
        )
        fix = "Give one of them a priority, or make their predicates differ."
        _report(reading, draft, draft.node, FieldError("route-tie", what, fix))
    for hidden, by in find_unreachable(ranking):
        what = f'"{by.name}" on line {by.line} takes every request that this route could match'
        fix = "Remove one of the two, or give this one a higher priority."
        draft = drafted[id(hidden)]
        _report(reading, draft, draft.node, FieldError("route-unreachable", what, fix))
    _note_reversible_inside(reading, ranking, drafted)
    _note_lost_preflights(reading, drafted.values())
    return ranking


def _note_lost_preflights(reading: FileReading, drafts: Iterable[Draft]) -> None:
    """Add a note on each migrated route with unsafe methods whose path has no route that lists OPTIONS."""
    routes = [(draft, draft.route) for draft in drafts if draft.route]
    answered = {_place(route) for _, route in routes if "OPTIONS" in (route.methods or ())}
    for draft, route in routes:
        is_unsafe = not SAFE_METHODS.issuperset(route.methods or ())
        if route.target == "migrated" and is_unsafe and _place(route) not in answered:
            what = "OPTIONS is not listed, so preflight requests go to legacy unless another route takes them"
            fix = "Add OPTIONS if browsers of other sites use it."
            bad = FieldError("options-not-listed", what, fix)
            reading.note(draft.fields.nodes["methods"], route.name, bad)


def _place(route: Route) -> tuple[object, ...]:
    """Return a value that two routes share if their paths are the same except for the names of variables."""
    return shape_of(route.path) if route.path else None, route.prefix, route.host


def _note_reversible_inside(
    reading: FileReading, ranking: Ranking, drafted: Mapping[int, Draft]
) -> None:
    """Add a note on each reversible route before an irreversible one that may send requests of the latter to legacy."""
    for route, kept, example in find_exposing_routes(ranking.routes):
        what = (
            f'it stands before the irreversible route "{kept.name}" on line {kept.line}, so {example} '
            "can go to legacy"
        )
        fix = "Write reversible: false here too if that data has left legacy."
        reading.note(
            drafted[id(route)].node, route.name, FieldError("reversible-inside", what, fix)
        )


def _report(reading: FileReading, draft: Draft, place: Node, bad: FieldError) -> None:
    since = len(reading.problems)
    reading.report(place, bad)
    reading.name_route(since, draft.name)


def _report_equal_names(reading: FileReading, drafts: Sequence[Draft]) -> None:
    first: dict[str, Draft] = {}
    for draft in drafts:
        if draft.name is None or first.setdefault(draft.name, draft) is draft:
            continue
        derived = "" if "name" in draft.fields.values else " (derived, as no name is written)"
        what = f"the route on line {first[draft.name].node.line} has the same name{derived}"
        place = draft.fields.nodes.get("name", draft.node)
        _report(
            reading, draft, place, FieldError("duplicate-name", what, "Write another name: here.")
        )


def _report_split_groups(reading: FileReading, drafts: Sequence[Draft]) -> None:
    """Report each group whose members have different states, at the first member that differs from the first one."""
    groups: dict[str, list[Draft]] = {}
    for draft in drafts:
        if draft.group is not None and draft.route is not None:
            groups.setdefault(draft.group, []).append(draft)
    for name, members in groups.items():
        odd = next((one for one in members if _group_state(one) != _group_state(members[0])), None)
        if odd is not None:
            what = f"the members of group {name} differ: {', '.join(map(_describe_group_state, members))}"
            fix = f"Write one target and canary for all, or run overgrow flip group:{name} legacy."
            _report(reading, odd, odd.fields.nodes["group"], FieldError("group-split", what, fix))


def _group_state(draft: Draft) -> tuple[str, int]:
    """Return the value that must be equal for all members of a group."""
    values = draft.fields.values
    return values["target"], values.get("canary", 0)


def _describe_group_state(draft: Draft) -> str:
    target, canary = _group_state(draft)
    share = f" with canary {percent_text(canary)}" if canary else ""
    return f"{draft.name} (line {draft.node.line}) is {target}{share}"
