"""The rules of one route: the differences that a team accepts, each at an exact path.

Pure; shadow/rules/file.py reads the file. A rule covers only differences at its own path: a rule for
`$.items[*].id` does not cover `$.items[*].idempotency_key` or `$.items[*].id.inner`. Rules judge responses;
they never affect routing.
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
from overgrow.shadow.values.difference import (
    KEYED_STEP,
    NAMED_STEP,
    UNLIKE,
    Likeness,
    path_shape_of,
)
from overgrow.shadow.values.kinds import RuleKind, is_kind_covered, rule_kind_of
from overgrow.shadow.values.path_syntax import TREE_PREFIXES

# An item of an array; a quoted key may contain text that looks like one.
_ITEM = re.compile(rf'"(?:[^"\\]|\\.)*"|(\[(?:\d+|\*)\]|{KEYED_STEP})')


@dataclass(frozen=True, slots=True)
class Rule:
    """One accepted difference. The rule applies up to the end of the day on which it expires.

    `kinds` are the kinds of differences that the rule covers; empty means all kinds that `how` allows. A rule
    with `everywhere` is for every route. A rule with `everywhere` is used only if the route has no rule of its
    own for the place and the kind.
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
    def comparator_and_kinds(self) -> str:
        """The comparator and the kinds of the rule as text: `same_shape (value)`."""
        return f"{self.how} ({', '.join(self.kinds)})" if self.kinds else str(self.how)

    @property
    def name(self) -> str:
        """The name by which a Difference refers to the rule."""
        return f"{self.path} {self.comparator_and_kinds}"

    @property
    def needs_values(self) -> bool:
        """Whether the decision also depends on the likeness of the values."""
        return bool(self.kinds) or self.how.needs_values

    @property
    def title(self) -> str:
        """The rule's name in messages."""
        return f"the rule for {self.path}"

    def applies(self, today: date) -> bool:
        """Return whether the rule has not expired."""
        return today <= self.expires

    def is_about_path(self, path: str) -> bool:
        """Return whether the rule is about this path. `[*]` stands for any index or name."""
        return self.path == path or _compile_path_pattern(self.path).fullmatch(path) is not None

    def is_about_kind(self, kind: str) -> bool:
        """Return whether the rule covers differences of a kind at all."""
        return not self.kinds or is_kind_covered(kind, self.kinds)

    def allows(self, kind: str, likeness: Likeness) -> bool:
        """Return whether the rule allows a difference at its path."""
        return self.is_about_kind(rule_kind_of(kind, likeness)) and self.how.allows(kind, likeness)


@dataclass(frozen=True, slots=True)
class ShownPath:
    """A JSON path whose values may be stored unchanged, up to the end of the day on which the entry expires."""

    path: str
    author: str
    reason: str
    expires: date
    line: int = 0

    @property
    def title(self) -> str:
        """The entry's name in messages."""
        return f"the permission to show {self.path}"

    def applies(self, today: date) -> bool:
        """Return whether the entry has not expired."""
        return today <= self.expires


def _array_paths_above(path: str) -> Iterator[str]:
    """Yield the paths of the arrays that a path passes through."""
    return (path[: at.start()] for at in _ITEM.finditer(path) if at[1])


# In HTML an only child has no index, so [*] also matches a step without one.
_ANY_ELEMENT = rf"(?:\[(?:\d+|\*)\]|{NAMED_STEP})?"
_ANY_ITEM = rf"(?:\[(?:\d+|\*)\]|{KEYED_STEP})"


@lru_cache(maxsize=1024)
def _compile_path_pattern(path: str) -> re.Pattern[str]:
    index = _ANY_ELEMENT if path.startswith(TREE_PREFIXES) else _ANY_ITEM
    return re.compile(re.escape(path).replace(re.escape("[*]"), index))


def _index_key(path: str) -> str:
    """Return the key of a path in the index. A rule's path and every path that the rule is about have the same key."""
    shape = path_shape_of(path)
    if path.startswith(TREE_PREFIXES):
        return re.sub(rf"{NAMED_STEP}|\[\*\]", "", shape)
    return re.sub(KEYED_STEP, "[*]", shape) if "=" in shape else shape


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules that apply, in file order. The first rule that allows a difference covers the difference.

    `show` are the paths whose values may be stored unchanged; they cover no differences. `is_broken` says that
    the file of these rules has problems. Then it is unknown whether they replace rules for every route.
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
        """Return these rules of a route, followed by `other`, the rules for every route.

        A rule for every route is used only where the route lacks a rule of its own.

        If these rules are broken, they are returned alone.
        """
        if self.is_broken:
            return self
        shared = (replace(rule, everywhere=True) for rule in other.rules)
        return Rules((*self.rules, *shared), self.show | other.show) if other else self

    def __bool__(self) -> bool:
        """Return whether there are rules or shown paths."""
        return bool(self.rules or self.show)

    def rules_at(self, path: str) -> list[Rule]:
        """Return the rules for a path: first the route's own rules, then those for every route.

        Exact paths before `[*]`.
        """
        near = self.index.get(_index_key(path)) if self.index else None
        if near is None:
            return []
        found = [rule for rule in near if rule.is_about_path(path)]
        if len(found) < 2:  # nearly always
            return found
        return sorted(found, key=lambda rule: (rule.everywhere, rule.path != path))

    def find_covering_rule(
        self, kind: str, paths: tuple[str, ...], likeness: Callable[[], Likeness]
    ) -> Rule | None:
        """Return the rule that allows a difference at a place; None if there is no such rule.

        `paths` are the paths that rules may use for the place. The likeness is computed only if a rule needs
        it.
        """
        near = [rule for path in dict.fromkeys(paths) for rule in self.rules_at(path)]
        if not near:
            return None
        needs_values = any(rule.needs_values for rule in near)
        values = likeness() if needs_values else UNLIKE
        if any(rule.everywhere for rule in near):
            near = _deciding_rules(near, rule_kind_of(kind, values))
        return next((rule for rule in near if rule.allows(kind, values)), None)

    def pairing_comparator_at(self, path: str) -> Unordered | KeyedBy | None:
        """Return the comparator by which a rule pairs the items of the array at a path.

        Return None if there is no such rule.
        """
        rule = self._find_pairing_rule_at(path)
        return rule.how if rule is not None and isinstance(rule.how, Unordered | KeyedBy) else None

    def rules_about_shape(self, path: str) -> tuple[Rule, ...]:
        """Return the rules for any path of this path's shape, whatever the indexes."""
        return self.index.get(_index_key(path), ())

    def pairing_rules_above(self, path: str) -> list[Rule]:
        """Return the rules that pair the items of arrays above a path."""
        if not self.has_pairings:
            return []
        found = (self._find_pairing_rule_at(array) for array in _array_paths_above(path))
        return [rule for rule in found if rule is not None]

    def pairing_rules_above_shape(self, shape: str) -> list[Rule]:
        """Return the rules that pair the items of arrays above any path of this shape."""
        if not self.has_pairings:
            return []
        near = (
            rule for array in _array_paths_above(shape) for rule in self.rules_about_shape(array)
        )
        return [rule for rule in near if isinstance(rule.how, Unordered | KeyedBy)]

    def _find_pairing_rule_at(self, path: str) -> Rule | None:
        found = (rule for rule in self.rules_at(path) if isinstance(rule.how, Unordered | KeyedBy))
        return next(found, None)


def _deciding_rules(near: list[Rule], kind: str) -> list[Rule]:
    """Return the rules of `near` that decide about a kind: the route's own rules, or else those for every route."""
    about = [rule for rule in near if rule.is_about_kind(kind)]
    return [rule for rule in about if not rule.everywhere] or about


def _index_rules(rules: Iterable[Rule]) -> dict[str, tuple[Rule, ...]]:
    index: dict[str, tuple[Rule, ...]] = {}
    for rule in rules:
        key = _index_key(rule.path)
        index[key] = (*index.get(key, ()), rule)
    return index


Rules.none = Rules()
