"""Do the rules of today cover what was found earlier? Judged from what the store kept, without values.

Pure. Rule: in doubt no. What a rule covered when it was captured it covers as long as it says the
same; another rule covers it only where kind, types and the widest gap show that it must.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

from proxy.shadow.comparators import (
    Comparator,
    Ignore,
    KeyedBy,
    SameShape,
    TimestampWithin,
    Tolerance,
    Unordered,
)
from proxy.shadow.rules import Rule, Rules

_NUMBERS = frozenset({"int", "float"})
_TEXTS = frozenset({"str", "text"})


class Found(Protocol):
    """One kind of difference in a group, as the store keeps it; `path` has `[*]` for every index."""

    @property
    def kind(self) -> str:
        """What differs."""

    @property
    def path(self) -> str:
        """Where, as a shape."""

    @property
    def control(self) -> str:
        """The type of the control's value."""

    @property
    def candidate(self) -> str:
        """The type of the candidate's value."""

    @property
    def rule(self) -> str | None:
        """The rule that covered it when it was captured."""

    @property
    def gap(self) -> float | None:
        """How far two numbers lay apart at most; None: no bound is known."""

    @property
    def gap_s(self) -> float | None:
        """How many seconds two times lay apart at most; None: no bound is known."""


def explains(rules: Rules) -> Callable[[Found], bool]:
    """Return the question whether some rules cover one kind of difference."""
    # By name: a step of the stored path may be hidden, which the rule spells out.
    names = {rule.name for rule in rules.rules}

    def covered(part: Found) -> bool:
        if part.kind == "untold":
            return False
        return part.rule in names or any(
            _is_about(rule, part) and _must_allow(rule.how, part) for rule in rules.at(part.path)
        )

    return covered


def undecided(rules: Rules) -> Callable[[Found], Rule | None]:
    """Return the question which rule may cover one kind of difference, though nothing kept shows it.

    Of texts only type and length are kept, which do not tell whether they look alike.
    """
    explained = explains(rules)

    def rule_of(part: Found) -> Rule | None:
        if explained(part) or {part.control, part.candidate} - _TEXTS:
            return None
        near = (each for each in rules.at(part.path) if _is_about(each, part))
        return next((each for each in near if isinstance(each.how, SameShape)), None)

    return rule_of


def are_near(part: Found) -> bool:
    """Return whether both values are numbers or both texts, so that a gap between them counts."""
    types = {part.control, part.candidate}
    return types <= _NUMBERS or types == {"str"}


def _is_about(rule: Rule, part: Found) -> bool:
    return not rule.kinds or kind_of_part(part) in rule.kinds


def kind_of_part(part: Found) -> str:
    """Return the kind that `kinds` of a rule know; of numbers, whole and not are two types."""
    of_types = part.kind == "value" and part.control != part.candidate
    return "type" if of_types and part.path.startswith("$") else part.kind


def _must_allow(how: Comparator, part: Found) -> bool:
    match how:
        case Ignore():
            return True
        case Unordered() | KeyedBy():
            return part.kind == "order"
        case Tolerance(most):
            return are_near(part) and part.gap is not None and Decimal(repr(part.gap)) <= most
        case TimestampWithin(most_s):
            return are_near(part) and part.gap_s is not None and part.gap_s <= most_s
        case SameShape():
            # Of texts only type and length were kept, which do not tell how they look.
            return part.kind == "value" and {part.control, part.candidate} <= _NUMBERS
    return False
