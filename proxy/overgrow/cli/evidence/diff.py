"""`overgrow diff`: the groups of mismatches, and the rules that accept them.

A group holds all pairs of responses that differ in the same way. A group is open while no current rule covers
its differences. Accepting a group writes such a rule, and every command then applies it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from overgrow.cli.columns import columns, screen_width
from overgrow.cli.completion import RouteName
from overgrow.cli.context import Invocation, OrderedGroup, require_route, shared_options
from overgrow.cli.evidence.accept import accept
from overgrow.cli.evidence.proposals import proposals
from overgrow.cli.evidence.rules_list import rules
from overgrow.cli.evidence.store import (
    ago_text,
    current_rules,
    review_of,
    time_json,
)
from overgrow.evidence import SHORT_ID
from overgrow.text import count_text

if TYPE_CHECKING:
    from overgrow.evidence import Example, Group, Part
    from overgrow.shadow.review.judged_groups import JudgedGroup
    from overgrow.shadow.review.rules_folder import RulesFolder

SHOWN_PAIRS = 2
SHOWN_DIFFERENCES = 8
SHOWN_CHARS = 300  # of a body
HEAD = ("DIFFERENCE", "ROUTE", "GROUP", "SEVERITY", "COUNT", "FIRST", "LAST")


@click.group(
    cls=OrderedGroup, short_help="Show how the two sides differ; accept harmless differences."
)
def diff() -> None:
    """Show how the responses of the two sides differ, and accept harmless differences."""


# --- top ------------------------------------------------------------------------------------------


@diff.command(short_help="List differences, the most severe and frequent first.")
@click.option(
    "--route", type=RouteName(), metavar="NAME", help="Only this route. [default: all routes]"
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    default=20,
    help="The maximum number of groups. [default: 20]",
)
@click.option("--all", "everything", is_flag=True, help="Include groups that a rule covers.")
@shared_options
def top(call: Invocation, route: str | None, limit: int, everything: bool) -> None:  # noqa: FBT001  click's
    """List the groups of mismatches that no current rule covers, by severity, then by count.

    A group holds all pairs of responses that differ in the same way.
    """
    if route is not None:
        require_route(call, route)
    from overgrow.shadow.review.as_json import group_json  # noqa: PLC0415  reads YAML: not for --help

    found = review_of(call, current_rules(call)).listing(route).groups
    listed = [each for each in found if everything or each.is_open]
    call.print_result(
        [group_json(each) for each in listed[:limit]], _listing(listed, limit, len(found))
    )


def _listing(listed: Sequence[JudgedGroup], limit: int, known: int) -> str:
    if not listed:
        covered = f"; rules cover {count_text(known, 'group')}" if known else ""
        return f"No differences{covered}."
    rows = [HEAD, *map(_row, listed[:limit])]
    text = columns(rows, right=frozenset({4}), width=screen_width())
    rest = len(listed) - limit
    return f"{text}\nand {rest} more: --limit {len(listed)}" if rest > 0 else text


def _row(each: JudgedGroup) -> tuple[str, ...]:
    from overgrow.shadow.review.judged_groups import title_of_judged  # noqa: PLC0415  reads YAML: not for --help

    group = each.group
    return (
        title_of_judged(each),
        group.route,
        group.key[:SHORT_ID],
        group.severity if each.is_open else "accepted",
        str(group.count),
        ago_text(group.first_seen_at),
        ago_text(group.last_seen_at),
    )


# --- show -----------------------------------------------------------------------------------------


@diff.command(short_help="Show one group: paths, examples, and a rule for it.")
@click.argument("group")
@shared_options
def show(call: Invocation, group: str) -> None:
    """Show one group of mismatches: the exact paths, some pairs, and the rule that would cover it.

    GROUP is the beginning of its id. Pairs are redacted: only the type and the length of most
    values are stored.
    """
    today = current_rules(call)
    found = review_of(call, today).find(group)
    payload = [_details_json(each) for each in found]
    call.print_result(payload[0], "\n\n".join(_group_text(each, today) for each in found))


def _details_json(each: JudgedGroup) -> dict[str, Any]:
    from overgrow.shadow.review.as_json import group_json  # noqa: PLC0415  reads YAML: not for --help
    from overgrow.shadow.review.drafting import draft_rules, rule_json  # noqa: PLC0415  as above

    return {
        **group_json(each),
        "rules": [rule_json(rule) for rule in draft_rules(each.open_parts)],
        "examples": [
            {"at": time_json(example.at), **example.pair} for example in each.group.examples
        ],
    }


def _group_text(each: JudgedGroup, today: RulesFolder) -> str:
    parts = [_group_head(each), *map(_example, _latest_examples(each.group))]
    parts.append(_advice(each, today))
    return "\n\n".join(parts)


def _group_head(each: JudgedGroup) -> str:
    group = each.group
    times = count_text(group.count, "time")
    lines = [
        f"{group.key}: {group.route}, {group.severity}, {times}",
        f"  first     {time_json(group.first_seen_at)}",
        f"  last      {time_json(group.last_seen_at)}, {ago_text(group.last_seen_at)}",
        f"  users     were served by {group.control}",
        "what differs, legacy -> migrated:",
    ]
    open_rows = [(*_part_cells(part), "") for part in each.open_parts]
    covered = [
        (*_part_cells(part), "(a rule covers it)")
        for part in group.parts
        if part not in each.open_parts
    ]
    return "\n".join([*lines, columns([*open_rows, *covered])])


def _part_cells(part: Part) -> tuple[str, str, str]:
    values = f"{part.control or 'absent'} -> {part.candidate or 'absent'}"
    from overgrow.shadow.rules.comparators import has_comparable_types  # noqa: PLC0415  only where there is evidence

    if not has_comparable_types(part):
        return f"  {part.kind}", part.path, values
    if part.gap_s is not None:
        values += f", at most {part.gap_s:g} s apart"
    elif part.gap is not None:
        values += f", at most {part.gap:g} apart"
    return f"  {part.kind}", part.path, values


def _latest_examples(group: Group) -> Sequence[Example]:
    """Return the latest examples of a group, except pairs that were too large to store."""
    whole = (each for each in group.examples if each.pair)
    return sorted(whole, key=lambda each: -each.at)[:SHOWN_PAIRS]


def _example(example: Example) -> str:
    pair = example.pair
    lines = [f"example: {_request_line(pair['asked'])}, {ago_text(example.at)}"]
    differences = pair["differences"]
    lines += [
        f"  {one['path']}: {one['control'] or 'absent'} -> {one['candidate'] or 'absent'}"
        for one in differences[:SHOWN_DIFFERENCES]
    ]
    if len(differences) > SHOWN_DIFFERENCES:
        lines.append(f"  and {len(differences) - SHOWN_DIFFERENCES} more (--json)")
    lines += [
        f"  legacy    {_response_line(pair['control'])}",
        f"  migrated  {_response_line(pair['candidate'])}",
    ]
    return "\n".join(lines)


def _request_line(asked: Mapping[str, Any]) -> str:
    query = f"?{'&'.join(asked['query_keys'])}" if asked["query_keys"] else ""
    who = ", signed in" if asked["signed_in"] else ""
    return f"{asked['method']} {asked['template']}{query}{who}"


def _response_line(answer: Mapping[str, Any]) -> str:
    body = answer["body"]
    shown = body if len(body) <= SHOWN_CHARS else f"{body[:SHOWN_CHARS]}..."
    return f"{answer['status']} {shown}".rstrip()


def _advice(each: JudgedGroup, today: RulesFolder) -> str:
    from overgrow.shadow.review.drafting import draft_rules  # noqa: PLC0415  as above

    if not each.is_open:
        return f"It is accepted: rules in {today.path(each.group.route)} cover it."
    doubted = {rule.path for rule in each.undecided}
    rules_for_it = draft_rules([part for part in each.open_parts if part.path not in doubted])
    if doubted and not rules_for_it:
        return _undecided_note(each, today)
    if not rules_for_it:
        return "No rule can be written for it here: part of its path is hidden or cut off."
    lines = [f"a rule that would cover it, in {today.path(each.group.route)}:"]
    lines += [f"  {rule.path}  {rule.comparator_and_kinds}" for rule in rules_for_it]
    lines.append(f"overgrow diff accept {each.group.key[:SHORT_ID]} --reason TEXT")
    if each.group.severity == "high":
        lines.append(
            "But differences of high severity break clients: fix them rather than accept them."
        )
    return "\n".join([*lines, *([_undecided_note(each, today)] if doubted else [])])


def _undecided_note(each: JudgedGroup, today: RulesFolder) -> str:
    """Return a note on rules that cannot be applied to the stored pairs of a group, because too little of them is stored."""
    route = each.group.route
    rules = [f"{today.location(route, rule)} has {rule.name}" for rule in each.undecided]
    return (
        f"{', '.join(rules)}: too little of these pairs is stored to apply it.\n"
        f"It applies to new pairs. overgrow shadow restart {route} --reason TEXT deletes the old ones."
    )


diff.add_command(accept)
diff.add_command(proposals)
diff.add_command(rules)
