"""`overgrow diff proposals`: rules for noise in legacy's own responses, for a person to accept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from overgrow.cli.completion import RouteName
from overgrow.cli.context import Invocation, drafts, require_route, shared_options
from overgrow.cli.evidence.store import current_rules, open_store

if TYPE_CHECKING:
    from overgrow.shadow.findings.covered_noise import HiddenConstant
    from overgrow.shadow.findings.noise import Noise
    from overgrow.shadow.findings.proposing import (
        MigratedOnlyNoise,
        PathTooWideForRule,
        RuleProposal,
    )
    from overgrow.shadow.review.hiding import HiddenDifference
    from overgrow.shadow.review.rules_folder import RulesFolder
    from overgrow.shadow.rules.rules import Rule, Rules
    from overgrow.store.reader import Reader

SHOWN_EXAMPLES = 2
NOTHING = "No noise was found that would justify a rule."


class RouteProposal(NamedTuple):
    """A proposed rule of a route, with the id to accept it by, and the differences that the rule would hide."""

    route: str
    proposal: RuleProposal
    hides: Sequence[HiddenDifference] = ()

    @property
    def id(self) -> str:
        """`p` and seven hex digits, derived from route and path."""
        named = f"{self.route} {self.proposal.path}".encode()
        return f"p{hashlib.sha256(named).hexdigest()[:7]}"

    def as_json(self) -> dict[str, Any]:
        """The proposal as --json prints it."""
        each = self.proposal
        return {
            "proposal": self.id,
            "route": self.route,
            "path": each.path,
            "how": str(each.how),
            "kinds": list(each.kinds),
            "seen": each.seen,
            "different": each.different,
            "explained": each.explained,
            "note": each.note,
            "hides": [hidden.as_json() for hidden in self.hides],
            "examples": [example._asdict() for example in each.examples],
        }

    def lines(self) -> list[str]:
        """The proposal for people."""
        from overgrow.shadow.review.hiding import hidden_lines  # noqa: PLC0415  reads YAML: not for --help

        each = self.proposal
        kinds = f" ({', '.join(each.kinds)})" if each.kinds else ""
        examples = [
            f"      {example.control or 'absent'} -> {example.again or 'absent'}"
            for example in each.examples[:SHOWN_EXAMPLES]
        ]
        return [
            f"  {self.id}  {each.path}",
            f"      {each.how}{kinds}: differs in {each.different} of {each.seen} pairs, explains {each.explained}",
            *examples,
            *([f"      note: {each.note}"] if each.note else []),
            *(f"      {line}" for line in hidden_lines(self.hides)),
        ]


class OneSidedNote(NamedTuple):
    """A path at which responses of migrated differ from each other, while responses of legacy never do."""

    route: str
    found: MigratedOnlyNoise

    def __str__(self) -> str:
        times = f"{self.found.different} of {self.found.seen} pairs"
        return (
            f"{self.route}: {self.found.path} differs between two responses of migrated in {times}, "
            "but never between two of legacy: no rule is proposed"
        )


class TooWideNote(NamedTuple):
    """A path at which responses of legacy differ from each other, but a rule there would hide the whole response."""

    route: str
    found: PathTooWideForRule

    def __str__(self) -> str:
        times = f"{self.found.different} of {self.found.seen} pairs"
        return (
            f"{self.route}: {self.found.path} differs between two responses of legacy in {times}. No rule is proposed, "
            "because it would hide every other change of the response; make legacy's responses equal, or write the rule yourself"
        )


class ConstantNote(NamedTuple):
    """A rule for a value that changes in responses of legacy, but never in responses of migrated."""

    route: str
    found: HiddenConstant

    def __str__(self) -> str:
        return (
            f"{self.route}: at {self.found.path}, which a rule covers, two responses of legacy differed in "
            f"{self.found.different} pairs and two of migrated in none: the rule may hide a constant value"
        )


Note = OneSidedNote | TooWideNote | ConstantNote


def note_json(note: Note) -> dict[str, Any]:
    """Return a note as --json prints it: an entry without a proposed rule."""
    return {
        "proposal": None,
        "route": note.route,
        "path": note.found.path,
        "how": None,
        "kinds": [],
        "seen": getattr(note.found, "seen", note.found.different),
        "different": note.found.different,
        "explained": 0,
        "note": str(note),
        "hides": [],
        "examples": [],
    }


@click.command(short_help="List rules for noise in legacy's own responses.")
@click.option(
    "--route", type=RouteName(), metavar="NAME", help="Of one route. [default: all routes]"
)
@shared_options
def proposals(call: Invocation, route: str | None) -> None:
    """List the rules that would cover noise: differences between two responses of legacy itself.

    For a share of the copies each side is asked twice (noise: in the table, 10%). The list shows for each
    rule which kinds of differences it covers, in how many pairs the path differed, how many of these the
    rule explains, what two responses looked like (letters as x, digits as 9), and which mismatches found
    so far it would hide. Accept one with overgrow diff accept PROPOSAL --reason TEXT, all with overgrow
    diff accept --proposals --reason TEXT.
    """
    found, notes = find_proposals(call, route, current_rules(call))
    text = proposals_text(found) if found else NOTHING
    call.print_result(
        [*(each.as_json() for each in found), *map(note_json, notes)],
        "\n".join([text, *(f"note: {each}" for each in notes)]),
    )


def proposals_text(found: Iterable[RouteProposal]) -> str:
    """Return proposals as text, by route."""
    lines: list[str] = []
    for route, own in groupby(found, key=lambda each: each.route):
        lines.append(f"{route}:")
        for each in own:
            lines += each.lines()
    return "\n".join(lines)


def find_proposals(
    call: Invocation, route: str | None, rules: RulesFolder
) -> tuple[list[RouteProposal], list[Note]]:
    """Return (proposals, notes) of one route, or of all routes if `route` is None.

    A proposal that a rule covers already is left out. The notes are about noisy paths for which no rule is
    proposed.
    """
    if route is not None:
        require_route(call, route)
    names = [route] if route is not None else [each.name for each in drafts(call) if each.name]
    found: list[RouteProposal] = []
    notes: list[Note] = []
    with open_store(call) as reader:
        for name in names:
            noise = _sum_noise(reader, name)
            found += _route_proposals(reader, name, noise, rules)
            notes += [*_noise_notes(name, noise, rules), *constant_notes(reader, name, rules)]
    return found, notes


def constant_notes(reader: Reader, route: str, rules: RulesFolder) -> list[ConstantNote]:
    """Return a note for each rule of a route that may hide a fault, because only legacy's value ever changes."""
    from overgrow.shadow.findings.covered_noise import find_hidden_constants  # noqa: PLC0415  only where there is evidence

    today = rules.rules(route)
    if not today.rules:
        return []
    found = find_hidden_constants(reversed(_hourly_noise(reader, route)))
    return [ConstantNote(route, each) for each in found if today.rules_about_shape(each.path)]


def _sum_noise(reader: Reader, route: str) -> Noise:
    from overgrow.shadow.findings.noise import Noise  # noqa: PLC0415  only where there is evidence

    return sum(_hourly_noise(reader, route), Noise.none)


def _hourly_noise(reader: Reader, route: str) -> list[Noise]:
    """Return the noise of a route, one entry for each hour."""
    from overgrow.shadow.findings.noise import Noise  # noqa: PLC0415  only where there is evidence

    return [*map(Noise.from_json, reader.noise(route))]


def _route_proposals(
    reader: Reader, route: str, noise: Noise, rules: RulesFolder
) -> list[RouteProposal]:
    from overgrow.shadow.findings.proposing import propose_rules  # noqa: PLC0415  only where there is evidence
    from overgrow.shadow.review.hiding import find_hidden  # noqa: PLC0415  as above
    from overgrow.shadow.review.review import MAX_GROUPS  # noqa: PLC0415  as above

    today = rules.rules(route)
    left = [
        each
        for proposal in propose_rules(noise)
        if (each := _without_covered_kinds(proposal, today))
    ]
    reached = rules.routes_sharing_file(route)
    groups = reader.stored_groups(reached, MAX_GROUPS).groups if left else ()
    return [
        RouteProposal(route, each, find_hidden(_as_rule(each), groups, rules.rules))
        for each in left
    ]


def _as_rule(proposal: RuleProposal) -> Rule:
    from overgrow.shadow.review.drafting import Terms  # noqa: PLC0415  reads YAML: not for --help

    return proposal.to_rule(*Terms.nobody())


def _without_covered_kinds(proposal: RuleProposal, today: Rules) -> RuleProposal | None:
    """Return the proposal without the kinds of difference that a rule covers already; None if no kind is left."""
    from overgrow.shadow.findings.proposing import default_rule_kind  # noqa: PLC0415  only where there is evidence

    there = today.rules_at(proposal.path)
    if not there:
        return proposal
    if any(not rule.kinds for rule in there):
        return None
    # If a rule at this path names kinds, another rule has to name its kinds too.
    kinds = proposal.kinds or (default_rule_kind(proposal.path, proposal.how),)
    left = tuple(kind for kind in kinds if not any(rule.is_about_kind(kind) for rule in there))
    return replace(proposal, kinds=left) if left else None


def _noise_notes(route: str, noise: Noise, rules: RulesFolder) -> list[Note]:
    from overgrow.shadow.findings.proposing import (  # noqa: PLC0415  only where there is evidence
        find_migrated_only_noise,
        find_paths_too_wide_for_rule,
    )

    today = rules.rules(route)
    found: list[OneSidedNote | TooWideNote] = [
        *(TooWideNote(route, each) for each in find_paths_too_wide_for_rule(noise)),
        *(OneSidedNote(route, each) for each in find_migrated_only_noise(noise)),
    ]
    return [each for each in found if not today.rules_about_shape(each.found.path)]
