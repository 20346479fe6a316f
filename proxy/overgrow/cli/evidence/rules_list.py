"""`overgrow diff rules`: the rules of a team, how often each applied, and when each expires."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from overgrow.cli.columns import columns, screen_width
from overgrow.cli.completion import RouteName
from overgrow.cli.context import Invocation, drafts, require_route, shared_options
from overgrow.cli.evidence.store import NoEvidence, ago_text, current_rules, open_store, time_json
from overgrow.cli.output import echo_safe

if TYPE_CHECKING:
    from pathlib import Path

    from overgrow.evidence import RuleHits
    from overgrow.shadow.review.rules_folder import RulesFolder
    from overgrow.shadow.rules.file import RulesFile
    from overgrow.shadow.rules.rules import Rule, ShownPath

ALL_ROUTES = "(all)"  # of the rules in compare/_all.yaml
HEAD = ("PATH", "RULE", "ROUTE", "COVERED", "LAST", "AUTHOR", "UNTIL")


class ListedRule(NamedTuple):
    """One entry of a rules file, and how often it applied. An entry under `show` has `how` None."""

    route: str
    where: str
    entry: Rule | ShownPath
    how: str | None
    is_expired: bool
    hits: RuleHits | None

    def as_json(self) -> dict[str, Any]:
        """The entry as --json prints it."""
        return {
            "route": self.route,
            "where": self.where,
            "path": self.entry.path,
            "how": self.how,
            "kinds": list(getattr(self.entry, "kinds", ())),
            "show": self.how is None,
            "author": self.entry.author,
            "reason": self.entry.reason,
            "expires": self.entry.expires.isoformat(),
            "expired": self.is_expired,
            "covered": self.hits.count if self.hits else 0,
            "last": time_json(self.hits.last_at) if self.hits else None,
        }

    def cells(self) -> tuple[str, ...]:
        """The entry for people."""
        until = "expired" if self.is_expired else self.entry.expires.isoformat()
        covered = str(self.hits.count if self.hits else 0) if self.how else "-"
        last = ago_text(self.hits.last_at) if self.hits else "-"
        how = (
            self.entry.comparator_and_kinds
            if self.how and hasattr(self.entry, "comparator_and_kinds")
            else "show"
        )
        return (self.entry.path, how, self.route, covered, last, self.entry.author, until)


@click.command(short_help="List the rules, and how often each applied.")
@click.option(
    "--route", type=RouteName(), metavar="NAME", help="Of one route. [default: all routes]"
)
@shared_options
def rules(call: Invocation, route: str | None) -> None:
    """List the entries of compare/*.yaml: rules, and paths whose values are shown.

    COVERED counts comparisons of the last 30 days in which the rule covered a difference. Remove a rule
    that covers nothing any more: it could only hide the next fault.
    """
    if route is not None:
        require_route(call, route)
    names = [route] if route is not None else [each.name for each in drafts(call) if each.name]
    hits = _read_hits(call)
    today = current_rules(call)
    found = [each for name in names for each in _rules_of_route(name, today, hits)]
    found += _rules_of_all_routes(today, hits)
    text = columns(
        [HEAD, *(each.cells() for each in found)], right=frozenset({3}), width=screen_width()
    )
    nothing = "There are no rules: compare/ has none for these routes."
    call.print_result([each.as_json() for each in found], text if found else nothing)


def _read_hits(call: Invocation) -> dict[tuple[str, str], RuleHits]:
    try:
        with open_store(call) as reader:
            return {(each.route, each.rule): each for each in reader.rule_hits()}
    except NoEvidence as failure:
        echo_safe(f"note: {failure.message}", err=True)
        return {}


Hits = dict[tuple[str, str], "RuleHits"]


def _rules_of_route(route: str, today: RulesFolder, hits: Hits) -> Sequence[ListedRule]:
    """Return the entries of one route's file, in its order."""
    return _listed_rules(route, today.path(route), today.file(route), hits)


def _rules_of_all_routes(today: RulesFolder, hits: Hits) -> Sequence[ListedRule]:
    """Return the entries of the file that applies to every route. Each has the number of its uses, over all routes."""
    from overgrow.evidence import RuleHits  # noqa: PLC0415  only where there is evidence

    total: Hits = {}
    for (_, rule), each in hits.items():
        before = total.get((ALL_ROUTES, rule), RuleHits(ALL_ROUTES, rule, 0, 0.0))
        last_at = max(before.last_at, each.last_at)
        total[ALL_ROUTES, rule] = RuleHits(ALL_ROUTES, rule, before.count + each.count, last_at)
    return _listed_rules(ALL_ROUTES, today.path_everywhere, today.everywhere(), total)


def _listed_rules(route: str, path: Path, file: RulesFile, hits: Hits) -> Sequence[ListedRule]:
    from overgrow.shadow.rules.rules import Rule  # noqa: PLC0415  only where there is evidence

    entries = sorted((*file.rules.rules, *file.shown, *file.expired), key=lambda each: each.line)
    return [
        ListedRule(
            route,
            f"{path}:{each.line}",
            each,
            str(each.how) if isinstance(each, Rule) else None,
            each in file.expired,
            hits.get((route, each.name)) if isinstance(each, Rule) else None,
        )
        for each in entries
    ]
