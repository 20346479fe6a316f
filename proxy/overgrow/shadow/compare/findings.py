"""The findings of one comparison: differences with their values, each checked against the rules.

Bounded: at most MAX_KEPT covered and MAX_KEPT uncovered findings are kept. EnoughFindings ends the work in two
cases. With MAX_KEPT uncovered findings, the verdict cannot change any more. After MAX_JUDGED covered
differences or MAX_READ characters, the comparison stays undecided. Findings never leave shadow/.
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
    render_json_value,
    shorten,
)
from overgrow.shadow.values.likeness import characters_to_read, likeness_of

MAX_KEPT = 100
MAX_JUDGED = 3_000  # covered differences; the comparison ends after these
MAX_READ = 400_000  # characters that are read to measure likeness for rules


class EnoughFindings(Exception):
    """Raised to end a comparison: it has found enough differences, or examined as much as it may."""


class DifferencePaths(NamedTuple):
    """(path, other): the path to report for a place, and a second path that rules may use for the same place."""

    reported: str
    other: str


class PathNaming(Protocol):
    """Finds the paths of a place in one document."""

    def paths_of_difference(self, kind: str, path: str) -> DifferencePaths:
        """Return both paths of a difference. `path` contains indexes only."""
        ...


class Finding(NamedTuple):
    """A difference with its values: JSON values below `$`, text elsewhere, ABSENT for a missing value.

    `other` is a second path that rules may use for the same place: see naming.py.
    """

    kind: Kind
    path: str
    control: object
    candidate: object
    rule: Rule | None
    other: str = ""
    likeness: Likeness | None = None  # if a rule asked for it

    @property
    def path_by_names(self) -> str:
        """The path that uses names instead of indexes; `path` if there is none. Noise is counted by this path."""
        return self.other if self.other and self.path.startswith("$") else self.path

    def to_difference(self, rules: Rules, likeness: Likeness) -> Difference:
        """Return the finding as a Difference: its values as text, and the rules that pair items of arrays above it."""
        show = render_json_value if self.path.startswith("$") else _shorten_if_text
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


def _shorten_if_text(value: object) -> str:
    return shorten(value) if isinstance(value, str) else ""


@dataclass(slots=True)
class Findings:
    """The findings of one comparison so far."""

    rules: Rules = Rules.none
    base: str = ""  # the URL of the request; empty if it is not known
    kept: list[Finding] = field(default_factory=list)
    uncovered: int = 0
    covered: int = 0
    truncated: bool = False
    undecided: Undecided = ""
    read: int = 0  # characters
    naming: PathNaming | None = None  # of the control's body, during a comparison by structure

    def add_difference(self, kind: Kind, path: str, control: object, candidate: object) -> None:
        """Keep a difference, with the rule that covers it, if any.

        If the comparison may end now, raise EnoughFindings.
        """
        path = path[:MAX_PATH]
        path, other = self.naming.paths_of_difference(kind, path) if self.naming else (path, path)
        measured: list[Likeness] = []
        rule = self.rules.find_covering_rule(
            kind,
            (path, other),
            partial(self._measure_likeness_for_rule, measured, control, candidate),
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
        likeness = measured[0] if measured else None
        self.kept.append(Finding(kind, path, control, candidate, rule, other, likeness))

    def _measure_likeness_for_rule(
        self, measured: list[Likeness], control: object, candidate: object
    ) -> Likeness:
        """Return how alike two values are, for a rule. If this takes too much work, raise EnoughFindings."""
        found = self._measure_likeness(control, candidate)
        if found is None:
            self.undecided = "too-much-work"
            raise EnoughFindings
        measured.append(found)
        return found

    def _measure_likeness(self, control: object, candidate: object) -> Likeness | None:
        """Return how alike two values are. If MAX_READ characters have been read already, return None."""
        self.read += characters_to_read(control, candidate)
        return likeness_of(control, candidate) if self.read <= MAX_READ else None

    def _likeness_to_store(self, finding: Finding) -> Likeness:
        """Return the likeness to store for a finding; UNLIKE if the limit MAX_READ prevented measuring it."""
        known = finding.likeness or self._measure_likeness(finding.control, finding.candidate)
        return known or UNLIKE

    def build_comparison(self) -> Comparison:
        """Return the result of the comparison."""
        reported = tuple(
            each.to_difference(self.rules, self._likeness_to_store(each)) for each in self.kept
        )
        return Comparison(self._verdict(), reported, self.truncated, self.undecided)

    def _verdict(self) -> Verdict:
        if self.uncovered:
            return "mismatched"
        return "ignored" if self.covered else "matched"
