"""A report of the migration as one HTML file: progress, routes, gates, differences and flips, for a review or a ticket.

It is made from files and the store, so it works even if no front door runs. The file needs no network and no script:
its policy allows only its own style sheet. Text from traffic and from people is escaped: it cannot control a terminal
or reverse the direction of text.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from overgrow.admin.pages.charts import ChartSpan, Points, line_path, marks_path
from overgrow.admin.pages.figures import error_text, percent_of
from overgrow.admin.progress import Progress, progress, unix_s
from overgrow.admin.request_history import HistoryQuestion, SidesHistory, sides_history
from overgrow.admin.route_rows import describe_matched_requests, last_flips
from overgrow.admin.traffic import NO_TRAFFIC, CounterReader, Traffic
from overgrow.admin.view import StateFolder, history_of
from overgrow.observe.metrics import BUCKETS_S
from overgrow.observe.split import DEFAULT, quantile
from overgrow.routing.model import Route
from overgrow.shadow.review.gate_report import GateReport
from overgrow.shadow.review.judged_groups import JudgedGroup, title_of_judged
from overgrow.table.editing.history import HistoryEntry
from overgrow.text import count_text, duration_text, percent_number, printable, rfc3339

MARK = "<!-- overgrow report -->"  # in the first bytes, so that only a report is overwritten
PERIOD_DAYS = 28
DAY_S = 86_400
MOST_ROUTES, MOST_GROUPS, MOST_FLIPS = 2000, 200, 200
_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
SIDES = ("legacy", "migrated")


@dataclass(frozen=True, slots=True)
class ReportFolder:
    """The files that a report is made from; implements StateFolder."""

    state: Path
    board: Path
    store_url: str | None
    table: Any  # a RouteTable, or None


@dataclass(frozen=True, slots=True)
class ReportFindings:
    """What the command read: gates, differences, and sentences that say what is unknown or wrong.

    `known_groups` counts the groups of differences that are stored, including those that rules cover.
    """

    gates: Sequence[GateReport]
    open_groups: Sequence[JudgedGroup]
    known_groups: int
    unknown: Sequence[str]


@dataclass(frozen=True, slots=True)
class _RouteFigures:
    """The totals of a route by side: requests, errors, median in seconds."""

    requests: Mapping[str, int]
    errors: Mapping[str, int]
    medians: Mapping[str, float | None]


def report_data(
    folder: ReportFolder, findings: ReportFindings, route: str | None, now_s: float, title: str
) -> dict[str, Any]:
    """Return what the report shows, as JSON values.

    Raises:
        OSError: if the history of flips cannot be read.

    """
    routes = [each for each in _routes_of(folder) if route in (None, each.name)]
    traffic, uncounted = _read_traffic(folder, now_s)
    question = HistoryQuestion(None, now_s - PERIOD_DAYS * DAY_S, now_s, DAY_S)
    found = progress(folder, question, now_s)
    requests = found.requests if route is None else _history_of_route(folder, route, now_s)
    flips = [each for each in _flips_of(folder) if route is None or _is_about(each, route)]
    sources = _ReportSources(
        traffic,
        {each.question.route: each for each in findings.gates},
        last_flips(list(reversed(flips))),
        Counter(each.group.route for each in findings.open_groups),
    )
    rows = _route_rows(routes[:MOST_ROUTES], sources)
    return {
        "title": title,
        "route": route,
        "at": rfc3339(now_s),
        "days": PERIOD_DAYS,
        "revision": folder.table.revision if folder.table else None,
        "unknown": _distinct(
            [*findings.unknown, *uncounted, *_problem_of(requests), *_damage_of(folder)]
        ),
        "summary": _summary(found, requests, routes),
        "chart": _chart(found, requests, route),
        "days_table": _days(requests),
        "routes": rows if route else [*rows, _default_row(sources)],
        "more_routes": max(0, len(routes) - MOST_ROUTES),
        "gates": [_gate_json(each) for each in findings.gates],
        "differences": [_group_json(each) for each in findings.open_groups[:MOST_GROUPS]],
        "more_differences": max(0, len(findings.open_groups) - MOST_GROUPS),
        "known_groups": findings.known_groups,
        "flips": [_flip_json(each) for each in flips[:MOST_FLIPS]],
        "more_flips": max(0, len(flips) - MOST_FLIPS),
    }


def render_report(data: Mapping[str, Any]) -> str:
    """Return the report as HTML."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    template = environment.get_template("report.html")
    style = _STYLE.search((_TEMPLATES / "report.html").read_text("utf-8"))
    digest = hashlib.sha256((style[1] if style else "").encode()).digest()
    policy = f"default-src 'none'; style-src 'sha256-{base64.b64encode(digest).decode()}'"
    return template.render(data=data, policy=policy)


def _finalize(value: Any) -> Any:
    """Return a value as the template shows it: without control characters and marks that reverse the direction of text."""
    if value is None:
        return "-"
    return printable(value) if type(value) is str else value


def _routes_of(folder: StateFolder) -> Sequence[Route]:
    return folder.table.routes if folder.table else ()


def _read_traffic(folder: ReportFolder, now_s: float) -> tuple[Traffic, list[str]]:
    try:
        return CounterReader(folder.state / "metrics").read(now_s), []
    except OSError as error:
        return NO_TRAFFIC, [f"What was counted cannot be read ({error.strerror or error})."]


def _history_of_route(folder: ReportFolder, route: str, now_s: float) -> SidesHistory:
    since_s = now_s - PERIOD_DAYS * DAY_S
    return sides_history(folder, HistoryQuestion(route, since_s, now_s, DAY_S), now_s)


def _flips_of(folder: ReportFolder) -> list[HistoryEntry]:
    """Return the entries of the history, the latest first."""
    return list(reversed(history_of(folder).entries))


def _damage_of(folder: ReportFolder) -> list[str]:
    """Return a sentence on the damage of the history of flips; an empty list if the history is intact."""
    broken = history_of(folder).broken
    return [f"The history of flips is damaged: {' '.join(broken)}"] if broken else []


def _is_about(entry: HistoryEntry, route: str) -> bool:
    """Whether an entry is about the route itself, about its group, or about everything."""
    return entry.route in (None, route) or any(each.route == route for each in entry.changes)


def _distinct(sentences: Sequence[str]) -> list[str]:
    """Return the sentences; leave out each sentence that another sentence contains."""
    known = list(dict.fromkeys(sentences))
    return [each for each in known if not any(each != other and each in other for other in known)]


def _problem_of(requests: SidesHistory) -> list[str]:
    return [requests.problem] if requests.problem else []


def _summary(
    found: Progress, requests: SidesHistory, routes: Sequence[Route]
) -> list[dict[str, str]]:
    served = {
        side: sum(requests.requests(side, at) for at in requests.sides.get(side, {}))
        for side in SIDES
    }
    both = sum(served.values())
    moved = found.routes[-1] if found.routes else None
    share = percent_of(served["migrated"], both) if both else "no requests are stored"
    lines = {f"Requests on migrated, last {PERIOD_DAYS} days": share}
    if len(routes) != 1 and moved:
        lines["Routes off legacy, by target; a canary counts as its share"] = (
            f"{moved.moved:.3g} of {moved.routes:,}"
        )
    lines[f"Flips and rollbacks, last {PERIOD_DAYS} days"] = f"{len(found.flips):,}"
    return [{"label": label, "text": text} for label, text in lines.items()]


def _chart(found: Progress, requests: SidesHistory, route: str | None) -> dict[str, Any] | None:
    """Return a chart with the shares over time as lines and the flips as marks; None if there were no requests."""
    span = ChartSpan(requests.since_s, requests.until_s)
    steps = range(int(requests.since_s), int(requests.until_s), requests.step_s)
    shares: Points = [(at, requests.share(at)) for at in steps]
    if all(value is None for _, value in shares):
        return None
    moved: Points = [] if route else [(each.at_s, each.share) for each in found.routes]
    times = (unix_s(each.at) for each in found.flips if route is None or _is_about(each, route))
    return {
        "requests": line_path(span, shares, 1.0),
        "routes": line_path(span, _steps(moved), 1.0),
        "x": span.labels(),
        "marks": marks_path(span, filter(None, times)),
    }


def _steps(points: Points) -> Points:
    """Return the points of a step line: each value holds until the next point."""
    found: list[tuple[float, float | None]] = []
    for at_s, value in points:
        if found:
            found.append((at_s, found[-1][1]))
        found.append((at_s, value))
    return found


def _days(requests: SidesHistory) -> list[dict[str, str]]:
    return [
        {
            "at": rfc3339(each.at_s)[:10],
            "requests": f"{each.requests:,}",
            "errors": error_text(each.errors, each.requests),
            "share": "-" if each.share is None else f"{100 * each.share:.3g}%",
            "p95": duration_text(each.p95_s),
        }
        for each in requests.points()
    ]


def _figures_of(name: str, traffic: Traffic) -> _RouteFigures:
    counts = {side: traffic.totals.get((name, side), ()) for side in SIDES}
    return _RouteFigures(
        {side: sum(found[1:]) for side, found in counts.items()},
        {side: found[0] if found else 0 for side, found in counts.items()},
        {side: _median(found[1:]) for side, found in counts.items()},
    )


def _median(buckets: Sequence[int]) -> float | None:
    total, cumulative = 0, []
    for bound_s, count in zip((*BUCKETS_S, float("inf")), buckets, strict=False):
        total += count
        cumulative.append((bound_s, float(total)))
    return quantile(cumulative, 0.5)


@dataclass(frozen=True, slots=True)
class _ReportSources:
    """The values from which the rows of the routes are made."""

    traffic: Traffic
    gates: Mapping[str, GateReport]
    flips: Mapping[str, HistoryEntry]
    open_groups: Mapping[str, int]


def _route_rows(routes: Sequence[Route], sources: _ReportSources) -> list[dict[str, Any]]:
    """Return a row for each route."""
    return [
        {
            "takes": describe_matched_requests(each),
            "target": f"{each.target} {_canary_text(each)}".strip(),
            **_figure_texts(each.name, sources),
        }
        for each in routes
    ]


def _default_row(sources: _ReportSources) -> dict[str, Any]:
    """Return the row for the requests that no route took."""
    figures = _figure_texts(DEFAULT, sources)
    return {"takes": "what no route takes", "target": "legacy", **figures}


def _canary_text(route: Route) -> str:
    return f"{percent_number(route.canary):g}%" if route.canary else ""


def _figure_texts(name: str, sources: _ReportSources) -> dict[str, Any]:
    figures = _figures_of(name, sources.traffic)
    gate, flip = sources.gates.get(name), sources.flips.get(name)
    both = sum(figures.requests.values())
    return {
        "name": name,
        "share": percent_of(figures.requests["migrated"], both) if both else "no requests",
        "errors": {side: _error_text(figures, side) for side in SIDES},
        "medians": {side: duration_text(figures.medians[side]) for side in SIDES},
        "gate": "-" if gate is None else "ready" if gate.is_ready else "not ready",
        "groups": str(sources.open_groups.get(name, "-")),
        "flip": flip.at[:10] if flip else "-",
    }


def _error_text(figures: _RouteFigures, side: str) -> str:
    requests = figures.requests[side]
    return error_text(figures.errors[side], requests) if requests else "-"


def _gate_json(report: GateReport) -> dict[str, Any]:
    return {
        "route": report.question.route,
        "to": report.question.to,
        "ready": report.is_ready,
        "reasons": list(report.reasons),
        "arithmetic": list(report.result.arithmetic),
    }


def _group_json(each: JudgedGroup) -> dict[str, str]:
    group = each.group
    return {
        "title": title_of_judged(each),
        "id": group.key[:8],
        "route": group.route,
        "served_by": group.control,
        "severity": group.severity,
        "count": f"{group.count:,}",
        "first": rfc3339(group.first_seen_at),
        "last": rfc3339(group.last_seen_at),
    }


def _flip_json(entry: HistoryEntry) -> dict[str, Any]:
    move = f"{entry.route}: {entry.from_ or '-'} to {entry.to or '-'}" if entry.route else ""
    return {
        "at": entry.at,
        "who": entry.who,
        "action": entry.action,
        "move": move,
        "why": entry.why or "",
        "overruled": list(entry.overruled),
    }


def counts_text(data: Mapping[str, Any]) -> str:
    """Return a text that says how many routes, flips and groups a report has."""
    routes = count_text(len(data["routes"]), "route")
    groups = count_text(len(data["differences"]), "group")
    return f"{routes}, {groups} of differences, {count_text(len(data['flips']), 'flip')}"
