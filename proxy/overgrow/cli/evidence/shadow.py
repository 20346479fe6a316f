"""`overgrow shadow`: shows what is compared, and resets the evidence of a route whose code has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from overgrow.cli.columns import columns, screen_width
from overgrow.cli.completion import RouteName
from overgrow.cli.context import (
    Invocation,
    OrderedGroup,
    drafts,
    load_valid_table,
    non_blank_reason,
    require_route,
    shared_options,
)
from overgrow.cli.evidence.fallbacks import RouteFallbacks, sum_fallbacks
from overgrow.cli.evidence.restarting import reset_evidence
from overgrow.cli.evidence.store import (
    NoEvidence,
    ago_text,
    current_rules,
    open_store,
    time_json,
)
from overgrow.cli.output import echo_safe
from overgrow.routing.model import Route, RouteTable
from overgrow.text import percent_number

if TYPE_CHECKING:
    from overgrow.evidence import EvidenceReset, RouteStatus
    from overgrow.shadow.review.rules_folder import RulesFolder
    from overgrow.store.reader import Reader


@click.group(cls=OrderedGroup, short_help="Show what shadowing compared; reset a route's evidence.")
def shadow() -> None:
    """Show what shadowing (traffic mirroring) compared, and reset a route's evidence."""


class ShadowRow(NamedTuple):
    """The counts of the comparisons of one route while one of the sides served its clients."""

    route: str
    answered_by: str
    table: Route | None  # None: the route is no longer in the table
    counted: RouteStatus | None  # None: nothing was compared
    open_groups: int

    def as_json(self) -> dict[str, Any]:
        """The row as --json prints it."""
        counted = self.counted
        return {
            "route": self.route,
            "answered_by": self.answered_by,
            "shadow": percent_number(self.table.shadow) if self.table else 0,
            "served": counted.served if counted else 0,
            "compared": counted.comparisons if counted else 0,
            "matched": counted.matched if counted else 0,
            "ignored": counted.ignored if counted else 0,
            "mismatched": counted.mismatched if counted else 0,
            "open_groups": self.open_groups,
            "newest": time_json(counted.newest_at) if counted else None,
        }

    def cells(self) -> tuple[str, ...]:
        """The row for people."""
        payload = self.as_json()
        newest = self.counted.newest_at if self.counted else None
        numbers = ("compared", "matched", "ignored", "mismatched", "open_groups")
        share = f"{payload['shadow']}%" if payload["shadow"] else "-"
        return (
            self.route,
            self.answered_by,
            share,
            *(str(payload[each]) for each in numbers),
            ago_text(newest),
        )


HEAD = (
    "ROUTE",
    "ANSWERED BY",
    "SHADOW",
    "COMPARED",
    "MATCHED",
    "IGNORED",
    "DIFFER",
    "OPEN",
    "LAST",
)


@shadow.command(short_help="Show what was compared, route by route.")
@shared_options
def status(call: Invocation) -> None:
    """Show the comparisons of each route with a shadow or evidence, and their results.

    ANSWERED BY is the side that served users; the other side got the copy. IGNORED counts pairs that differ
    only where a current rule allows a difference. DIFFER counts the other differing pairs, and OPEN counts
    their groups. Below the table: requests that were drawn but not compared, by reason; records that did not
    reach the store; requests that fell back to legacy in the last 30 days; and resets of evidence.
    """
    table = load_valid_table(call)
    known = _read_summary(call)
    rows = _rows(table, known)
    dropped = _count_dropped(call.state_to_read / "metrics")
    payload = {
        "routes": [row.as_json() for row in rows],
        "dropped": dropped,
        "lost": known.lost,
        "fallbacks": [each.as_json() for each in known.fallbacks],
        "restarts": [_restart_json(each) for each in known.restarts],
    }
    lines = [*map(str, known.fallbacks), *map(_restart_line, known.restarts)]
    call.print_result(payload, "\n".join([_table(rows), *_loss_lines(dropped, known.lost), *lines]))


def _table(rows: Sequence[ShadowRow]) -> str:
    if not rows:
        return "No route has `shadow:`, and nothing was compared."
    cells = [HEAD, *(row.cells() for row in rows)]
    return columns(cells, right=frozenset(range(2, len(HEAD) - 1)), width=screen_width())


def _loss_lines(dropped: Mapping[str, int], lost: int) -> list[str]:
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
    lines = [f"drawn but not compared: {reasons}"] if dropped else []
    return [*lines, f"not stored: {lost} records"] if lost else lines


class EvidenceSummary(NamedTuple):
    """What the store contains for `overgrow shadow status`. Without a store, all fields are empty."""

    counted: Sequence[RouteStatus] = ()
    open_groups: Mapping[tuple[str, str], int] = {}
    lost: int = 0  # records lost to full queues and killed processes
    fallbacks: Sequence[RouteFallbacks] = ()
    restarts: Sequence[EvidenceReset] = ()  # the latest of each route


def _read_summary(call: Invocation) -> EvidenceSummary:
    from overgrow.shadow.review.judged_groups import judge_groups  # noqa: PLC0415  reads YAML: not for --help

    rules = current_rules(call)
    try:
        with open_store(call) as reader:
            groups, losses = reader.groups(), reader.losses()
            statuses = [_recount(reader, each, rules) for each in reader.shadow_status()]
            fallbacks, restarts = sum_fallbacks(reader.fallbacks()), reader.resets()
    except NoEvidence as failure:
        echo_safe(f"note: {failure.message}", err=True)
        return EvidenceSummary()
    found = [each.group for each in judge_groups(groups, rules.rules) if each.is_open]
    opened = Counter((group.route, group.control) for group in found)
    latest = {each.route: each for each in reversed(restarts)}
    lost = losses.lost + losses.dropped
    return EvidenceSummary(
        statuses, opened, lost, fallbacks, [latest[name] for name in sorted(latest)]
    )


def _recount(reader: Reader, counted: RouteStatus, rules: RulesFolder) -> RouteStatus:
    """Return the counts of a route under the current rules."""
    if not counted.mismatched + counted.ignored:
        return counted
    explains = rules.explains(counted.route)
    mismatched = reader.evidence(counted.route, counted.control, explains=explains).mismatched
    ignored = max(0, counted.mismatched + counted.ignored - mismatched)
    return replace(counted, mismatched=mismatched, ignored=ignored)


def _restart_json(begun: EvidenceReset) -> dict[str, Any]:
    return {"route": begun.route, "at": time_json(begun.at), "who": begun.who, "reason": begun.why}


def _restart_line(begun: EvidenceReset) -> str:
    return f"evidence of {begun.route} reset: {ago_text(begun.at)} by {begun.who}: {begun.why}"


def _count_dropped(metrics: Path) -> dict[str, int]:
    """Return {reason: number} of requests that were drawn but not compared, the most frequent reason first."""
    from overgrow.observe.counted_families import sum_samples  # noqa: PLC0415  prometheus_client is slow to import

    counts = {
        each.labels["reason"]: int(each.value)
        for each in sum_samples(metrics)
        if each.name == "overgrow_shadow_dropped_total" and each.value
    }
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def _rows(table: RouteTable, known: EvidenceSummary) -> list[ShadowRow]:
    """Return a row for each route and side with evidence: routes in matching order, then removed routes."""
    by_owner = {(each.route, each.control): each for each in known.counted}
    routes = {route.name: route for route in table.routes}
    owners = [
        (route.name, side)
        for route in table.routes
        for side in ("legacy", "migrated")
        if (route.name, side) in by_owner or (route.shadow and side == route.target)
    ]
    owners += [owner for owner in by_owner if owner[0] not in routes]
    return [
        ShadowRow(
            *owner, routes.get(owner[0]), by_owner.get(owner), known.open_groups.get(owner, 0)
        )
        for owner in owners
    ]


@shadow.command(short_help="Reset a route's evidence after its code changed.")
@click.argument("route", type=RouteName(), metavar="[ROUTE]", required=False)
@click.option(
    "--all", "everything", is_flag=True, help="Every route that is compared or has evidence."
)
@click.option(
    "--reason", metavar="TEXT", required=True, callback=non_blank_reason, help="What changed."
)
@shared_options
def restart(call: Invocation, route: str | None, everything: bool, reason: str) -> None:  # noqa: FBT001  click's
    """Reset the evidence of ROUTE, for instance after a fix was deployed.

    All comparisons and groups of mismatches of the route are deleted; the store keeps who did it, when
    and why.
    """
    if (route is None) is not everything:
        raise click.UsageError("Name a ROUTE, or write --all for all routes.")
    if route is not None:
        require_route(call, route)
        open_store(call).close()
        reset_evidence(call, [route], reason)
        call.print_result({"route": route, "reason": reason}, f"{route}: the evidence was reset.")
        return
    routes = _routes_with_evidence(call)
    reset_evidence(call, routes, reason)
    call.print_result(
        {"routes": routes, "reason": reason},
        f"{', '.join(routes) or 'No route'}: the evidence was reset.",
    )


def _routes_with_evidence(call: Invocation) -> list[str]:
    """Return the routes that have a shadow or evidence: first routes of the table in its order, then removed routes."""
    with open_store(call) as reader:
        counted = {each.route for each in reader.shadow_status()}
    drafted = [each.route for each in drafts(call) if each.route]
    names = [each.name for each in drafted if each.shadow or each.name in counted]
    return [*names, *sorted(counted - {each.name for each in drafted})]
