"""Do the rules of today cover what was found earlier? Judged from what the store kept, without values.

Pure. The comparators of the rules decide, those that decided on the spot, from the same likeness. Rule:
in doubt no. In doubt is what hangs on more than that: which items of two arrays were paired, by rules
that are others today; at which of several places a rule about one of them found its difference.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from overgrow.evidence import SEVERAL, Part
from overgrow.shadow.rules.comparators import SameShape
from overgrow.shadow.rules.rules import Rule, Rules
from overgrow.shadow.values.difference import Likeness
from overgrow.shadow.values.kinds import change_between_stored_types, rule_kind_of


def coverage_test(rules: Rules) -> Callable[[Part], bool]:
    """Return the question whether some rules cover one kind of difference."""
    # By name: a step of the stored path may be hidden, which the rule spells out.
    names = {rule.name for rule in rules.rules}
    deciding = names - {rule.name for rule in rules.rules if _is_contested(rule, rules)}

    def is_covered(part: Part) -> bool:
        if part.kind == "untold" or not _is_paired_as_when_captured(part, rules, names):
            return False
        return part.rule in deciding or _covering_rule(rules, part) is not None

    return is_covered


def _is_contested(rule: Rule, rules: Rules) -> bool:
    """Return whether a route has rules of its own where one for every route stands."""
    return rule.everywhere and not all(each.everywhere for each in rules.rules_about(rule.path))


def possible_rule_finder(rules: Rules) -> Callable[[Part], Rule | None]:
    """Return the question which rule may cover one kind of difference, though nothing kept shows it."""
    explained = coverage_test(rules)
    names = {rule.name for rule in rules.rules}

    def possible_rule(part: Part) -> Rule | None:
        if part.kind == "untold" or explained(part):
            return None
        if not _is_paired_as_when_captured(part, rules, names):
            return next(iter(_pairing_rules_now(part, rules)), None)
        if part.alike and (rule := next(filter(_names_pieces, rules.rules_at(part.path)), None)):
            return rule
        if SEVERAL not in {part.place, part.other}:
            return None
        return next((each for each in rules.rules_about(part.path) if _allows(each, part)), None)

    return possible_rule


def _names_pieces(rule: Rule) -> bool:
    """Return whether a rule asks which pieces of a text differ: that is not kept."""
    return isinstance(rule.how, SameShape) and bool(rule.how.pieces)


def rule_kind_of_stored(part: Part) -> str:
    """Return the kind that `kinds` of a rule know, finer than the kind that is told."""
    return rule_kind_of(part.kind, _likeness(part))


def _covering_rule(rules: Rules, part: Part) -> Rule | None:
    return rules.find_covering_rule(part.kind, _places_of(part), lambda: _likeness(part))


def _allows(rule: Rule, part: Part) -> bool:
    return rule.allows(part.kind, _likeness(part))


def _likeness(part: Part) -> Likeness:
    change = change_between_stored_types(part.path, part.control, part.candidate)
    return Likeness(part.gap, part.gap_s, part.alike, part.one_type, change=change)


def _places_of(part: Part) -> tuple[str, ...]:
    """Return the paths by which a rule may know the place of a difference."""
    known = tuple(each for each in (part.place, part.other) if each not in {"", SEVERAL})
    return known if part.place in known else (part.path, *known)


def _pairing_rules_now(part: Part, rules: Rules) -> list[Rule]:
    place = _places_of(part)[0]
    return (
        rules.pairing_rules_about(place) if place == part.path else rules.pairing_rules_above(place)
    )


def _is_paired_as_when_captured(part: Part, rules: Rules, names: Collection[str]) -> bool:
    """Return whether the items above a difference are paired as when it was captured.

    Under other rules other items would be compared, and other things differ.
    """
    then = set(part.paired.split("\n")) - {""}
    return then <= set(names) and {rule.name for rule in _pairing_rules_now(part, rules)} <= then
