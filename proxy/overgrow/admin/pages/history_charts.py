"""The charts of the overview and of a route. This module turns the history of requests into lines.

Pure except for `progress_charts` and `route_charts`, which read the store. If the store does not answer, the charts
are empty, and `problem` says why in a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from overgrow.admin.pages.charts import ChartSpan, Points, band_path, chart_json, marks_path
from overgrow.admin.pages.figures import rate_text
from overgrow.admin.progress import Progress, progress, unix_s
from overgrow.admin.request_history import (
    HistoryPoint,
    HistoryQuestion,
    SidesHistory,
    sides_history,
)
from overgrow.admin.view import AdminView
from overgrow.text import count_text, duration_text

HOUR_S, DAY_S = 3600, 86_400
RANGES = {"2h": 2 * HOUR_S, "24h": DAY_S, "7d": 7 * DAY_S, "90d": 90 * DAY_S}
USUAL_RANGE = "2h"
KEEP_S = {
    "2h": 20.0,
    "24h": 90.0,
    "7d": 300.0,
    "90d": 900.0,
}  # until a chart is read again: less than a step
SIDES = ("legacy", "migrated")
ValueOf = Callable[[HistoryPoint], float | None]


def known_range(text: str) -> str:
    """Return the range that a link names; if that range is unknown or missing, return the default range."""
    return text if text in RANGES else USUAL_RANGE


def progress_charts(view: AdminView, range_name: str, now_s: float) -> dict[str, Any]:
    """Return the progress over time: the shares of requests and routes on migrated, flips, and unrouted requests."""
    span = _span(range_name, now_s)
    found = progress(view, HistoryQuestion(None, span.from_s, span.to_s), now_s)
    return {"range": range_name, **progress_json(found, span)}


def progress_json(found: Progress, span: ChartSpan) -> dict[str, Any]:
    """Return the chart of the progress. The default route counts as a route that has not moved."""
    requests, unrouted = found.requests, found.unrouted
    steps = _steps(requests, span)
    share = [(at, _percent(requests.share(at))) for at in steps]
    routes: list[tuple[float, float | None]] = []
    for each in found.routes:
        if routes:
            routes.append((each.at_s, routes[-1][1]))  # it stood until the flip
        routes.append((each.at_s, 100 * each.moved / (each.routes + 1)))
    band = [(at, _part(unrouted, requests, at)) for at in steps]
    chart = chart_json(span, {"requests": share, "routes": routes}, _percent_text, top=100.0)
    marks = [at for each in found.flips if (at := unix_s(each.at)) is not None]
    return {
        "chart": {
            **chart,
            "band": band_path(span, band, 100.0),
            "marks": marks_path(span, marks),
            "is_empty": not any(value is not None for _, value in share),
        },
        "flips": count_text(len(marks), "flip") if marks else "no flips",
        "problem": requests.problem,
    }


def route_charts(view: AdminView, name: str, range_name: str, now_s: float) -> dict[str, Any]:
    """Return the charts of one route: requests, errors and latency of each side, and the share of migrated."""
    span = _span(range_name, now_s)
    found = sides_history(view, HistoryQuestion(name, span.from_s, span.to_s), now_s)
    return {"range": range_name, **route_json(found, span)}


def route_json(found: SidesHistory, span: ChartSpan) -> dict[str, Any]:
    """Return the charts of one route."""
    steps = _steps(found, span)
    whole = steps[:-1]  # of a step that is still filling, the rate is not known
    rates = _by_side(found, whole, lambda point: point.requests / found.step_s, empty=0.0)
    errors = _by_side(found, steps, lambda point: 100 * point.errors / point.requests)
    latency = _by_side(found, steps, lambda point: point.p95_s)
    share = {"migrated": [(at, _percent(found.share(at))) for at in steps]}
    return {
        "rate": chart_json(span, rates, rate_text),
        "errors": chart_json(span, errors, _percent_text),
        "latency": chart_json(span, latency, duration_text),
        "share": chart_json(span, share, _percent_text, top=100.0),
        "problem": found.problem,
        "is_empty": not found.sides,
    }


def _span(range_name: str, now_s: float) -> ChartSpan:
    return ChartSpan(now_s - RANGES[range_name], now_s)


def _by_side(
    found: SidesHistory, steps: Sequence[int], value_of: ValueOf, empty: float | None = None
) -> Mapping[str, Points]:
    """Return the line of each side. A step without requests has the value `empty`."""
    lines = {}
    for side in SIDES:
        known = {point.at_s: value_of(point) for point in found.points(side) if point.requests}
        lines[side] = [(at, known.get(at, empty)) for at in steps] if known else []
    return lines


def _steps(found: SidesHistory, span: ChartSpan) -> list[int]:
    """Return the times at which steps begin. The last step may still be in progress."""
    first = int(found.since_s) // found.step_s * found.step_s
    return list(range(first, int(span.to_s) + 1, found.step_s))


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _part(part: SidesHistory, whole: SidesHistory, at_s: int) -> float | None:
    served = sum(whole.requests(side, at_s) for side in SIDES)
    return 100 * sum(part.requests(side, at_s) for side in SIDES) / served if served else None


def _percent_text(percent: float) -> str:
    return f"{percent:.3g}%"
