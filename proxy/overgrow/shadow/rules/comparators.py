"""What a rule allows: a small family of comparators, each a question about one difference.

Pure. A comparator is asked only about the path its rule names, and answers whether the difference
found there is one that it allows. It sees the kind of the difference and the likeness of the values,
never the values: what is asked of the store is answered as it was on the spot. ABSENT never satisfies
more than Ignore. The narrowest one that explains a difference is the right one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import ClassVar, NamedTuple, Self

from overgrow.durations import ROUND_BOUNDS_S, parse_duration_s, write_duration
from overgrow.evidence import Part
from overgrow.shadow.values.difference import Likeness
from overgrow.shadow.values.likeness import number_of
from overgrow.text import join_or

_NUMBERS = frozenset({"int", "float"})
_PIECES = re.compile(r"[1-9]\d?(?: [1-9]\d?){0,19}", re.ASCII)
# Paths of the whole answer or its whole body, at which no values stand.
_WHOLES = frozenset({"status", "body", "bytes", "bytes[*]", "header:content-encoding"})


def has_comparable_types(part: Part) -> bool:
    """Return whether both values are numbers or both texts, so that a gap between them counts."""
    types = {part.control, part.candidate}
    return types <= _NUMBERS or types == {"str"}


class Need(NamedTuple):
    """What it takes before a comparator is proposed: pairs with the path, pairs that differ, rate."""

    seen: int
    different: int
    rate: float


class _Comparator:
    """What every comparator brings besides its question; `word` is what a rule calls it.

    `argument` stands for what is written after the word; `needs_values`: the kind of a difference does not decide.
    """

    __slots__ = ()
    word: ClassVar[str]
    argument: ClassVar[str] = ""
    needed: ClassVar[Need]
    needs_values: ClassVar[bool] = True

    @classmethod
    def parse(cls, argument: str) -> Self | None:
        """Return the comparator with an argument as it is written; None where it takes no such one."""
        return None if argument else cls()

    @classmethod
    def narrowest_for(cls, parts: Sequence[Part]) -> Self | None:  # noqa: ARG003
        """Return the narrowest one that allows all of these; None where none does or nobody can tell."""
        return None

    def misplacement_at(self, path: str) -> tuple[str, str] | None:
        """Return why it can never allow anything at a path, and the fix; None if it can."""
        if path in _WHOLES:
            return f"{self} is about values", "Write how: ignore."
        return None


class _ArrayComparator(_Comparator):
    """A comparator of arrays, which only JSON has."""

    __slots__ = ()
    needed = Need(30, 3, 0.01)
    needs_values = False

    def misplacement_at(self, path: str) -> tuple[str, str] | None:
        """Return why it can never allow anything at a path, and the fix; None if it can."""
        if not path.startswith("$"):
            fix = "Arrays are compared in JSON only; their paths begin with $."
            return f"{self} is about arrays", fix
        return super().misplacement_at(path)


@dataclass(frozen=True, slots=True)
class Ignore(_Comparator):
    """Anything may differ here."""

    word = "ignore"
    # It hides everything, so that it takes a path that differs as a rule. A text of two variants differs
    # in half of the pairs, in fewer if one of them is rare.
    needed = Need(50, 15, 0.25)
    needs_values = False

    @classmethod
    def narrowest_for(cls, parts: Sequence[Part]) -> Self:  # noqa: ARG003
        """Return the one there is: it allows everything."""
        return cls()

    def misplacement_at(self, path: str) -> None:
        """Return None: it is right everywhere."""

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return True."""
        return True

    def __str__(self) -> str:
        return "ignore"


@dataclass(frozen=True, slots=True)
class Unordered(_ArrayComparator):
    """The items of an array may stand in any order; they are paired by what they are."""

    word = "unordered"

    @classmethod
    def narrowest_for(cls, parts: Sequence[Part]) -> Self | None:
        """Return it if only the order differs."""
        return cls() if all(part.kind == "order" for part in parts) else None

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return whether only the order differs."""
        return kind == "order"

    def __str__(self) -> str:
        return "unordered"


@dataclass(frozen=True, slots=True)
class KeyedBy(_ArrayComparator):
    """The items of an array may stand in any order; they are paired by one of their members."""

    word = "keyed_by"
    argument = "NAME"

    key: str

    @classmethod
    def parse(cls, argument: str) -> Self | None:
        """Return the comparator for the name of a member."""
        return cls(argument) if argument else None

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return whether only the order differs."""
        return kind == "order"

    def __str__(self) -> str:
        return f"keyed_by {self.key}"


@dataclass(frozen=True, slots=True)
class Tolerance(_Comparator):
    """Two numbers, or texts that are numbers, may lie this far apart."""

    word = "tolerance"
    argument = "NUMBER"
    needed = Need(30, 5, 0.05)

    max_gap: Decimal

    @classmethod
    def parse(cls, argument: str) -> Self | None:
        """Return the comparator for a plain decimal number that is not negative."""
        number = number_of(argument)
        return cls(number) if number is not None and number >= 0 else None

    @classmethod
    def narrowest_for(cls, parts: Sequence[Part]) -> Self | None:
        """Return the one with the largest gap, if all of them are known."""
        gaps = [part.gap for part in parts if part.gap is not None]
        if len(gaps) < len(parts) or not all(map(has_comparable_types, parts)):
            return None
        return cls(Decimal(repr(max(gaps))))

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return whether both are numbers and near enough."""
        gap = likeness.gap
        return gap is not None and Decimal(repr(gap)) <= self.max_gap

    def __str__(self) -> str:
        return f"tolerance {self.max_gap}"


@dataclass(frozen=True, slots=True)
class TimestampWithin(_Comparator):
    """Two timestamps written in the same notation may lie this many seconds apart."""

    word = "timestamp_within"
    argument = "5s"
    # A clock in whole seconds differs rarely between two quick answers, and the comparator is narrow.
    needed = Need(30, 3, 0.001)

    max_s: int

    @classmethod
    def parse(cls, argument: str) -> Self | None:
        """Return the comparator for a duration in seconds, minutes or hours of at most six digits."""
        max_s = parse_duration_s(argument, "s", "m", "h") if len(argument) <= 7 else None
        return None if max_s is None else cls(int(max_s))

    @classmethod
    def narrowest_for(cls, parts: Sequence[Part]) -> Self | None:
        """Return the one with the first round bound that holds all gaps, if all of them are known."""
        if not all(map(has_comparable_types, parts)):
            return None
        gaps_s = [part.gap_s for part in parts]
        bounds = (
            each
            for each in ROUND_BOUNDS_S
            if all(gap_s is not None and gap_s <= each for gap_s in gaps_s)
        )
        bound_s = next(bounds, None)
        return None if bound_s is None else cls(bound_s)

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return whether both are timestamps, written alike and near enough."""
        return likeness.gap_s is not None and likeness.gap_s <= self.max_s

    def __str__(self) -> str:
        return f"timestamp_within {write_duration(self.max_s)}"


@dataclass(frozen=True, slots=True)
class SameShape(_Comparator):
    """Two values may differ that look alike: uuids, tokens of one length, texts but for numbers.

    `pieces` are the only uuids, tokens and numbers of a text that may differ, from 1; empty: all of them.
    """

    word = "same_shape"
    needed = Need(30, 5, 0.05)

    pieces: tuple[int, ...] = ()

    @classmethod
    def parse(cls, argument: str) -> Self | None:
        """Return the comparator for pieces as they are written, `2` or `2 5`, or for all of them."""
        if not argument:
            return cls()
        if not _PIECES.fullmatch(argument):
            return None
        numbers = [int(each) for each in argument.split()]
        return cls(tuple(numbers)) if numbers == sorted(set(numbers)) else None

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return whether the values have the same shape, and differ in no other piece."""
        if not (self.pieces and likeness.alike):
            return likeness.alike
        return likeness.pieces is not None and {*likeness.pieces} <= {*self.pieces}

    def __str__(self) -> str:
        return " ".join(["same_shape", *map(str, self.pieces)])


Comparator = Ignore | Unordered | KeyedBy | Tolerance | TimestampWithin | SameShape
# As messages list them. The last one that allows something is the narrowest.
COMPARATORS: tuple[type[Comparator], ...] = (
    Ignore,
    Unordered,
    SameShape,
    KeyedBy,
    Tolerance,
    TimestampWithin,
)
_BY_WORD: Mapping[object, type[Comparator]] = MappingProxyType(
    {each.word: each for each in COMPARATORS}
)


def parse_comparator(word: str, argument: str = "") -> Comparator | None:
    """Return the comparator of a word with its argument; None where there is no such one."""
    found = _BY_WORD.get(word)
    return found.parse(argument) if found is not None else None


def usage_of_comparators(form: str) -> str:
    """Return all comparators as a choice; `form` is how one with an argument is written: `{word}: {argument}`."""
    return join_or(
        [
            form.format(word=each.word, argument=each.argument) if each.argument else each.word
            for each in COMPARATORS
        ]
    )


def narrowest_comparator(parts: Sequence[Part]) -> Comparator:
    """Return the narrowest comparator that allows all that was found at one path."""
    found = (each.narrowest_for(parts) for each in reversed(COMPARATORS))
    return next(each for each in found if each is not None)
