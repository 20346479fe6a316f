"""Gives equal values equal numbers, so that comparing two trees takes linear time.

Pure. Every distinct value gets the next number, and a container gets the number of the sequence of its items' numbers
(hash consing). Two subtrees are equal if their numbers are equal. Two arrays are
permutations of each other if their lists of item numbers are.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from overgrow.shadow.values.difference import DuplicateKeyValues

MAX_DEPTH = 100
_CONTAINERS = frozenset({dict, list, DuplicateKeyValues})


class TooDeep(Exception):
    """A document is nested deeper than MAX_DEPTH."""


class ValueInterner:
    """Numbers for values. Containers are recognised by identity, so that the caller must keep them alive."""

    __slots__ = ("_known", "_seen")

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {}
        self._seen: dict[int, int] = {}

    def intern_key(self, key: Hashable) -> int:
        """Return the number of a hashable value."""
        return self._known.setdefault(key, len(self._known))

    def intern_value(self, value: object, depth: int = 0) -> int:
        """Return the number of a JSON value. If it is nested deeper than MAX_DEPTH, raise TooDeep."""
        kind = type(value)
        if kind not in _CONTAINERS:
            known = self._known  # intern_key, inlined: this runs for every value of a document
            return known.setdefault((kind, value), len(known))
        seen = self._seen.get(id(value))
        if seen is None:
            if depth > MAX_DEPTH:
                raise TooDeep
            number = self._seen[id(value)] = self.intern_key(
                self._hashable_content(value, depth + 1)
            )
            return number
        return seen

    def _hashable_content(self, value: Any, depth: int) -> Hashable:
        if isinstance(value, dict):
            return "object", frozenset(
                [(key, self.intern_value(each, depth)) for key, each in value.items()]
            )
        kind = "repeated" if isinstance(value, DuplicateKeyValues) else "array"
        return kind, tuple([self.intern_value(each, depth) for each in value])


class Pairing(NamedTuple):
    """Which items of two sequences belong together, and which have no partner. Items are given by their positions.

    `reordered` says that equal items are in another order.
    """

    pairs: list[tuple[int, int]]
    missing: list[int]
    extra: list[int]
    reordered: bool = False


def pair_by_position(control: Sequence[int], candidate: Sequence[int]) -> Pairing:
    """Pair by position from the left. If the lengths differ, first pair the equal items at the right end."""
    short = min(len(control), len(candidate))
    left = 0
    while left < short and control[left] == candidate[left]:
        left += 1
    right = 0
    if len(control) != len(candidate):
        while right < short - left and control[-1 - right] == candidate[-1 - right]:
            right += 1
    stop = short - right
    pairs = [(at, at) for at in range(stop)]
    pairs += [(len(control) - at, len(candidate) - at) for at in range(right, 0, -1)]
    missing, extra = (list(range(stop, len(each) - right)) for each in (control, candidate))
    return Pairing(pairs, missing, extra)


def pair_equal(control: Sequence[int], candidate: Sequence[int]) -> Pairing:
    """Pair equal items at any position, in order of appearance. Items without an equal partner remain unpaired."""
    places: dict[int, deque[int]] = defaultdict(deque)
    for at, number in enumerate(candidate):
        places[number].append(at)
    pairs, missing = [], []
    for at, number in enumerate(control):
        if places.get(number):
            pairs.append((at, places[number].popleft()))
        else:
            missing.append(at)
    extra = sorted(at for left in places.values() for at in left)
    return Pairing(pairs, missing, extra, any(one[1] > next_[1] for one, next_ in pairwise(pairs)))


def pair_leftovers(found: Pairing) -> Pairing:
    """Pair the remaining items with each other, in order: such a pair counts as an item that changed."""
    both = min(len(found.missing), len(found.extra))
    pairs = sorted(found.pairs + list(zip(found.missing[:both], found.extra[:both], strict=True)))
    return Pairing(pairs, found.missing[both:], found.extra[both:], found.reordered)


def are_permutations(control: Sequence[int], candidate: Sequence[int]) -> bool:
    """Return whether two different sequences contain the same items."""
    return len(control) == len(candidate) and Counter(control) == Counter(candidate)
