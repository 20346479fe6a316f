"""`overgrow gate`: says whether all clients may be moved, with the evidence, the arithmetic and what is missing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from overgrow.cli.completion import RouteName
from overgrow.cli.context import Invocation, load_valid_table, shared_options
from overgrow.cli.evidence.proposals import constant_notes
from overgrow.cli.evidence.store import NoEvidence, ago_text, current_rules, open_store, time_json
from overgrow.cli.failures import Failed, unknown_route
from overgrow.routing.model import Route, Side
from overgrow.table.editing.flip import GROUP, Readiness
from overgrow.yaml_file.scalars import nearest_word

if TYPE_CHECKING:
    from overgrow.evidence import Evidence
    from overgrow.shadow.findings.gate import GateResult
    from overgrow.shadow.review.rules_folder import RulesFolder

USUAL_CLEAN = 299  # for a route without `require`: at most 1% may differ


class GateQuestion(NamedTuple):
    """The question whether all clients of a route may go to one side."""

    route: str
    clean: int
    to: Side = "migrated"

    @property
    def answered_by(self) -> Side:
        """The side that serves users now."""
        return "legacy" if self.to == "migrated" else "migrated"


class GateReport(NamedTuple):
    """The gate's answer; `missing_store` says why there was no evidence to read."""

    question: GateQuestion
    result: GateResult
    evidence: Evidence
    missing_store: str | None = None
    notes: tuple[str, ...] = ()  # what to check before a flip, though it does not close the gate

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the gate is closed; empty if it is open."""
        without = (self.missing_store,) if self.missing_store else ()
        return (*without, *self.result.reasons)

    @property
    def is_ready(self) -> bool:
        """Whether the gate is open, so that the route may be flipped."""
        return not self.reasons


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
        _add_notes(call, judge_route(call, _question_for(each), rules), rules) for each in routes
    ]
    payload = [as_json(each) for each in reports]
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


def _question_for(route: Route) -> GateQuestion:
    to: Side = "legacy" if route.target == "migrated" else "migrated"
    return GateQuestion(route.name, route.require_clean or USUAL_CLEAN, to)


def judge_route(call: Invocation, question: GateQuestion, rules: RulesFolder) -> GateReport:
    """Judge the stored evidence by the current rules; without a store there is no evidence."""
    from overgrow.evidence import Evidence  # noqa: PLC0415  as above
    from overgrow.shadow.findings.gate import Requirement  # noqa: PLC0415  only here
    from overgrow.shadow.findings.gate import evaluate_gate as judge  # noqa: PLC0415  as above

    found, why = Evidence(question.route, question.answered_by, 0, 0, None, None, (), ()), None
    try:
        with open_store(call) as reader:
            explains = rules.explains(question.route)
            found = reader.evidence(question.route, question.answered_by, explains=explains)
    except NoEvidence as failure:
        why = failure.message
    return GateReport(question, judge(found, Requirement(question.clean), time.time()), found, why)


def _add_notes(call: Invocation, report: GateReport, rules: RulesFolder) -> GateReport:
    """Return the report with notes on what to check before a flip."""
    if report.missing_store:
        return report
    with open_store(call) as reader:
        return report._replace(
            notes=tuple(map(str, constant_notes(reader, report.question.route, rules)))
        )


def readiness(call: Invocation, name: str, clean: int) -> Readiness:
    """Return the gate's answer for a flip to migrated, with the figures that the history keeps with the flip."""
    report = judge_route(call, GateQuestion(name, clean), current_rules(call))
    return Readiness(report.reasons, _figures(report))


def as_json(report: GateReport) -> dict[str, Any]:
    """Return a report as --json prints it."""
    return {
        "route": report.question.route,
        "to": report.question.to,
        "ready": report.is_ready,
        "reasons": list(report.reasons),
        "arithmetic": list(report.result.arithmetic),
        "notes": list(report.notes),
        **_figures(report),
        "missing": report.result.missing,
        "not_compared": dict(report.evidence.not_compared),
        "open_groups": [
            {"group": each.key, "severity": each.severity, "count": each.count, "title": each.title}
            for each in report.evidence.open_groups
        ],
    }


def _figures(report: GateReport) -> Mapping[str, Any]:
    result = report.result
    return {
        "required": report.question.clean,
        "compared": result.compared,
        "mismatched": result.mismatched,
        "rate_bound": round(result.rate_bound, 6),
        "allowed_rate": round(result.allowed_rate, 6),
        "coverage": None if result.coverage is None else round(result.coverage, 4),
        "newest": time_json(report.evidence.newest_at),
    }


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
