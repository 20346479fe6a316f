"""`overgrow diff accept` and `proposals`: rules that a person answers for.

What is accepted is a group of mismatches, or a rule that learned noise justifies. The rule is written
into compare/NAME.yaml; nothing stored is changed, since it is judged anew each time it is asked for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from proxy.cli.context import Call, drafts, known_route, said, shared_options
from proxy.cli.evidence import SHORT, Judged, RulesOf, judged, named, store
from proxy.cli.failures import Failed
from proxy.cli.layout import columns, screen_width
from proxy.loading.state import login_name

if TYPE_CHECKING:
    from proxy.cli.rules_text import Terms
    from proxy.shadow.comparators import Comparator
    from proxy.shadow.noise import Proposal
    from proxy.shadow.rejudge import Found
    from proxy.shadow.rules import Rule
    from proxy.store.reader import Reader

MAX_DAYS = 365
HEAD = ("DIFFERENCE", "ROUTE", "PROPOSAL", "RULE", "DIFFERS", "EXPLAINED")
_PROPOSAL = re.compile(r"p[0-9a-f]{7}")


def _how(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Comparator | None:
    from proxy.cli.rules_text import HOW, comparator  # noqa: PLC0415  reads YAML: not for --help

    found = None if value is None else comparator(value)
    if value is not None and found is None:
        raise click.BadParameter(f"{value!r} is no way to compare. Write {HOW}.")
    return found


@click.command(short_help="Write the rule that covers a group.")
@click.argument("group", metavar="GROUP|PROPOSAL")
@click.option("--reason", metavar="TEXT", required=True, callback=said, help="Why it does no harm.")
@click.option(
    "--how",
    metavar="HOW",
    callback=_how,
    help="ignore, unordered, same_shape, 'keyed_by NAME', 'tolerance N' or 'timestamp_within 5s'. "
    "[default: the narrowest that fits]",
)
@click.option("--path", metavar="PATH", help="Only what differs there. [default: all of it]")
@click.option(
    "--days",
    type=click.IntRange(1, MAX_DAYS),
    metavar="N",
    default=30,
    help="When the rule expires. [default: 30]",
)
@shared_options
def accept(  # noqa: PLR0913  click's
    call: Call, group: str, *, reason: str, how: Comparator | None, path: str | None, days: int
) -> None:
    """Accept what differs: write a rule for it into compare/ROUTE.yaml beside the table.

    GROUP is the beginning of an id of overgrow diff top, PROPOSAL an id of overgrow diff proposals.
    The rule carries your login name, the reason and a day on which it expires; review and commit it
    like code. What is stored is judged anew at once, and running workers follow within a second.
    """
    from proxy.cli.rules_text import Terms, accept_rules, drafted  # noqa: PLC0415  reads YAML

    terms = Terms(login_name(), reason, datetime.now(UTC).date() + timedelta(days=days))
    rules = RulesOf(call)
    if _PROPOSAL.fullmatch(group):
        route, wanted = _proposed(call, group, rules, terms, how)
        key = None
    else:
        found = named(call, group, rules)
        route, key = found[0].group.route, found[0].group.key
        wanted = drafted(_open_parts(found, path), terms, how)
    if not wanted:
        what = "No rule can be written for it: a step of its path was hidden, or it was cut."
        raise Failed("no-rule", what, "Mend what differs, or write the rule by hand.")
    accept_rules(rules.path(route), route, wanted)
    _tell(call, route, key, wanted)


def _open_parts(found: Sequence[Judged], path: str | None) -> list[Found]:
    parts = [part for each in found for part in each.open_parts]
    chosen = [part for part in parts if path in (None, part.path)]
    if chosen:
        return chosen
    key = found[0].group.key[:SHORT]
    if not parts:
        what = f"{key} is accepted already: rules cover all that differs in it."
        raise Failed("no-rule", what, "Nothing was changed.")
    paths = ", ".join(sorted({part.path for part in parts}))
    raise Failed("no-rule", f"Nothing that is open in {key} is at {path}.", f"Open is {paths}.")


def _tell(call: Call, route: str, key: str | None, wanted: Sequence[Rule]) -> None:
    """Judge what is stored anew, by the rules as they are now, and say what is left."""
    from proxy.cli.rules_text import rule_json  # noqa: PLC0415  as above

    rules = RulesOf(call)
    with store(call) as reader:
        left = [each for each in judged(reader.groups(route), rules) if each.is_open]
    open_paths = {part.path for each in left for part in each.open_parts}
    own = {part.path for each in left if each.group.key == key for part in each.open_parts}
    keys = {each.group.key for each in left}
    file = str(rules.path(route))
    told = {
        "group": key,
        "route": route,
        "file": file,
        "rules": [
            {**rule_json(rule), "author": rule.author, "expires": rule.expires.isoformat()}
            for rule in wanted
        ],
        "covered": not own,
        "open_groups": len(keys),
    }
    noun = "rule" if len(wanted) == 1 else "rules"
    lines = [f"{file}: {len(wanted)} {noun} added, until {wanted[0].expires}"]
    lines += [f"  {rule.path}  {rule.words}" for rule in wanted]
    ruled = {rule.path for rule in wanted}
    lines += _verdict(key, own, ruled) if key else []
    lines += _doubt(open_paths & ruled)
    count = len(keys)
    lines.append(f"{count or 'No'} group{'' if count == 1 else 's'} of {route} open.")
    call.answer(told, "\n".join(lines))


def _verdict(key: str, own: set[str], ruled: set[str]) -> list[str]:
    """Whether a group is covered now; if not, by what else it is held open."""
    if not own:
        return [f"{key[:SHORT]} is accepted."]
    others = ", ".join(sorted(own - ruled))
    return [f"{key[:SHORT]} stays open: no rule covers {others}."] if others else []


def _doubt(paths: set[str]) -> list[str]:
    """What a person should know of pairs that cannot be judged anew, since values are not kept."""
    told = (
        f"Pairs found before stay open: of {', '.join(sorted(paths))} too little is kept to know that "
        "the rule covers them. New pairs are judged by it; overgrow shadow restart forgets the old."
    )
    return [told] if paths else []


# --- what was learned -----------------------------------------------------------------------------


class Learned(NamedTuple):
    """A proposal, of a route, with the id by which a person accepts it."""

    route: str
    proposal: Proposal

    @property
    def id(self) -> str:
        """`p` and seven hex digits, the same as long as route and path are."""
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
            "seen": each.seen,
            "different": each.different,
            "explained": each.explained,
            "examples": [example._asdict() for example in each.examples],
        }


@click.command(short_help="List rules that learned noise justifies.")
@click.option("--route", metavar="NAME", help="Of one route. [default: all routes]")
@shared_options
def proposals(call: Call, route: str | None) -> None:
    """List the rules that would cover noise: what differs between two answers of legacy alone.

    For a share of the copies legacy is asked twice (noise: of the table, 10%). DIFFERS says in how
    many of those pairs the path differed, EXPLAINED in how many of these the rule allows it. Accept
    one with overgrow diff accept PROPOSAL --reason TEXT.
    """
    if route is not None:
        known_route(call, route)
    found = _learned(call, route, RulesOf(call))
    rows = [HEAD, *map(_row, found)]
    nothing = "Nothing was learned that would justify a rule."
    text = columns(rows, width=screen_width()) if found else nothing
    call.answer([each.as_json() for each in found], text)


def _row(each: Learned) -> tuple[str, ...]:
    told = each.proposal
    differs = f"{told.different} of {told.seen}"
    return (told.path, each.route, each.id, str(told.how), differs, str(told.explained))


def _learned(call: Call, route: str | None, rules: RulesOf) -> list[Learned]:
    """The proposals of one route or all, without those whose path has a rule by now."""
    names = [route] if route is not None else [each.name for each in drafts(call) if each.name]
    with store(call) as reader:
        return [each for name in names for each in _of_route(reader, name, rules)]


def _of_route(reader: Reader, route: str, rules: RulesOf) -> list[Learned]:
    from proxy.shadow.noise import Noise, proposals  # noqa: PLC0415  only where there is evidence

    noise = sum(map(Noise.from_json, reader.noise(route)), Noise.none)
    if not noise.pairs:
        return []
    ruled = rules.rules(route)
    return [Learned(route, each) for each in proposals(noise) if not list(ruled.at(each.path))]


def _proposed(
    call: Call, text: str, rules: RulesOf, terms: Terms, how: Comparator | None
) -> tuple[str, list[Rule]]:
    """The route of a proposal, and its rule."""
    found = _learned(call, None, rules)
    chosen = next((each for each in found if each.id == text), None)
    if chosen is None:
        raise Failed(
            "unknown-mismatch",
            f"There is no proposal {text}.",
            "overgrow diff proposals lists them.",
        )
    rule = chosen.proposal.rule(*terms)
    return chosen.route, [rule if how is None else replace(rule, how=how)]
