"""What a scenario found: figures per round, their ratios, and goals met or missed. Pure.

Rule: medians are compared, and the least and the most of the rounds stand beside them, so that a
reader sees the noise.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

WIDTH = 80


@dataclass(frozen=True, slots=True)
class Goal:
    """One measured goal of the project; `met` is None for what was not measured."""

    what: str
    found: str
    wanted: str
    met: bool | None

    @property
    def verdict(self) -> str:
        return {True: "met", False: "MISSED", None: "-"}[self.met]


@dataclass(frozen=True, slots=True)
class Section:
    """A scenario's table: a title, a line on the method, columns, rows, and its goals."""

    title: str
    method: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    goals: Sequence[Goal] = field(default_factory=tuple)


def at_least(what: str, found: float, wanted: float) -> Goal:
    return Goal(what, f"x{found:.2f}", f">= {wanted:g}", found >= wanted)


def at_most(what: str, found: float, wanted: float, unit: str) -> Goal:
    return Goal(what, f"{number(found)} {unit}", f"<= {wanted:g} {unit}", found <= wanted)


def number(value: float) -> str:
    """Three digits that matter: 12,345; 123; 12.3; 0.123."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """The median, with the least and the most where there are several."""
    middle = number(statistics.median(values))
    if len(values) < 2:
        return middle
    return f"{middle} ({number(min(values))}-{number(max(values))})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours to theirs, round by round."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def ratio(found: Mapping[str, Sequence[float]], ours: str, theirs: str) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(ratios(found[ours], found[theirs]))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which a share of the values lies."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def as_text(section: Section) -> str:
    """The section for a terminal of 80 columns."""
    lines = [section.title, *wrapped(section.method)]
    widths = [max(len(cell) for cell in column) for column in zip(*table_of(section), strict=True)]
    for row in table_of(section):
        first, *others = row
        aligned = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *aligned]).rstrip())
    return "\n".join(lines)


def table_of(section: Section) -> list[Sequence[str]]:
    return [section.columns, *section.rows]


def as_markdown(section: Section) -> str:
    """The section for results.md."""
    rows = [section.columns, ["---"] + ["---:"] * (len(section.columns) - 1), *section.rows]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"### {section.title}\n\n{section.method}\n\n{table}\n"


def goals_text(goals: Sequence[Goal]) -> str:
    """The goals for a terminal."""
    lines = [f"{'goal':46}{'found':>12}{'wanted':>13}  "]
    lines += [f"{g.what:46}{g.found:>12}{g.wanted:>13}  {g.verdict}" for g in goals]
    return "\n".join(line.rstrip() for line in lines)


def goals_markdown(goals: Sequence[Goal]) -> str:
    """The goals for results.md."""
    rows = [f"| {g.what} | {g.found} | {g.wanted} | {g.verdict} |" for g in goals]
    return "\n".join(["| goal | found | wanted | |", "|---|---:|---:|---|", *rows]) + "\n"


def wrapped(text: str) -> list[str]:
    """The text in lines of at most WIDTH characters."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= WIDTH:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines
