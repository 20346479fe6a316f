"""`overgrow diff accept`: write a rule that accepts a difference.

A person accepts a group of mismatches or a proposed rule. The rule goes into compare/NAME.yaml. The
store does not change: each command applies the current rules to the stored groups.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from overgrow.cli.completion import RouteName
from overgrow.cli.context import Invocation, non_blank_reason, shared_options
from overgrow.cli.evidence.accept_all import AcceptAllOptions, accept_proposals
from overgrow.cli.evidence.hiding import HiddenDifference, find_hidden, hidden_lines
from overgrow.cli.evidence.proposals import find_proposals
from overgrow.cli.evidence.restarting import reset_evidence
from overgrow.cli.evidence.store import (
    SHORT,
    CurrentRules,
    JudgedGroup,
    find_groups,
    judge_groups,
    open_store,
)
from overgrow.cli.failures import Failed
from overgrow.table.state_dir import login_name
from overgrow.text import count_text

if TYPE_CHECKING:
    from overgrow.cli.evidence.rules_text import Terms
    from overgrow.evidence import Part
    from overgrow.shadow.rules.comparators import Comparator
    from overgrow.shadow.rules.rules import Rule

MAX_DAYS = 365
_PROPOSAL = re.compile(r"p[0-9a-f]{7}")


def _parse_how(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> Comparator | None:
    from overgrow.cli.evidence.rules_text import HOW, comparator  # noqa: PLC0415  reads YAML: not for --help

    found = None if value is None else comparator(value)
    if value is not None and found is None:
        raise click.BadParameter(f"{value!r} is not a comparator. Write {HOW}.")
    return found


@click.command(short_help="Write the rule for a group, or all proposed rules.")
@click.argument("group", metavar="[GROUP|PROPOSAL]", required=False)
@click.option(
    "--proposals",
    "proposed",
    is_flag=True,
    help="Show all proposals, then ask once.",
)
@click.option(
    "--route", type=RouteName(), metavar="NAME", help="With --proposals: only of this route."
)
@click.option(
    "--reason",
    metavar="TEXT",
    required=True,
    callback=non_blank_reason,
    help="Why the difference is harmless.",
)
@click.option(
    "--how",
    metavar="HOW",
    callback=_parse_how,
    help="ignore, unordered, same_shape, 'keyed_by NAME', 'tolerance NUMBER' or 'timestamp_within 5s'. "
    "[default: the narrowest that fits]",
)
@click.option("--path", metavar="PATH", help="Only what differs there. [default: everything]")
@click.option(
    "--days",
    type=click.IntRange(1, MAX_DAYS),
    metavar="N",
    default=30,
    help="When the rule expires. [default: 30]",
)
@click.option("--everywhere", is_flag=True, help="Into compare/_all.yaml, for every route.")
@click.option(
    "--restart/--no-restart",
    default=None,
    help="Reset the evidence of its routes, or keep it; --proposals asks.",
)
@click.option("--yes", is_flag=True, help="With --proposals: do not ask.")
@shared_options
def accept(call: Invocation, group: str | None, reason: str, days: int, **given: Any) -> None:
    """Accept a difference: write a rule for it into compare/ROUTE.yaml beside the table.

    GROUP is the beginning of an id from overgrow diff top, PROPOSAL an id from overgrow diff
    proposals. The rule contains your login name, the reason and the day on which it expires; review
    and commit it like code. The command lists which other differences found so far the rule hides.
    The rule applies at once to what is stored, and within a second in running workers.
    """
    from overgrow.cli.evidence.rules_text import Terms  # noqa: PLC0415  reads YAML

    terms = Terms(login_name(), reason, datetime.now(UTC).date() + timedelta(days=days))
    _refuse_mixed_options(group, **given)
    wish = AcceptOptions(terms, given["how"], given["path"], given["everywhere"], given["restart"])
    if group is None:
        choice = AcceptAllOptions(
            given["route"], terms, given["everywhere"], given["restart"], given["yes"]
        )
        accept_proposals(call, choice)
    else:
        _accept_one(call, group, wish)


class AcceptOptions(NamedTuple):
    """The options of `overgrow diff accept` for one group or one proposal."""

    terms: Terms
    how: Comparator | None
    path: str | None
    everywhere: bool
    restart: bool | None


def _refuse_mixed_options(group: str | None, **given: Any) -> None:
    """Exit 2 if options are given that do not go together."""
    if (group is None) is not given["proposed"]:
        raise click.UsageError(
            "Name a GROUP or a PROPOSAL, or write --proposals for all proposals."
        )
    alone = ("how", "path") if group is None else ("route", "yes")
    for name in alone:
        if given[name]:
            to_what = "one GROUP or PROPOSAL" if group is None else "--proposals"
            raise click.UsageError(f"--{name} is only for {to_what}.")


def _accept_one(call: Invocation, group: str, wish: AcceptOptions) -> None:
    from overgrow.cli.evidence.rules_text import accept_rules, draft_rules  # noqa: PLC0415  reads YAML

    rules = CurrentRules(call)
    if _PROPOSAL.fullmatch(group):
        route, wanted = _rules_of_proposal(call, group, rules, wish)
        key = None
    else:
        found = find_groups(call, group, rules)
        route, key = found[0].group.route, found[0].group.key
        wanted = draft_rules(_open_parts(found, wish.path), wish.terms, wish.how, wish.path)
    if not wanted:
        what = "No rule can be written for it: part of its path is hidden or cut off."
        raise Failed("no-rule", what, "Fix the difference, or write the rule by hand.")
    with open_store(call) as reader:
        groups = reader.groups(None if wish.everywhere else route)
    today = rules.rules(route)
    hides = [each for rule in wanted for each in find_hidden(rule, groups, today)]
    path = rules.path_everywhere if wish.everywhere else rules.path(route)
    accept_rules(path, route, wanted)
    if wish.restart:
        reset_evidence(call, [route], wish.terms.reason)
    others = [each for each in hides if each.group.key != key]
    _print_result(call, AcceptResult(route, key, str(path), wanted, others, bool(wish.restart)))


def _rules_of_proposal(
    call: Invocation, text: str, rules: CurrentRules, wish: AcceptOptions
) -> tuple[str, list[Rule]]:
    """Return (route, rules) of the proposal with the id `text`; the only rule is the proposed one."""
    found, _ = find_proposals(call, None, rules)
    chosen = next((each for each in found if each.id == text), None)
    if chosen is None:
        what = f"There is no proposal {text}."
        raise Failed("unknown-mismatch", what, "overgrow diff proposals lists them.")
    rule = chosen.proposal.to_rule(*wish.terms)
    return chosen.route, [rule if wish.how is None else replace(rule, how=wish.how)]


def _open_parts(found: Sequence[JudgedGroup], path: str | None) -> list[Part]:
    parts = [part for each in found for part in each.open_parts]
    chosen = [part for part in parts if path in (None, part.path, part.place)]
    if chosen:
        return chosen
    key = found[0].group.key[:SHORT]
    if not parts:
        what = f"{key} is already accepted: rules cover all its differences."
        raise Failed("no-rule", what, "Nothing was changed.")
    paths = ", ".join(sorted({part.path for part in parts}))
    raise Failed("no-rule", f"No open difference of {key} is at {path}.", f"Open paths: {paths}.")


class AcceptResult(NamedTuple):
    """The rules that were written, and the other differences that they hide."""

    route: str
    key: str | None  # of the group; None for a proposal
    file: str
    rules: Sequence[Rule]
    hides: Sequence[HiddenDifference]
    restarted: bool


def _print_result(call: Invocation, done: AcceptResult) -> None:
    """Print the written rules, what they hide, and how many of the stored groups stay open under the current rules."""
    from overgrow.cli.evidence.rules_text import rule_json  # noqa: PLC0415  as above
    from overgrow.shadow.values.difference import path_shape_of  # noqa: PLC0415  only where there is evidence

    route, key, wanted = done.route, done.key, done.rules
    with open_store(call) as reader:
        left = [
            each for each in judge_groups(reader.groups(route), CurrentRules(call)) if each.is_open
        ]
    open_paths = {part.path for each in left for part in each.open_parts}
    own = {part.path for each in left if each.group.key == key for part in each.open_parts}
    keys = {each.group.key for each in left}
    payload = {
        "group": key,
        "route": route,
        "file": done.file,
        "rules": [
            {**rule_json(rule), "author": rule.author, "expires": rule.expires.isoformat()}
            for rule in wanted
        ],
        "covered": not own,
        "open_groups": len(keys),
        "hides": [each.as_json() for each in done.hides],
        "restarted": done.restarted,
    }
    noun = "rule" if len(wanted) == 1 else "rules"
    lines = [f"{done.file}: {len(wanted)} {noun} added, valid until {wanted[0].expires}"]
    lines += [f"  {rule.path}  {rule.comparator_and_kinds}" for rule in wanted]
    lines += [f"  {line}" for line in hidden_lines(done.hides)]
    ruled = {path for rule in wanted for path in (rule.path, path_shape_of(rule.path))}
    lines += _group_verdict(key, own, ruled) if key else []
    lines += _undecided_note(open_paths & ruled)
    count = len(keys)
    lines.append(f"{count_text(count, 'group') if count else 'No groups'} of {route} open.")
    lines += [f"{route}: the evidence was reset."] if done.restarted else []
    call.print_result(payload, "\n".join(lines))


def _group_verdict(key: str, own: set[str], ruled: set[str]) -> list[str]:
    """Return a line that says whether a group is covered now, or else which paths keep it open.

    `own` are the open paths of the group, `ruled` the paths of the new rules.
    """
    if not own:
        return [f"{key[:SHORT]} is accepted."]
    others = ", ".join(sorted(own - ruled))
    return [f"{key[:SHORT]} is still open: no rule covers {others}."] if others else []


def _undecided_note(paths: set[str]) -> list[str]:
    """Return a note on open paths that have a new rule: the rule cannot be applied to pairs whose values are not stored."""
    note = (
        f"Pairs found before stay open: too little of {', '.join(sorted(paths))} is stored to apply the "
        "rule to them. It applies to new pairs; overgrow shadow restart deletes the old ones."
    )
    return [note] if paths else []
