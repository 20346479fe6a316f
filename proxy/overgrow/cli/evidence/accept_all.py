"""`overgrow diff accept --proposals`: show all proposals, ask once, write them file by file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from overgrow.cli.context import Invocation
from overgrow.cli.evidence.proposals import NOTHING, RouteProposal, find_proposals, proposals_text
from overgrow.cli.evidence.restarting import reset_evidence
from overgrow.cli.evidence.store import current_rules
from overgrow.cli.evidence.writing import write_rules
from overgrow.cli.failures import Failed
from overgrow.cli.output import echo_safe
from overgrow.text import count_text

if TYPE_CHECKING:
    from pathlib import Path

    from overgrow.shadow.review.drafting import Terms
    from overgrow.shadow.review.rules_folder import RulesFolder
    from overgrow.shadow.rules.rules import Rule

BOTH, WRITE, NEITHER = "both", "write", "no"


class AcceptAllOptions(NamedTuple):
    """Which proposals to accept, and which questions not to ask."""

    route: str | None
    terms: Terms
    everywhere: bool
    restart: bool | None  # None: ask, or with `yes` do not
    yes: bool


class WrittenFile(NamedTuple):
    """The rules that were written into one file, and the reason for each rule that could not be added."""

    route: str
    file: str
    rules: Sequence[Rule]
    refused: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """The file as --json prints it."""
        from overgrow.shadow.review.drafting import rule_json  # noqa: PLC0415  reads YAML: not for --help

        rules = [{**rule_json(rule), "expires": rule.expires.isoformat()} for rule in self.rules]
        return {"route": self.route, "file": self.file, "rules": rules, "refused": [*self.refused]}


def accept_proposals(call: Invocation, choice: AcceptAllOptions) -> None:
    """Show all proposals and ask once.

    Then write the rules and, if the person chose that, reset the evidence of their routes.
    """
    rules = current_rules(call)
    found, notes = find_proposals(call, choice.route, rules)
    for note in notes:
        echo_safe(f"note: {note}", err=True)
    if not found:
        call.print_result({"files": [], "restarted": []}, NOTHING)
        return
    echo_safe(proposals_text(found), err=call.json)
    answer = _ask_what_to_write(choice, found, to_errors=call.json)
    if answer == NEITHER:
        raise Failed(
            "not-accepted", "Nothing was written.", "Accept single proposals by their ids."
        )
    written = list(_write_files(call, found, rules, choice))
    restarted = sorted({each.route for each in found}) if answer == BOTH else []
    if restarted:
        reset_evidence(call, restarted, choice.terms.reason)
    payload = {"files": [each.as_json() for each in written], "restarted": restarted}
    call.print_result(
        payload, "\n".join([*_file_lines(written), *_restart_lines(restarted, found)])
    )


def _ask_what_to_write(
    choice: AcceptAllOptions, found: Sequence[RouteProposal], *, to_errors: bool
) -> str:
    """Return what to do: nothing, write the rules, or write the rules and reset the evidence.

    Ask the person once; with --yes, do not ask.
    """
    if choice.yes:
        return BOTH if choice.restart else WRITE
    routes = len({each.route for each in found})
    rules = f"Write {count_text(len(found), 'rule')}"
    anew = f"reset the evidence of {count_text(routes, 'route')}"
    try:
        if choice.restart is not None:
            question = f"{rules}, and {anew}?" if choice.restart else f"{rules}?"
            agreed = click.confirm(question, err=to_errors)
            return (BOTH if choice.restart else WRITE) if agreed else NEITHER
        question = f"{rules}, and {anew}? both, write (only), or no"
        words = click.Choice([BOTH, WRITE, NEITHER])
        answer: str = click.prompt(question, type=words, err=to_errors, show_choices=False)
    except click.Abort:
        what = "There was no answer to the question whether to write them."
        raise Failed(
            "not-accepted", what, "Add --yes, and --restart to reset the evidence."
        ) from None
    return answer


def _write_files(
    call: Invocation, found: Iterable[RouteProposal], rules: RulesFolder, choice: AcceptAllOptions
) -> Iterable[WrittenFile]:
    """Write the rules file by file; if a rule cannot be added, report it and write the other rules all the same."""
    for path, own in groupby(
        sorted(found, key=lambda each: str(_path_of(each, rules, choice))),
        key=lambda each: _path_of(each, rules, choice),
    ):
        mine = list(own)
        wanted = _distinct_rules(each.proposal.to_rule(*choice.terms) for each in mine)
        route = "" if choice.everywhere else mine[0].route
        yield _write_file(call, path, route, wanted, choice.terms)


def _path_of(each: RouteProposal, rules: RulesFolder, choice: AcceptAllOptions) -> Path:
    return rules.path_everywhere if choice.everywhere else rules.path(each.route)


def _distinct_rules(rules: Iterable[Rule]) -> list[Rule]:
    """Return the rules without duplicates. Routes that share a file may have the same proposal."""
    from overgrow.shadow.rules.file import overlaps  # noqa: PLC0415  reads YAML: not for --help

    kept: list[Rule] = []
    for rule in rules:
        if not any(each.path == rule.path and overlaps(each, rule) for each in kept):
            kept.append(rule)
    return kept


def _write_file(
    call: Invocation, path: Path, route: str, wanted: Sequence[Rule], terms: Terms
) -> WrittenFile:
    from overgrow.shadow.review.rules_text import find_existing_rule  # noqa: PLC0415  reads YAML

    refused = {rule.path: there for rule in wanted if (there := find_existing_rule(path, rule))}
    fresh = [rule for rule in wanted if rule.path not in refused]
    if fresh:
        write_rules(call, path, route, fresh, terms)
    return WrittenFile(route, str(path), fresh, list(refused.values()))


def _file_lines(written: Iterable[WrittenFile]) -> Iterable[str]:
    for each in written:
        count = count_text(len(each.rules), "rule")
        until = f", valid until {each.rules[0].expires}" if each.rules else ""
        yield f"{each.file}: {count} added{until}"
        yield from (f"  {rule.path}  {rule.comparator_and_kinds}" for rule in each.rules)
        yield from (f"  not added: {why}" for why in each.refused)


def _restart_lines(restarted: Sequence[str], found: Sequence[RouteProposal]) -> list[str]:
    if restarted:
        return [f"{', '.join(restarted)}: the evidence was reset."]
    routes = sorted({each.route for each in found})
    which = routes[0] if len(routes) == 1 else "--all"
    return [f"overgrow shadow restart {which} --reason TEXT deletes what was found before."]
