"""Finds which other stored differences a rule would hide. They are shown before a person accepts the rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from overgrow.cli.evidence.store import SHORT
from overgrow.text import count_text

if TYPE_CHECKING:
    from overgrow.evidence import Group, Part
    from overgrow.shadow.rules.rules import Rule, Rules

_GRAVITY = {"high": 0, "medium": 1, "low": 2}


class HiddenDifference(NamedTuple):
    """A difference in a stored group that is open now, and that a rule would hide."""

    group: Group
    part: Part
    is_sure: bool  # False: too little is stored to know

    def as_json(self) -> dict[str, Any]:
        """The difference as --json prints it."""
        return {
            "group": self.group.key,
            "route": self.group.route,
            "kind": self.part.kind,
            "path": self.part.path,
            "severity": severity_of(self.part),
            "count": self.group.count,
            "sure": self.is_sure,
        }

    def __str__(self) -> str:
        times = count_text(self.group.count, "time")
        may = "" if self.is_sure else ", perhaps"
        where = f"{self.part.kind} {self.part.path}, {severity_of(self.part)}"
        return f"{where}, {times} in {self.group.key[:SHORT]} of {self.group.route}{may}"


def severity_of(part: Part) -> str:
    """Return the severity of a difference."""
    from overgrow.shadow.values.difference import SEVERITIES  # noqa: PLC0415  only where there is evidence

    return next((grave for kind, grave in SEVERITIES.items() if kind == part.kind), "high")


def find_hidden(rule: Rule, groups: Iterable[Group], today: Rules) -> list[HiddenDifference]:
    """Return the open differences that the rule would cover if it were added to the rules of today, the most severe first."""
    from overgrow.shadow.rules.rejudge import build_coverage_check, build_undecided_rule_finder  # noqa: PLC0415  as above
    from overgrow.shadow.rules.rules import Rules  # noqa: PLC0415  as above

    is_covered = build_coverage_check(today)
    after = Rules((*today.rules, rule), today.show)
    will_be, may_be = build_coverage_check(after), build_undecided_rule_finder(after)
    found = [
        HiddenDifference(group, part, will_be(part))
        for group in groups
        for part in group.parts
        if not is_covered(part) and (will_be(part) or may_be(part) == rule)
    ]
    return sorted(found, key=lambda each: (_GRAVITY[severity_of(each.part)], -each.group.count))


def hidden_lines(hidden: Sequence[HiddenDifference], max_lines: int = 5) -> list[str]:
    """Return one line for each difference that a rule would hide."""
    lines = [f"hides {each}" for each in hidden[:max_lines]]
    rest = len(hidden) - max_lines
    return [*lines, f"hides {rest} more"] if rest > 0 else lines
