"""Decides whether the current rules cover a stored difference, without its values.

Pure. The comparators of the comparison decide again, from the same likeness. Rule: in doubt, the difference is
not covered. There are two reasons for doubt. Rules that pair the items of arrays may have changed since. Or the
group has differences at several places, and a rule is about only one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from overgrow.evidence import SEVERAL, Part
from overgrow.shadow.rules.comparators import SameShape
from overgrow.shadow.rules.rules import Rule, Rules
from overgrow.shadow.values.difference import Likeness
from overgrow.shadow.values.kinds import class_change_between_stored_types, rule_kind_of


def build_coverage_check(rules: Rules) -> Callable[[Part], bool]:
    """Return a function that says whether these rules cover one kind of difference."""
    # Rules are compared by name, because a step of the stored path may be hidden.
    names = {rule.name for rule in rules.rules}
    deciding = names - {rule.name for rule in rules.rules if _may_be_overridden(rule, rules)}

    def is_covered(part: Part) -> bool:
        if part.kind == "untold" or not _is_paired_as_when_captured(part, rules, names):
            return False
        return part.rule in deciding or _find_covering_rule(rules, part) is not None

    return is_covered


def _may_be_overridden(rule: Rule, rules: Rules) -> bool:
    """Return whether a rule is for every route and the route has its own rule for the same path."""
    return rule.everywhere and not all(
        each.everywhere for each in rules.rules_about_shape(rule.path)
    )


def build_undecided_rule_finder(rules: Rules) -> Callable[[Part], Rule | None]:
    """Return a function that finds rules which may cover a difference but need data that was not stored."""
    explained = build_coverage_check(rules)
    names = {rule.name for rule in rules.rules}

    def find_possible_rule(part: Part) -> Rule | None:
        if part.kind == "untold" or explained(part):
            return None
        if not _is_paired_as_when_captured(part, rules, names):
            return next(iter(_current_pairing_rules(part, rules)), None)
        if part.alike and (
            rule := next(filter(_is_limited_to_pieces, rules.rules_at(part.path)), None)
        ):
            return rule
        if SEVERAL not in {part.place, part.other}:
            return None
        return next(
            (each for each in rules.rules_about_shape(part.path) if _rule_allows_part(each, part)),
            None,
        )

    return find_possible_rule


def _is_limited_to_pieces(rule: Rule) -> bool:
    """Return whether a rule names pieces of a text. The store does not have the pieces that differ."""
    return isinstance(rule.how, SameShape) and bool(rule.how.pieces)


def rule_kind_of_part(part: Part) -> str:
    """Return the kind of a stored difference in the words of a rule's `kinds`."""
    return rule_kind_of(part.kind, _likeness_of_part(part))


def _find_covering_rule(rules: Rules, part: Part) -> Rule | None:
    return rules.find_covering_rule(
        part.kind, _paths_by_which_rules_name_part(part), lambda: _likeness_of_part(part)
    )


def _rule_allows_part(rule: Rule, part: Part) -> bool:
    return rule.allows(part.kind, _likeness_of_part(part))


def _likeness_of_part(part: Part) -> Likeness:
    change = class_change_between_stored_types(part.path, part.control, part.candidate)
    return Likeness(part.gap, part.gap_s, part.alike, part.one_type, change=change)


def _paths_by_which_rules_name_part(part: Part) -> tuple[str, ...]:
    """Return the paths that rules may use for the place of a stored difference."""
    known = tuple(each for each in (part.place, part.other) if each not in {"", SEVERAL})
    return known if part.place in known else (part.path, *known)


def _current_pairing_rules(part: Part, rules: Rules) -> list[Rule]:
    place = _paths_by_which_rules_name_part(part)[0]
    return (
        rules.pairing_rules_above_shape(place)
        if place == part.path
        else rules.pairing_rules_above(place)
    )


def _is_paired_as_when_captured(part: Part, rules: Rules, names: Collection[str]) -> bool:
    """Return whether the same rules as at the capture pair the items of the arrays above a difference.

    Other rules would pair other items, and so find other differences.
    """
    then = set(part.paired.split("\n")) - {""}
    return (
        then <= set(names) and {rule.name for rule in _current_pairing_rules(part, rules)} <= then
    )
