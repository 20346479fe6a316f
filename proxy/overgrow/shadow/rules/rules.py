"""The rules of one route: which differences a team has agreed to, at exactly which paths.

Pure; the file is read in shadow/rules/file.py. A rule covers differences at its own path and nowhere else:
`$.items[*].id` says nothing about `$.items[*].idempotency_key` nor about `$.items[*].id.inner`.
Rules judge answers; they never affect routing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar

from overgrow.shadow.rules.comparators import Comparator, KeyedBy, Unordered
from overgrow.shadow.values.difference import KEYED_STEP, NAMED_STEP, UNLIKE, Likeness, shape_of
from overgrow.shadow.values.kinds import RuleKind, is_kind_covered, rule_kind_of
from overgrow.shadow.values.path_syntax import TREE_PREFIXES

# An item of an array; a key in quotes may hold what looks like one.
_ITEM = re.compile(rf'"(?:[^"\\]|\\.)*"|(\[(?:\d+|\*)\]|{KEYED_STEP})')


@dataclass(frozen=True, slots=True)
class Rule:
    """One agreed difference. It applies up to and including the day it expires.

    `kinds` are the only kinds of differences it covers; empty: all that `how` allows. One of `everywhere` is asked
    only where no rule of the route itself is about the place and the kind.
    """

    path: str
    how: Comparator
    author: str
    reason: str
    expires: date
    line: int = 0
    kinds: tuple[RuleKind, ...] = ()
    everywhere: bool = field(default=False, compare=False, repr=False)

    @property
    def words(self) -> str:
        """What is covered, in words: `same_shape (value)`."""
        return f"{self.how} ({', '.join(self.kinds)})" if self.kinds else str(self.how)

    @property
    def name(self) -> str:
        """What a Difference says it is covered by."""
        return f"{self.path} {self.words}"

    @property
    def needs_values(self) -> bool:
        """Whether it takes more than the kind of a difference to know if the rule allows it."""
        return bool(self.kinds) or self.how.needs_values

    @property
    def title(self) -> str:
        """What this is, for messages."""
        return f"the rule for {self.path}"

    def applies(self, today: date) -> bool:
        """Return whether the rule has not expired."""
        return today <= self.expires

    def is_at(self, path: str) -> bool:
        """Return whether the rule is about this path; `[*]` stands for any index or name."""
        return self.path == path or _path_pattern(self.path).fullmatch(path) is not None

    def is_about(self, kind: str) -> bool:
        """Return whether the rule covers differences of a kind at all."""
        return not self.kinds or is_kind_covered(kind, self.kinds)

    def allows(self, kind: str, likeness: Likeness) -> bool:
        """Return whether the rule allows a difference at its path."""
        return self.is_about(rule_kind_of(kind, likeness)) and self.how.allows(kind, likeness)


@dataclass(frozen=True, slots=True)
class ShownPath:
    """A JSON path whose values may be stored as they are, up to and including the day it expires."""

    path: str
    author: str
    reason: str
    expires: date
    line: int = 0

    @property
    def title(self) -> str:
        """What this is, for messages."""
        return f"the leave to show {self.path}"

    def applies(self, today: date) -> bool:
        """Return whether it has not expired."""
        return today <= self.expires


def _arrays_above(path: str) -> Iterator[str]:
    """Yield the paths of the arrays that a path passes through."""
    return (path[: at.start()] for at in _ITEM.finditer(path) if at[1])


# An only child has no index in HTML, so that [*] stands for none as well.
_ANY_ELEMENT = rf"(?:\[(?:\d+|\*)\]|{NAMED_STEP})?"
_ANY_ITEM = rf"(?:\[(?:\d+|\*)\]|{KEYED_STEP})"


@lru_cache(maxsize=1024)
def _path_pattern(path: str) -> re.Pattern[str]:
    index = _ANY_ELEMENT if path.startswith(TREE_PREFIXES) else _ANY_ITEM
    return re.compile(re.escape(path).replace(re.escape("[*]"), index))


def _index_key(path: str) -> str:
    """Return what a rule and each path it is about have in common."""
    shape = shape_of(path)
    if path.startswith(TREE_PREFIXES):
        return re.sub(rf"{NAMED_STEP}|\[\*\]", "", shape)
    return re.sub(KEYED_STEP, "[*]", shape) if "=" in shape else shape


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules that apply, in file order; the first that allows a difference covers it.

    `show` are the paths whose values may be kept in the clear. They cover nothing. `is_broken`: they stand in a
    file that nobody understands, which may forbid what rules for every route allow.
    """

    rules: tuple[Rule, ...] = ()
    show: frozenset[str] = frozenset()
    is_broken: bool = field(default=False, compare=False)
    index: Mapping[str, tuple[Rule, ...]] = field(init=False, repr=False, compare=False)
    has_pairings: bool = field(init=False, repr=False, compare=False)

    none: ClassVar[Rules]

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", MappingProxyType(_index_rules(self.rules)))
        pairings = any(isinstance(rule.how, Unordered | KeyedBy) for rule in self.rules)
        object.__setattr__(self, "has_pairings", pairings)

    def with_shared_rules(self, other: Rules) -> Rules:
        """Return these rules and then others, which are asked where these say nothing; none of broken ones."""
        if self.is_broken:
            return self
        shared = (replace(rule, everywhere=True) for rule in other.rules)
        return Rules((*self.rules, *shared), self.show | other.show) if other else self

    def __bool__(self) -> bool:
        """Return whether there is anything to be asked."""
        return bool(self.rules or self.show)

    def rules_at(self, path: str) -> list[Rule]:
        """Return the rules about a path: those of the route first, and of these those that name it exactly."""
        near = self.index.get(_index_key(path)) if self.index else None
        if near is None:
            return []
        found = [rule for rule in near if rule.is_at(path)]
        if len(found) < 2:  # as nearly always
            return found
        return sorted(found, key=lambda rule: (rule.everywhere, rule.path != path))

    def find_covering_rule(
        self, kind: str, paths: tuple[str, ...], likeness: Callable[[], Likeness]
    ) -> Rule | None:
        """Return the rule that allows a difference at a place, or None.

        `paths` are those by which rules may know it; the likeness is asked only where there is a rule.
        """
        near = [rule for path in dict.fromkeys(paths) for rule in self.rules_at(path)]
        if not near:
            return None
        needs_values = any(rule.needs_values for rule in near)
        values = likeness() if needs_values else UNLIKE
        if any(rule.everywhere for rule in near):
            near = _deciding_rules(near, rule_kind_of(kind, values))
        return next((rule for rule in near if rule.allows(kind, values)), None)

    def pairing_at(self, path: str) -> Unordered | KeyedBy | None:
        """Return how the items of the array at a path are paired; None: in order."""
        rule = self._pairing_rule(path)
        return rule.how if rule is not None and isinstance(rule.how, Unordered | KeyedBy) else None

    def rules_about(self, path: str) -> tuple[Rule, ...]:
        """Return the rules about a path or, whatever the indexes, another of its shape."""
        return self.index.get(_index_key(path), ())

    def pairing_rules_above(self, path: str) -> list[Rule]:
        """Return the rules that pair the items of the arrays which a path passes through."""
        if not self.has_pairings:
            return []
        found = (self._pairing_rule(array) for array in _arrays_above(path))
        return [rule for rule in found if rule is not None]

    def pairing_rules_about(self, shape: str) -> list[Rule]:
        """Return the rules that pair items of any array which a path of this shape passes through."""
        if not self.has_pairings:
            return []
        near = (rule for array in _arrays_above(shape) for rule in self.rules_about(array))
        return [rule for rule in near if isinstance(rule.how, Unordered | KeyedBy)]

    def _pairing_rule(self, path: str) -> Rule | None:
        found = (rule for rule in self.rules_at(path) if isinstance(rule.how, Unordered | KeyedBy))
        return next(found, None)


def _deciding_rules(near: list[Rule], kind: str) -> list[Rule]:
    """Return the rules that a difference of a kind is asked of: the route's own, if any is about it."""
    about = [rule for rule in near if rule.is_about(kind)]
    return [rule for rule in about if not rule.everywhere] or about


def _index_rules(rules: Iterable[Rule]) -> dict[str, tuple[Rule, ...]]:
    index: dict[str, tuple[Rule, ...]] = {}
    for rule in rules:
        key = _index_key(rule.path)
        index[key] = (*index.get(key, ()), rule)
    return index


Rules.none = Rules()
