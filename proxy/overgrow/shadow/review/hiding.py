"""Finds the stored differences that new rules would hide. A person sees them before accepting the rules. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from overgrow.evidence import SHORT_ID, Group, Part
from overgrow.shadow.rules.comparators import KeyedBy, Unordered
from overgrow.shadow.rules.rejudge import build_coverage_check, build_undecided_rule_finder
from overgrow.shadow.rules.rules import Rule, Rules
from overgrow.shadow.values.difference import SEVERITIES
from overgrow.text import count_text

_GRAVITY = {"high": 0, "medium": 1, "low": 2}


class HiddenDifference(NamedTuple):
    """An open difference in a stored group that a rule would hide."""

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
        return f"{where}, {times} in {self.group.key[:SHORT_ID]} of {self.group.route}{may}"


class RuleChange:
    """The rules of one route before and after some rules are added.

    It finds what this change hides, and what it opens again. `added` are the names of the new rules. If a route
    has its own rule at a place, rules for every route do not apply there. Therefore a new rule of a route may
    open a difference that a rule for every route covered.
    """

    def __init__(self, before: Rules, after: Rules, added: Collection[str]) -> None:
        self._is_covered, self._will_be = build_coverage_check(before), build_coverage_check(after)
        self._may_be = build_undecided_rule_finder(after)
        self._after, self._added = after, added
        self._has_pairings = any(
            isinstance(rule.how, Unordered | KeyedBy) for rule in after.rules if rule.name in added
        )

    def find_hidden(self, group: Group) -> Iterator[HiddenDifference]:
        """Yield the open differences of a group that the new rules cover, or may cover."""
        for part in filter(self._is_within_reach, group.parts):
            if self._is_covered(part):
                continue
            if self._will_be(part):
                yield HiddenDifference(group, part, is_sure=True)
            elif self._is_about(part):
                yield HiddenDifference(group, part, is_sure=False)

    def _is_within_reach(self, part: Part) -> bool:
        """Whether a new rule may be about the part's path. This fast check excludes most parts."""
        if self._has_pairings:  # such rules are about all that is inside an array
            return True
        places = {part.path, part.place, part.other}
        near = (rule for place in places for rule in self._after.rules_about_shape(place))
        return any(rule.name in self._added for rule in near)

    def _is_about(self, part: Part) -> bool:
        rule = self._may_be(part)
        return rule is not None and rule.name in self._added

    def opens(self, group: Group) -> bool:
        """Whether the group is covered now and would be open after the change."""
        if not any(map(self._is_within_reach, group.parts)):
            return False
        return all(map(self._is_covered, group.parts)) and not self.closes(group)

    def closes(self, group: Group) -> bool:
        """Whether the group would be covered after the change."""
        return not self.left_open(group)

    def left_open(self, group: Group) -> list[Part]:
        """Return the differences of a group that would stay open after the change."""
        return [part for part in group.parts if not self._will_be(part)]


def find_hidden(
    rule: Rule, groups: Sequence[Group], rules_of: Callable[[str], Rules]
) -> list[HiddenDifference]:
    """Return the open differences that the rule would cover on each route. The most severe ones come first."""

    def with_rule(route: str) -> Rules:
        today = rules_of(route)
        return Rules((*today.rules, rule), today.show)

    routes = {group.route for group in groups}
    changes = changes_by_route(routes, rules_of, with_rule, {rule.name})
    return gravest_first(
        each for group in groups for each in changes[group.route].find_hidden(group)
    )


def changes_by_route(
    routes: Collection[str],
    before: Callable[[str], Rules],
    after: Callable[[str], Rules],
    added: Collection[str],
) -> dict[str, RuleChange]:
    """Return the change of the rules of each route."""
    return {route: RuleChange(before(route), after(route), added) for route in routes}


def gravest_first(found: Iterable[HiddenDifference]) -> list[HiddenDifference]:
    """Return differences by severity, then by the number of pairs."""
    return sorted(found, key=lambda each: (_GRAVITY[severity_of(each.part)], -each.group.count))


def severity_of(part: Part) -> str:
    """Return the severity of a difference."""
    return next((grave for kind, grave in SEVERITIES.items() if kind == part.kind), "high")


def hidden_lines(hidden: Sequence[HiddenDifference], max_lines: int = 5) -> list[str]:
    """Return one line for each difference that a rule would hide."""
    lines = [f"hides {each}" for each in hidden[:max_lines]]
    rest = len(hidden) - max_lines
    return [*lines, f"hides {rest} more"] if rest > 0 else lines
