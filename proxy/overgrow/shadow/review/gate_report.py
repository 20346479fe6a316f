"""The gate's answer for one route, with its arithmetic and evidence, for `overgrow gate`, flips, API and pages.

Pure, except for the reader of the store, which comes in by argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from overgrow.evidence import Evidence, Part
from overgrow.routing.model import Route, Side
from overgrow.shadow.findings.gate import GateResult, Requirement, evaluate_gate
from overgrow.text import rfc3339

if TYPE_CHECKING:
    from overgrow.shadow.review.rules_folder import RulesFolder

USUAL_CLEAN = 299  # for a route without `require`: at most 1% may differ


class GateQuestion(NamedTuple):
    """A query to the gate: whether all clients of a route may go to one side."""

    route: str
    clean: int
    to: Side = "migrated"

    @property
    def answered_by(self) -> Side:
        """The side that serves users now."""
        return "legacy" if self.to == "migrated" else "migrated"


class GateReport(NamedTuple):
    """The gate's answer. If there was no evidence to read, `missing_store` says why."""

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


class GateReader(Protocol):
    """The part of the store that the gate reads."""

    def evidence(self, route: str, control: str, *, explains: Callable[[Part], bool]) -> Evidence:
        """Return the comparisons of a route while one side served users. `explains` applies the rules to them."""


def question_for(route: Route) -> GateQuestion:
    """Return the query whether a route may go to the side that does not serve users now."""
    to: Side = "legacy" if route.target == "migrated" else "migrated"
    return GateQuestion(route.name, route.require_clean or USUAL_CLEAN, to)


def judge_gate(
    reader: GateReader, question: GateQuestion, rules: RulesFolder, now_s: float
) -> GateReport:
    """Judge the stored evidence by the current rules."""
    explains = rules.explains(question.route)
    found = reader.evidence(question.route, question.answered_by, explains=explains)
    return GateReport(question, evaluate_gate(found, Requirement(question.clean), now_s), found)


def judge_gate_without_store(question: GateQuestion, why: str, now_s: float) -> GateReport:
    """Return the report of a gate that is closed because the store cannot be read; `why` says why."""
    nothing = Evidence(question.route, question.answered_by, 0, 0, None, None, (), ())
    result = evaluate_gate(nothing, Requirement(question.clean), now_s)
    return GateReport(question, result, nothing, why)


def gate_json(report: GateReport) -> dict[str, Any]:
    """Return a report as `overgrow gate --json` prints it."""
    return {
        "route": report.question.route,
        "to": report.question.to,
        "ready": report.is_ready,
        "reasons": list(report.reasons),
        "arithmetic": list(report.result.arithmetic),
        "notes": list(report.notes),
        **gate_figures(report),
        "missing": report.result.missing,
        "not_compared": dict(report.evidence.not_compared),
        "open_groups": [
            {"group": each.key, "severity": each.severity, "count": each.count, "title": each.title}
            for each in report.evidence.open_groups
        ],
    }


def gate_figures(report: GateReport) -> Mapping[str, Any]:
    """Return the figures that the history stores with a flip."""
    result, newest = report.result, report.evidence.newest_at
    return {
        "required": report.question.clean,
        "compared": result.compared,
        "mismatched": result.mismatched,
        "rate_bound": round(result.rate_bound, 6),
        "allowed_rate": round(result.allowed_rate, 6),
        "coverage": None if result.coverage is None else round(result.coverage, 4),
        "newest": None if newest is None else rfc3339(newest),
    }
