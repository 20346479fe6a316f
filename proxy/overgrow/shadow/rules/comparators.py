"""The comparators: each decides whether it allows one difference at the path of its rule.

Pure. A comparator sees the kind of the difference and the likeness of the values, but never the values. A
stored difference therefore gets the same result as a fresh one. Only Ignore allows a value that one side lacks.
The narrowest comparator that explains a difference is the right one.
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
from overgrow.shadow.values.likeness import numeric_value_of
from overgrow.text import join_or

_NUMBERS = frozenset({"int", "float"})
_PIECES = re.compile(r"[1-9]\d?(?: [1-9]\d?){0,19}", re.ASCII)
# Paths of the whole response or its whole body: there are no values to compare there.
_WHOLES = frozenset({"status", "body", "bytes", "bytes[*]", "header:content-encoding"})


def has_comparable_types(part: Part) -> bool:
    """Return whether both values are numbers or both are texts. Only then a gap between them counts."""
    types = {part.control, part.candidate}
    return types <= _NUMBERS or types == {"str"}


class ProposalThreshold(NamedTuple):
    """The conditions for proposing a comparator: a number of pairs, a number of differing pairs, and a share."""

    seen: int
    different: int
    rate: float


class _Comparator:
    """The base of all comparators. `word` is the name of the comparator in a rule.

    `argument` is an example of the text after the word. `needs_values` says that the decision depends on the
    values as well as on the kind of the difference.
    """

    __slots__ = ()
    word: ClassVar[str]
    argument: ClassVar[str] = ""
    needed: ClassVar[ProposalThreshold]
    needs_values: ClassVar[bool] = True

    @classmethod
    def parse(cls, argument: str) -> Self | None:
        """Return this comparator with the argument that a rule writes; None if the argument is invalid."""
        return None if argument else cls()

    @classmethod
    def narrowest_for(cls, parts: Sequence[Part]) -> Self | None:  # noqa: ARG003
        """Return the narrowest comparator of this class that allows all these parts.

        Return None if no comparator allows them, or if the parts do not show which one would.
        """
        return None

    def why_misplaced_at(self, path: str) -> tuple[str, str] | None:
        """Return why the comparator can never allow anything at a path, and the fix.

        Return None if it can allow something there.
        """
        if path in _WHOLES:
            return f"{self} applies to values only", "Write how: ignore."
        return None


class _ArrayComparator(_Comparator):
    """A comparator of arrays, which only JSON bodies have."""

    __slots__ = ()
    needed = ProposalThreshold(30, 3, 0.01)
    needs_values = False

    def why_misplaced_at(self, path: str) -> tuple[str, str] | None:
        """Return why the comparator can never allow anything at a path, and the fix.

        Return None if it can allow something there.
        """
        if not path.startswith("$"):
            fix = "Arrays are compared in JSON only; their paths begin with $."
            return f"{self} applies to arrays only", fix
        return super().why_misplaced_at(path)


@dataclass(frozen=True, slots=True)
class Ignore(_Comparator):
    """Anything may differ here."""

    word = "ignore"
    # It hides everything, so the path must differ often. A text with two variants differs in half of the
    # pairs, in fewer if one variant is rare.
    needed = ProposalThreshold(50, 15, 0.25)
    needs_values = False

    @classmethod
    def narrowest_for(cls, parts: Sequence[Part]) -> Self:  # noqa: ARG003
        """Return the only comparator of this class, which allows every difference."""
        return cls()

    def why_misplaced_at(self, path: str) -> None:
        """Return None: the comparator works at every path."""

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return True, because this comparator allows every difference."""
        return True

    def __str__(self) -> str:
        return "ignore"


@dataclass(frozen=True, slots=True)
class Unordered(_ArrayComparator):
    """The items of an array may be in any order. Equal items are paired."""

    word = "unordered"

    @classmethod
    def narrowest_for(cls, parts: Sequence[Part]) -> Self | None:
        """Return the comparator if only the order differs."""
        return cls() if all(part.kind == "order" for part in parts) else None

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return whether only the order differs."""
        return kind == "order"

    def __str__(self) -> str:
        return "unordered"


@dataclass(frozen=True, slots=True)
class KeyedBy(_ArrayComparator):
    """The items of an array may be in any order. Items with the same value of one member are paired."""

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
class NumberTolerance(_Comparator):
    """Two numbers, or texts that are numbers, may differ by this much."""

    word = "tolerance"
    argument = "NUMBER"
    needed = ProposalThreshold(30, 5, 0.05)

    max_gap: Decimal

    @classmethod
    def parse(cls, argument: str) -> Self | None:
        """Return the comparator for a plain decimal number of at least zero."""
        number = numeric_value_of(argument)
        return cls(number) if number is not None and number >= 0 else None

    @classmethod
    def narrowest_for(cls, parts: Sequence[Part]) -> Self | None:
        """Return the comparator that allows the largest gap of the parts; None if one of the gaps is unknown."""
        gaps = [part.gap for part in parts if part.gap is not None]
        if len(gaps) < len(parts) or not all(map(has_comparable_types, parts)):
            return None
        return cls(Decimal(repr(max(gaps))))

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return whether both values are numbers and close enough."""
        gap = likeness.gap
        return gap is not None and Decimal(repr(gap)) <= self.max_gap

    def __str__(self) -> str:
        return f"tolerance {self.max_gap}"


@dataclass(frozen=True, slots=True)
class TimestampWithin(_Comparator):
    """Two timestamps in the same notation may be this many seconds apart."""

    word = "timestamp_within"
    argument = "5s"
    # A clock in whole seconds differs rarely between two quick responses, and the comparator is narrow.
    needed = ProposalThreshold(30, 3, 0.001)

    max_s: int

    @classmethod
    def parse(cls, argument: str) -> Self | None:
        """Return the comparator for a duration in seconds, minutes or hours of at most six digits."""
        max_s = parse_duration_s(argument, "s", "m", "h") if len(argument) <= 7 else None
        return None if max_s is None else cls(int(max_s))

    @classmethod
    def narrowest_for(cls, parts: Sequence[Part]) -> Self | None:
        """Return the comparator with the smallest bound in ROUND_BOUNDS_S that covers all gaps.

        Return None if a gap is unknown.
        """
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
        """Return whether both values are timestamps in one notation and close enough."""
        return likeness.gap_s is not None and likeness.gap_s <= self.max_s

    def __str__(self) -> str:
        return f"timestamp_within {write_duration(self.max_s)}"


@dataclass(frozen=True, slots=True)
class SameShape(_Comparator):
    """Values that look alike may differ: uuids, tokens of one length, texts that differ only in numbers.

    The uuids, tokens and numbers in a text are its pieces. `pieces` are the numbers, from 1, of those that may
    differ; empty means all pieces.
    """

    word = "same_shape"
    needed = ProposalThreshold(30, 5, 0.05)

    pieces: tuple[int, ...] = ()

    @classmethod
    def parse(cls, argument: str) -> Self | None:
        """Return the comparator for pieces in the notation of a rule: `2` or `2 5`.

        A missing argument means all pieces.
        """
        if not argument:
            return cls()
        if not _PIECES.fullmatch(argument):
            return None
        numbers = [int(each) for each in argument.split()]
        return cls(tuple(numbers)) if numbers == sorted(set(numbers)) else None

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return whether the values have the same shape and differ only in pieces that `pieces` lists."""
        if not (self.pieces and likeness.alike):
            return likeness.alike
        return likeness.pieces is not None and {*likeness.pieces} <= {*self.pieces}

    def __str__(self) -> str:
        return " ".join(["same_shape", *map(str, self.pieces)])


Comparator = Ignore | Unordered | KeyedBy | NumberTolerance | TimestampWithin | SameShape
# In the order in which messages list them. The last one that allows a difference is the narrowest.
COMPARATORS: tuple[type[Comparator], ...] = (
    Ignore,
    Unordered,
    SameShape,
    KeyedBy,
    NumberTolerance,
    TimestampWithin,
)
_BY_WORD: Mapping[object, type[Comparator]] = MappingProxyType(
    {each.word: each for each in COMPARATORS}
)


def parse_comparator(word: str, argument: str = "") -> Comparator | None:
    """Return the comparator with a word and an argument; None if there is no such comparator."""
    found = _BY_WORD.get(word)
    return found.parse(argument) if found is not None else None


def describe_comparators(form: str) -> str:
    """Return all comparators as a list for people. `form` shows how a word and its argument are written."""
    return join_or(
        [
            form.format(word=each.word, argument=each.argument) if each.argument else each.word
            for each in COMPARATORS
        ]
    )


def narrowest_comparator(parts: Sequence[Part]) -> Comparator:
    """Return the narrowest comparator that allows all differences found at one path."""
    found = (each.narrowest_for(parts) for each in reversed(COMPARATORS))
    return next(each for each in found if each is not None)
