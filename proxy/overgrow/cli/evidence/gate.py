"""`overgrow gate`: says whether all clients of a route may be moved, with the evidence and the arithmetic."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from overgrow.cli.completion import RouteName
from overgrow.cli.context import Invocation, load_valid_table, shared_options
from overgrow.cli.evidence.proposals import constant_notes
from overgrow.cli.evidence.store import NoEvidence, ago_text, current_rules, open_store
from overgrow.cli.failures import Failed, unknown_route
from overgrow.routing.model import Route
from overgrow.shadow.review.gate_report import (
    GateQuestion,
    GateReport,
    gate_figures,
    gate_json,
    judge_gate,
    judge_gate_without_store,
    question_for,
)
from overgrow.table.editing.flip import GROUP, Readiness
from overgrow.yaml_file.scalars import nearest_word

if TYPE_CHECKING:
    from overgrow.shadow.review.rules_folder import RulesFolder


@click.command(short_help="Show whether a route may be flipped, and why.")
@click.argument("route", type=RouteName(groups=True), metavar="[ROUTE|group:NAME]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every route that has a shadow.")
@shared_options
def gate(call: Invocation, route: str | None, everything: bool) -> None:  # noqa: FBT001  click's
    """Show whether the evidence allows a flip of ROUTE (or group:NAME) to the other side.

    A route is ready if enough comparisons in a row had no mismatch: N of `require: {clean: N}` in
    the table, else 299, which limits the rate of differences to 1%. They must cover the shapes of
    requests that clients send. The newest is at most a day old. No group of high severity is open.
    For a migrated route the command says whether legacy still gives the same responses. Exit 0:
    ready; 1: not ready.
    """
    if (route is None) is not everything:
        raise click.UsageError(
            "Name a ROUTE or group:NAME, or write --all for every route with a shadow."
        )
    routes = _find_routes(call, route) if route is not None else _routes_with_shadow(call)
    rules = current_rules(call)
    reports = [
        _add_notes(call, judge_route(call, question_for(each), rules), rules) for each in routes
    ]
    payload = [gate_json(each) for each in reports]
    ready = all(each.is_ready for each in reports)
    alone = route is not None and not route.startswith(GROUP)
    text = "\n\n".join(_as_text(*pair) for pair in zip(reports, routes, strict=True))
    call.print_result(
        payload[0] if alone else {"route": route, "ready": ready, "members": payload}, text
    )
    if not ready:
        raise SystemExit(1)


def _routes_with_shadow(call: Invocation) -> list[Route]:
    found = [each for each in load_valid_table(call).routes if each.shadow]
    if not found:
        raise Failed(
            "no-evidence",
            "No route has `shadow:`.",
            "Add it to a route whose responses are to be compared.",
        )
    return found


def _find_routes(call: Invocation, name: str) -> list[Route]:
    table = load_valid_table(call)
    if name.startswith(GROUP):
        found = [each for each in table.routes if each.group == name.removeprefix(GROUP)]
        if not found:
            raise _unknown_group(call, name, {each.group for each in table.routes if each.group})
        return found
    found = [each for each in table.routes if each.name == name]
    if not found:
        raise unknown_route(call.config, name, [each.name for each in table.routes])
    return found


def _unknown_group(call: Invocation, name: str, groups: set[str]) -> Failed:
    near = nearest_word(name.removeprefix(GROUP), groups)
    fix = f"Did you mean {GROUP}{near}?" if near else "Add group: NAME to its routes."
    return Failed("unknown-group", f"{call.config} has no route in {name}.", fix)


def judge_route(call: Invocation, question: GateQuestion, rules: RulesFolder) -> GateReport:
    """Judge the stored evidence of a route by the current rules. If there is no store, judge without evidence."""
    try:
        with open_store(call) as reader:
            return judge_gate(reader, question, rules, time.time())
    except NoEvidence as failure:
        return judge_gate_without_store(question, failure.message, time.time())


def _add_notes(call: Invocation, report: GateReport, rules: RulesFolder) -> GateReport:
    """Return the report with notes on what to check before a flip."""
    if report.missing_store:
        return report
    with open_store(call) as reader:
        return report._replace(
            notes=tuple(map(str, constant_notes(reader, report.question.route, rules)))
        )


def readiness(call: Invocation, name: str, clean: int) -> Readiness:
    """Return the gate's answer for a flip to migrated, with the figures that the history stores with the flip."""
    report = judge_route(call, GateQuestion(name, clean), current_rules(call))
    return Readiness(report.reasons, gate_figures(report))


def _as_text(report: GateReport, route: Route) -> str:
    lines = [f"{report.question.route}: {_verdict(report)}"]
    lines += [f"  no: {reason}" for reason in report.reasons]
    lines += [f"  {line}" for line in report.result.arithmetic]
    lines += [f"  note: {note}" for note in report.notes]
    if report.evidence.newest_at is not None:
        lines.append(f"  The newest comparison was made {ago_text(report.evidence.newest_at)}.")
    if not route.shadow:
        lines.append("  Nothing is compared now: the route has no `shadow:`.")
    if not route.require_clean:
        lines.append("  A flip does not ask the gate: the route has no `require: {clean: N}`.")
    return "\n".join(lines)


def _verdict(report: GateReport) -> str:
    if report.question.to == "migrated":
        return f"{'ready' if report.is_ready else 'NOT ready'} to be flipped to migrated"
    if report.is_ready:
        return "legacy still gives the same responses: a flip back is safe"
    return "NOT proven that legacy still gives the same responses (a flip back is possible anyway)"
