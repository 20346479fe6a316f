"""What a comparison gathers on its way: findings with their raw values, each asked of the rules.

Bounded: MAX_KEPT findings of either sort are kept; when that many stand uncovered the verdict can
no longer change, and Enough ends the work. So it does after MAX_JUDGED that are covered, or MAX_READ
characters that were looked at to know if they are: the rest is left undecided. Nothing outside this part sees a Finding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

from overgrow.shadow.rules.rules import Rule, Rules
from overgrow.shadow.values.difference import (
    MAX_PATH,
    SEVERITIES,
    UNLIKE,
    Comparison,
    Difference,
    Kind,
    Likeness,
    Undecided,
    Verdict,
    render_value,
    shorten,
)
from overgrow.shadow.values.likeness import likeness_of, reading_cost

MAX_KEPT = 100
MAX_JUDGED = 3_000  # differences that a rule covers; whether it covers still more nobody looks
MAX_READ = 400_000  # characters of values that rules ask how alike they are


class EnoughFindings(Exception):
    """As many uncovered differences are kept as ever will be."""


class Paths(NamedTuple):
    """One place by the path that is told, and by the other path that rules may know it by."""

    reported: str
    other: str


class PathNaming(Protocol):
    """Gives the paths of a place in one document."""

    def paths(self, kind: str, path: str) -> Paths:
        """Return both paths of a difference that was found at `path`, which has indexes alone."""
        ...


class Finding(NamedTuple):
    """A difference with its values as they are: JSON values below `$`, text elsewhere, ABSENT.

    `other` is the path by which rules may know the place, too: see naming.py.
    """

    kind: Kind
    path: str
    control: object
    candidate: object
    rule: Rule | None
    other: str = ""
    likeness: Likeness | None = None  # where a rule asked for it

    @property
    def place(self) -> str:
        """The path by names where the place has any: by it noise is learned."""
        return self.other if self.other and self.path.startswith("$") else self.path

    def to_difference(self, rules: Rules, likeness: Likeness) -> Difference:
        """Return the finding with its values as text, as it was found under some rules."""
        show = render_value if self.path.startswith("$") else _plain
        return Difference(
            self.kind,
            self.path,
            SEVERITIES[self.kind],
            show(self.control),
            show(self.candidate),
            self.rule.name if self.rule else None,
            likeness,
            tuple(rule.name for rule in rules.pairing_rules_above(self.path)),
            self.other,
        )


def _plain(value: object) -> str:
    return shorten(value) if isinstance(value, str) else ""


@dataclass(slots=True)
class Findings:
    """The findings of one comparison so far."""

    rules: Rules = Rules.none
    base: str = ""  # the URL that was asked for; empty where it is not known
    kept: list[Finding] = field(default_factory=list)
    uncovered: int = 0
    covered: int = 0
    truncated: bool = False
    undecided: Undecided = ""
    read: int = 0  # characters
    naming: PathNaming | None = None  # of the control's body, while it is compared by structure

    def add(self, kind: Kind, path: str, control: object, candidate: object) -> None:
        """Keep a difference, and what rule covers it; raise Enough when no more are wanted."""
        path = path[:MAX_PATH]
        path, other = self.naming.paths(kind, path) if self.naming else (path, path)
        asked: list[Likeness] = []
        rule = self.rules.find_covering_rule(
            kind, (path, other), partial(self._likeness_for_rule, asked, control, candidate)
        )
        if rule is not None:
            self.covered += 1
            if self.covered > MAX_JUDGED:
                self.undecided = "too-much-work"
                raise EnoughFindings
            if self.covered > MAX_KEPT:
                self.truncated = True
                return
        elif self.uncovered == MAX_KEPT:
            self.truncated = True
            raise EnoughFindings
        else:
            self.uncovered += 1
        likeness = asked[0] if asked else None
        self.kept.append(Finding(kind, path, control, candidate, rule, other, likeness))

    def _likeness_for_rule(
        self, asked: list[Likeness], control: object, candidate: object
    ) -> Likeness:
        """Return how alike two values are, for a rule; end the work where that takes too much of it."""
        found = self._measure_likeness(control, candidate)
        if found is None:
            self.undecided = "too-much-work"
            raise EnoughFindings
        asked.append(found)
        return found

    def _measure_likeness(self, control: object, candidate: object) -> Likeness | None:
        """Return how alike two values are; None where too much was read for that already."""
        self.read += reading_cost(control, candidate)
        return likeness_of(control, candidate) if self.read <= MAX_READ else None

    def _likeness_to_keep(self, finding: Finding) -> Likeness:
        """Return what is kept of a finding's values; of what nobody could read, that they are unlike."""
        known = finding.likeness or self._measure_likeness(finding.control, finding.candidate)
        return known or UNLIKE

    def comparison(self) -> Comparison:
        """Return what came of it."""
        reported = tuple(
            each.to_difference(self.rules, self._likeness_to_keep(each)) for each in self.kept
        )
        return Comparison(self._verdict(), reported, self.truncated, self.undecided)

    def _verdict(self) -> Verdict:
        if self.uncovered:
            return "mismatched"
        return "ignored" if self.covered else "matched"
