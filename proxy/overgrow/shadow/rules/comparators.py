"""What a rule allows: a small family of comparators, each a question about one difference.

Pure. A comparator is asked only about the path its rule names, and answers whether the difference
found there is one that it allows. It sees the kind of the difference and the likeness of the values,
never the values: what is asked of the store is answered as it was on the spot. ABSENT never satisfies
more than Ignore. The narrowest one that explains a difference is the right one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from overgrow.shadow.values.difference import Likeness
from overgrow.shadow.values.likeness import number_of


@dataclass(frozen=True, slots=True)
class Ignore:
    """Anything may differ here."""

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return True."""
        return True

    def __str__(self) -> str:
        return "ignore"


@dataclass(frozen=True, slots=True)
class Unordered:
    """The items of an array may stand in any order; they are paired by what they are."""

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return whether only the order differs."""
        return kind == "order"

    def __str__(self) -> str:
        return "unordered"


@dataclass(frozen=True, slots=True)
class KeyedBy:
    """The items of an array may stand in any order; they are paired by one of their members."""

    key: str

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return whether only the order differs."""
        return kind == "order"

    def __str__(self) -> str:
        return f"keyed_by {self.key}"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Two numbers, or texts that are numbers, may lie this far apart."""

    max_gap: Decimal

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return whether both are numbers and near enough."""
        gap = likeness.gap
        return gap is not None and Decimal(repr(gap)) <= self.max_gap

    def __str__(self) -> str:
        return f"tolerance {self.max_gap}"


@dataclass(frozen=True, slots=True)
class TimestampWithin:
    """Two timestamps written in the same notation may lie this many seconds apart."""

    max_s: int

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return whether both are timestamps, written alike and near enough."""
        return likeness.gap_s is not None and likeness.gap_s <= self.max_s

    def __str__(self) -> str:
        return f"timestamp_within {span(self.max_s)}"


@dataclass(frozen=True, slots=True)
class SameShape:
    """Two values may differ that look alike: uuids, tokens of one length, texts but for numbers.

    `pieces` are the only uuids, tokens and numbers of a text that may differ, from 1; empty: all of them.
    """

    pieces: tuple[int, ...] = ()

    def allows(self, kind: str, likeness: Likeness) -> bool:  # noqa: ARG002
        """Return whether the values have the same shape, and differ in no other piece."""
        if not (self.pieces and likeness.alike):
            return likeness.alike
        return likeness.pieces is not None and {*likeness.pieces} <= {*self.pieces}

    def __str__(self) -> str:
        return " ".join(["same_shape", *map(str, self.pieces)])


_PIECES = re.compile(r"[1-9]\d?(?: [1-9]\d?){0,19}", re.ASCII)


def shape_with(pieces: str) -> SameShape | None:
    """Return the comparator for pieces as they are written, `2` or `2 5`; None for anything else."""
    if not _PIECES.fullmatch(pieces):
        return None
    numbers = [int(each) for each in pieces.split()]
    return SameShape(tuple(numbers)) if numbers == sorted(set(numbers)) else None


Comparator = Ignore | Unordered | KeyedBy | Tolerance | TimestampWithin | SameShape


def span(seconds: int) -> str:
    """Return whole seconds as a duration: `90s`, `5m`, `1h`."""
    for unit, size_s in (("h", 3600), ("m", 60)):
        if seconds and seconds % size_s == 0:
            return f"{seconds // size_s}{unit}"
    return f"{seconds}s"


def decimal_of(text: str) -> Decimal | None:
    """Return a plain non-negative decimal number; None for anything else."""
    number = number_of(text)
    return number if number is not None and number >= 0 else None
