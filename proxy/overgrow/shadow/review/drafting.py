"""Drafts the rules that would cover stored differences. Pure.

For each place at which pairs differ, this module drafts the narrowest rule that covers the differences found
there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from overgrow.evidence import SEVERAL, SHORT_ID, Part
from overgrow.shadow.review.judged_groups import JudgedGroup
from overgrow.shadow.review.refusal import ReviewRefused
from overgrow.shadow.rules.comparators import (
    Comparator,
    Ignore,
    describe_comparators,
    narrowest_comparator,
    parse_comparator,
)
from overgrow.shadow.rules.rejudge import rule_kind_of_part
from overgrow.shadow.rules.rules import Rule
from overgrow.shadow.values.kinds import RuleKind
from overgrow.shadow.values.path_syntax import reason_not_a_path

MAX_DAYS = 365  # from today to the day on which a new rule expires
DEFAULT_DAYS = 30


class Terms(NamedTuple):
    """The author of a rule, the reason, and the day on which it expires."""

    author: str
    reason: str
    expires: date

    @classmethod
    def nobody(cls) -> Terms:
        """Return placeholder terms for a rule that is only shown."""
        return cls("-", "-", date.max)


NOBODY = Terms.nobody()


@dataclass(frozen=True, slots=True)
class RuleWish:
    """The wishes of a person for a new rule. A wish of None leaves the choice to the differences that were found.

    `path` chooses one of the open differences, `how` the comparator, and `kinds` the kinds that the rule covers
    (empty: all that the comparator allows). `everywhere` makes the rule apply to every route.
    """

    path: str | None = None
    how: Comparator | None = None
    kinds: tuple[RuleKind, ...] | None = None
    everywhere: bool = False
    terms: Terms = NOBODY


NO_WISH = RuleWish()
HOW = describe_comparators("'{word} {argument}'")


def comparator(text: str) -> Comparator | None:
    """Parse a comparator in the notation of a rules file; return None for any other text."""
    word, _, argument = text.strip().partition(" ")
    return parse_comparator(word, argument.strip())


def draft_rules(parts: Iterable[Part], wish: RuleWish = NO_WISH) -> list[Rule]:
    """Return a rule for each place: the narrowest rule that covers all differences found there, and only their kinds.

    If a path is partly hidden or cut off, it gets no rule.
    """
    by_path: dict[str, list[Part]] = {}
    for part in parts:
        by_path.setdefault(wish.path or place_of(part), []).append(part)
    return [
        _draft_rule(path, found, wish)
        for path, found in by_path.items()
        if found[0].kind != "untold" and not reason_not_a_path(path)
    ]


def draft_rules_for(judged: Sequence[JudgedGroup], wish: RuleWish) -> list[Rule]:
    """Return the rules for the open differences of a group. If none is open, or none is at the wished path, refuse."""
    wanted = draft_rules(_chosen_parts(judged, wish.path), wish)
    if not wanted:
        what = "No rule can be written for it: part of its path is hidden or cut off."
        raise ReviewRefused("no-rule", what, "Fix the difference, or write the rule by hand.")
    return wanted


def _chosen_parts(judged: Sequence[JudgedGroup], path: str | None) -> list[Part]:
    parts = [part for each in judged for part in each.open_parts]
    chosen = [part for part in parts if path in (None, part.path, part.place)]
    if chosen:
        return chosen
    key = judged[0].group.key[:SHORT_ID]
    if not parts:
        what = f"{key} is already accepted: rules cover all its differences."
        raise ReviewRefused("no-rule", what, "Nothing was changed.")
    paths = ", ".join(sorted({part.path for part in parts}))
    what = f"No open difference of {key} is at {path}."
    raise ReviewRefused("no-rule", what, f"Open paths: {paths}.")


def place_of(part: Part) -> str:
    """Return the path of the place at which all pairs differ.

    If there are several places, return the path with `[*]`.
    """
    is_one = part.place not in {"", SEVERAL} and not reason_not_a_path(part.place)
    return part.place if is_one else part.path


def _draft_rule(path: str, found: Sequence[Part], wish: RuleWish) -> Rule:
    how = wish.how or narrowest_comparator(found)
    kinds: tuple[Any, ...] = tuple(sorted({rule_kind_of_part(part) for part in found}))
    if wish.kinds is not None:
        kinds = wish.kinds
    elif not isinstance(how, Ignore):  # other comparators define which kinds they cover
        kinds = ()
    return Rule(path, how, *wish.terms, kinds=kinds)


def rule_json(rule: Rule) -> dict[str, Any]:
    """Return a rule as --json prints it. `kinds` is included only if the rule names kinds."""
    payload = {"path": rule.path, "how": str(rule.how)}
    return {**payload, "kinds": list(rule.kinds)} if rule.kinds else payload
