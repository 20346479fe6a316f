"""Turns series of numbers into charts: JSON with paths of SVG. The template draws the frame around a chart.

Pure. A chart is WIDTH by HEIGHT units, stretched to the width of the page; its labels are text beside it. A
value of None means that nothing was counted: the line has a gap there. A single point between two gaps is drawn
as a short line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from overgrow.text import rfc3339

WIDTH, HEIGHT = 1000, 200
X_LABELS = 5
_MINUTES, _HOURS, _DAYS = 16, 13, 10  # how much of an RFC 3339 time a label needs
_DAY_S = 86_400

Points = Sequence[tuple[float, float | None]]  # unix time, value


@dataclass(frozen=True, slots=True)
class ChartSpan:
    """The time that a chart shows, in unix seconds; the end is not part of it."""

    from_s: float
    to_s: float

    def x(self, at_s: float) -> float:
        """Return the horizontal position of a time, in units from the left."""
        return round(WIDTH * (at_s - self.from_s) / (self.to_s - self.from_s), 1)

    def labels(self) -> list[str]:
        """Return evenly spaced times in UTC: all as `08:15`, or all as `11-28` if the span is longer than two days."""
        step_s = (self.to_s - self.from_s) / (X_LABELS - 1)
        times = [rfc3339(self.from_s + step_s * number) for number in range(X_LABELS)]
        if self.to_s - self.from_s > 2 * _DAY_S:
            return [each[5:_DAYS] for each in times]
        return [each[11:_MINUTES] for each in times]


def chart_json(
    span: ChartSpan,
    lines: Mapping[str, Points],
    text_of: Callable[[float], str],
    top: float | None = None,
) -> dict[str, Any]:
    """Return a chart: `paths` by line, labels, and the latest value of each line.

    `top` is the value at the top of the chart; if it is missing, the highest value determines it.
    """
    values = [value for points in lines.values() for _, value in points if value is not None]
    top = top or nice_top(max(values, default=0))
    latest = {name: latest_value(points) for name, points in lines.items()}
    return {
        "paths": {name: line_path(span, points, top) for name, points in lines.items()},
        "latest": {name: "-" if at is None else text_of(at) for name, at in latest.items()},
        "x": span.labels(),
        "top": text_of(top),
        "middle": text_of(top / 2),
        "is_empty": not values,
    }


def line_path(span: ChartSpan, points: Points, top: float) -> str:
    """Return the SVG attribute `d` of a line."""
    parts, pen_is_down = [], False
    for index, (at_s, value) in enumerate(points):
        if value is None:
            pen_is_down = False
            continue
        x, y = span.x(at_s), _y(value, top)
        parts.append(f"{'L' if pen_is_down else 'M'}{x:g} {y:g}")
        if not pen_is_down and _is_alone(points, index):
            parts.append(f"h{WIDTH / 200:g}")
        pen_is_down = True
    return "".join(parts)


def band_path(span: ChartSpan, points: Points, top: float) -> str:
    """Return the SVG attribute `d` of the area below a line. Where the line has a gap, the area has one too."""
    areas: list[list[tuple[float, float]]] = [[]]
    for at_s, value in points:
        if value is None:
            areas.append([])
        else:
            areas[-1].append((span.x(at_s), _y(value, top)))
    return "".join(_area(corners) for corners in areas if corners)


def _area(corners: Sequence[tuple[float, float]]) -> str:
    upper = "".join(f"L{x:g} {y:g}" for x, y in corners)
    return f"M{corners[0][0]:g} {HEIGHT}{upper}L{corners[-1][0]:g} {HEIGHT}Z"


def _y(value: float, top: float) -> float:
    return round(HEIGHT * (1 - min(value / top, 1.0)), 1)


def _is_alone(points: Points, index: int) -> bool:
    return index + 1 == len(points) or points[index + 1][1] is None


def latest_value(points: Points) -> float | None:
    """Return the value of the last point that has one."""
    return next((value for _, value in reversed(points) if value is not None), None)


def nice_top(highest: float) -> float:
    """Return a round number (1, 2 or 5 times a power of ten) that is at least the highest value.

    1 if all values are 0.
    """
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= highest * (1 - 1e-9))


def marks_path(span: ChartSpan, times: Iterable[float]) -> str:
    """Return the SVG attribute `d` of vertical lines, one for each time inside the span."""
    inside = (at_s for at_s in times if span.from_s <= at_s < span.to_s)
    return "".join(f"M{span.x(at_s):g} 0V{HEIGHT}" for at_s in inside)
