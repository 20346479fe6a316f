"""Judges stored groups of differences by the current rules. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from overgrow.evidence import Group, Part
from overgrow.shadow.findings.groups import DECISIVE
from overgrow.shadow.rules.rejudge import build_coverage_check, build_undecided_rule_finder
from overgrow.shadow.rules.rules import Rule, Rules


class JudgedGroup(NamedTuple):
    """A group judged by the current rules. `open_parts` are the parts that no rule covers.

    `undecided` are rules that may cover an open part: the store has too little data to decide this.
    """

    group: Group
    open_parts: tuple[Part, ...]
    undecided: tuple[Rule, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the group is open: it has a part that no rule covers."""
        return bool(self.open_parts)


def title_of_judged(each: JudgedGroup) -> str:
    """Return kind and path of the first two open differences. If none is open, use the first two differences.

    A different status or content type is named first, because all other differences follow from it.
    """
    parts = sorted(each.open_parts or each.group.parts, key=lambda part: part.kind not in DECISIVE)
    text = ", ".join(_kind_and_path(part) for part in parts[:2])
    return f"{text} and {len(parts) - 2} more" if len(parts) > 2 else text


def _kind_and_path(part: Part) -> str:
    return part.kind if part.kind == part.path else f"{part.kind} {part.path}"


def judge_groups(groups: Sequence[Group], rules_of: Callable[[str], Rules]) -> list[JudgedGroup]:
    """Return the groups, each under the rules of its route."""
    judges: dict[str, Callable[[Group], JudgedGroup]] = {}
    for group in groups:
        if group.route not in judges:
            judges[group.route] = _build_judge(rules_of(group.route))
    return [judges[group.route](group) for group in groups]


def _build_judge(rules: Rules) -> Callable[[Group], JudgedGroup]:
    is_covered, rule_of = build_coverage_check(rules), build_undecided_rule_finder(rules)

    def judge(group: Group) -> JudgedGroup:
        open_parts = tuple(part for part in group.parts if not is_covered(part))
        doubted = dict.fromkeys(filter(None, map(rule_of, open_parts)))
        return JudgedGroup(group, open_parts, tuple(doubted))

    return judge
