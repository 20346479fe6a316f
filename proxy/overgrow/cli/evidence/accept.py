"""`overgrow diff accept`: write a rule that accepts a difference.

A person accepts a group of mismatches or a proposed rule. The rule goes into compare/NAME.yaml. The
store does not change: each command applies the current rules to the stored groups.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from overgrow.cli.completion import RouteName
from overgrow.cli.context import Invocation, non_blank_reason, shared_options
from overgrow.cli.evidence.accept_all import AcceptAllOptions, accept_proposals
from overgrow.cli.evidence.proposals import find_proposals
from overgrow.cli.evidence.restarting import reset_evidence
from overgrow.cli.evidence.store import current_rules, review_of
from overgrow.cli.evidence.writing import write_preview
from overgrow.cli.failures import Failed
from overgrow.evidence import SHORT_ID
from overgrow.table.state_dir import login_name
from overgrow.text import count_text

if TYPE_CHECKING:
    from overgrow.shadow.review.drafting import RuleWish
    from overgrow.shadow.review.preview import RulePreview
    from overgrow.shadow.review.review import DifferenceReview
    from overgrow.shadow.rules.comparators import Comparator

MAX_DAYS = 365
_PROPOSAL = re.compile(r"p[0-9a-f]{7}")


def _parse_how(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> Comparator | None:
    from overgrow.shadow.review.drafting import HOW, comparator  # noqa: PLC0415  reads YAML: not for --help

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
    callback=non_blank_reason,
    help="Why the difference is harmless; not needed with --preview.",
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
@click.option("--preview", is_flag=True, help="Show what the rule would hide; write nothing.")
@shared_options
def accept(
    call: Invocation, group: str | None, reason: str | None, days: int, **given: Any
) -> None:
    """Accept a difference: write a rule for it into compare/ROUTE.yaml beside the table.

    GROUP is the beginning of an id from overgrow diff top. PROPOSAL is an id from overgrow diff proposals. The
    rule contains your login name, the reason and the day on which it expires; review and commit it like code.
    The command lists the other stored differences that the rule hides, on all routes to which it applies. With
    --preview the command only lists these differences, and writes nothing. The rule applies at once to what is
    stored, and within a second in running workers.
    """
    from overgrow.shadow.review.drafting import RuleWish, Terms  # noqa: PLC0415  reads YAML

    _refuse_mixed_options(group, **given)
    if reason is None and not given["preview"]:
        raise click.UsageError("Missing option '--reason'.")
    expires = datetime.now(UTC).date() + timedelta(days=days)
    terms = Terms(login_name(), reason or "-", expires)
    if group is None:
        choice = AcceptAllOptions(
            given["route"], terms, given["everywhere"], given["restart"], given["yes"]
        )
        accept_proposals(call, choice)
        return
    wish = RuleWish(given["path"], given["how"], everywhere=given["everywhere"], terms=terms)
    if given["preview"]:
        preview = _preview(call, group, wish)
        call.print_result(_preview_json(preview), "\n".join(_preview_lines(preview)))
    else:
        _accept_one(call, group, wish, restart=bool(given["restart"]))


def _refuse_mixed_options(group: str | None, **given: Any) -> None:
    """If options exclude each other, exit 2."""
    if (group is None) is not given["proposed"]:
        raise click.UsageError(
            "Name a GROUP or a PROPOSAL, or write --proposals for all proposals."
        )
    alone = ("how", "path", "preview") if group is None else ("route", "yes")
    for name in alone:
        if given[name]:
            to_what = "one GROUP or PROPOSAL" if group is None else "--proposals"
            raise click.UsageError(f"--{name} is only for {to_what}.")


def _preview(call: Invocation, text: str, wish: RuleWish) -> RulePreview:
    """Return what the rules for a group or a proposal would hide."""
    review = review_of(call, current_rules(call))
    if _PROPOSAL.fullmatch(text):
        return _preview_proposal(call, text, review, wish)
    return review.preview_group(review.find(text), wish)


def _preview_proposal(
    call: Invocation, text: str, review: DifferenceReview, wish: RuleWish
) -> RulePreview:
    """Return what the proposed rule with the id `text` would hide."""
    from overgrow.shadow.review.preview import RuleTarget  # noqa: PLC0415  reads YAML

    found, _ = find_proposals(call, None, review.folder)
    chosen = next((each for each in found if each.id == text), None)
    if chosen is None:
        what = f"There is no proposal {text}."
        raise Failed("unknown-mismatch", what, "overgrow diff proposals lists them.")
    rule = chosen.proposal.to_rule(*wish.terms)
    rule = rule if wish.how is None else replace(rule, how=wish.how)
    return review.preview([rule], RuleTarget(chosen.route, None, wish.everywhere))


def _accept_one(call: Invocation, text: str, wish: RuleWish, *, restart: bool) -> None:
    preview = write_preview(call, lambda: _preview(call, text, wish), wish.terms)
    if restart:
        reset_evidence(call, [preview.target.route], wish.terms.reason)
    _print_result(call, preview, restart=restart)


def _preview_json(preview: RulePreview) -> dict[str, Any]:
    from overgrow.shadow.review.as_json import preview_json  # noqa: PLC0415  reads YAML

    return preview_json(preview)


def _preview_lines(preview: RulePreview) -> list[str]:
    """Return lines for people that say what rules would hide: the group itself, and differences of other groups."""
    from overgrow.shadow.review.hiding import hidden_lines  # noqa: PLC0415  reads YAML

    count = count_text(len(preview.rules), "rule")
    lines = [f"{preview.path}: {count} would be added; nothing was written"]
    lines += _rule_lines(preview)
    lines += [f"  {line}" for line in hidden_lines(preview.hides, 20)]
    lines += [] if preview.hides else ["hides nothing else of what is stored."]
    if preview.opens:
        lines.append(f"opens {count_text(len(preview.opens), 'group')} that other rules cover now.")
    if preview.highest_severity == "high":
        lines.append("It hides differences of high severity: they break clients.")
    return [*lines, *_bounded_note(preview)]


def _rule_lines(preview: RulePreview) -> list[str]:
    return [f"  {rule.path}  {rule.comparator_and_kinds}" for rule in preview.rules]


def _bounded_note(preview: RulePreview) -> list[str]:
    """Return a note if only a part of the stored groups was examined."""
    if not preview.is_bounded:
        return []
    return [f"Only {preview.looked_at:,} of {preview.known:,} stored groups were looked at."]


def _print_result(call: Invocation, done: RulePreview, *, restart: bool) -> None:
    """Print the written rules, what they hide, and how many of the stored groups stay open under the current rules."""
    from overgrow.shadow.review.drafting import rule_json  # noqa: PLC0415  as above
    from overgrow.shadow.review.hiding import hidden_lines  # noqa: PLC0415  as above
    from overgrow.shadow.values.difference import path_shape_of  # noqa: PLC0415  only where there is evidence

    route, key, wanted = done.target.route, done.target.key, done.rules
    left = review_of(call, current_rules(call)).listing(route).open_groups
    open_paths = {part.path for each in left for part in each.open_parts}
    own = {part.path for each in left if each.group.key == key for part in each.open_parts}
    keys = {each.group.key for each in left}
    payload = {
        "group": key,
        "route": route,
        "file": str(done.path),
        "rules": [
            {**rule_json(rule), "author": rule.author, "expires": rule.expires.isoformat()}
            for rule in wanted
        ],
        "covered": not own,
        "open_groups": len(keys),
        "hides": [each.as_json() for each in done.hides],
        "restarted": restart,
    }
    noun = "rule" if len(wanted) == 1 else "rules"
    lines = [f"{done.path}: {len(wanted)} {noun} added, valid until {wanted[0].expires}"]
    lines += _rule_lines(done)
    lines += [f"  {line}" for line in hidden_lines(done.hides)]
    lines += _bounded_note(done)
    ruled = {path for rule in wanted for path in (rule.path, path_shape_of(rule.path))}
    lines += _group_verdict(key, own, ruled) if key else []
    lines += _undecided_note(open_paths & ruled)
    count = len(keys)
    lines.append(f"{count_text(count, 'group') if count else 'No groups'} of {route} open.")
    lines += [f"{route}: the evidence was reset."] if restart else []
    call.print_result(payload, "\n".join(lines))


def _group_verdict(key: str, own: set[str], ruled: set[str]) -> list[str]:
    """Return a line that says whether rules cover a group now, or which paths keep it open.

    `own` are the open paths of the group, and `ruled` are the paths of the new rules.
    """
    if not own:
        return [f"{key[:SHORT_ID]} is accepted."]
    others = ", ".join(sorted(own - ruled))
    return [f"{key[:SHORT_ID]} is still open: no rule covers {others}."] if others else []


def _undecided_note(paths: set[str]) -> list[str]:
    """Return a note on open paths with a new rule that cannot be applied, because the store lacks the values."""
    note = (
        f"Pairs found before stay open: too little of {', '.join(sorted(paths))} is stored to apply the "
        "rule to them. It applies to new pairs; overgrow shadow restart deletes the old ones."
    )
    return [note] if paths else []
