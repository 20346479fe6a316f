"""Counts how the value at one path varies between two responses of the same side, over many pairs.

Pure. Figures can be added up in any order. They are stored, so that they must not contain data: examples hold
masked values (letters as x, digits as 9). If a path has indexes, each of its places is also counted by itself,
in the pairs that differ at one of these places. Only this count shows that a sibling never differs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_UP, Context, Decimal
from typing import Any, NamedTuple

from overgrow.durations import ROUND_BOUNDS_S
from overgrow.shadow.compare.findings import Finding
from overgrow.shadow.compare.json_bodies import (
    IDENTITIES,
    possible_identifying_keys,
    unique_member_values,
)
from overgrow.shadow.values.difference import render_json_value
from overgrow.shadow.values.kinds import rule_kind_of
from overgrow.shadow.values.likeness import (
    differing_piece_numbers,
    gap_between,
    have_same_value_shape,
    likeness_of,
    numeric_value_of,
    seconds_between,
    variable_pieces_of,
)

MAX_EXAMPLES = 5
MAX_MASKED = 80  # characters of a masked value
MAX_NOISY, MAX_QUIET = 40, 20  # how many places of one path are counted separately
_ROUND_UP = Context(prec=1, rounding=ROUND_UP, traps=[])


class NoiseExample(NamedTuple):
    """One pair that differed: its id, and its two masked values."""

    pair: str
    control: str
    again: str


@dataclass(frozen=True, slots=True)
class PathVariation:
    """How one path varies over many pairs.

    `explained` maps a reason to the number of pairs in which the reason holds for every difference at the path.
    The reasons `order`, `number`, `shape` and `timestamp N` (the two times are at most N seconds apart) may
    make a difference harmless. `piece N` says that piece N of a text differed, `of N` that the text has N
    pieces, and `plain` that it has no pieces. A piece is a number, UUID, token or nonce in a text. `keys` are
    the members that identified the items of reordered arrays; None if no array was reordered. `kinds` maps a
    kind to the number of pairs with a difference of this kind. `places` holds the same figures for each single
    place, of the pairs that differ somewhere at the path. `migrated_seen` counts the pairs in which the two
    responses of legacy, or those of migrated, differ here. `migrated_different` counts the pairs in which those
    of migrated differ.
    """

    seen: int = 0
    different: int = 0
    explained: Mapping[str, int] = field(default_factory=dict)
    max_gap: Decimal = Decimal(0)
    max_share: Decimal = Decimal(0)  # the gap relative to the larger number
    keys: tuple[str, ...] | None = None
    examples: tuple[NoiseExample, ...] = ()
    kinds: Mapping[str, int] = field(default_factory=dict)
    places: Mapping[str, PathVariation] = field(default_factory=dict)
    migrated_seen: int = 0
    migrated_different: int = 0

    def __add__(self, other: PathVariation) -> PathVariation:
        return PathVariation(
            self.seen + other.seen,
            self.different + other.different,
            _sum_counts(self.explained, other.explained),
            max(self.max_gap, other.max_gap),
            max(self.max_share, other.max_share),
            _common_identifying_keys(self.keys, other.keys),
            tuple(sorted({*self.examples, *other.examples})[:MAX_EXAMPLES]),
            _sum_counts(self.kinds, other.kinds),
            limit_number_of_places(_sum_variations_by_place(self.places, other.places)),
            self.migrated_seen + other.migrated_seen,
            self.migrated_different + other.migrated_different,
        )

    @property
    def has_never_differed(self) -> bool:
        """Whether all pairs were equal here, on both sides."""
        return not (self.different or self.migrated_seen)

    @property
    def has_only_plain_text(self) -> bool:
        """Whether the text never contained a part that may vary, such as a UUID, a token or a number."""
        return 0 < self.explained.get("plain", 0) == self.seen

    def as_json(self) -> Any:
        """Return the figures as plain JSON values.

        If a path never differed, the result is the number of pairs seen. It is negative if
        `has_only_plain_text` is True.
        """
        if self.has_never_differed:
            return -self.seen if self.has_only_plain_text else self.seen
        payload = {
            "seen": self.seen,
            "different": self.different,
            "explained": dict(self.explained),
            "most_gap": str(self.max_gap),
            "most_share": str(self.max_share),
            "keys": None if self.keys is None else list(self.keys),
            "examples": [list(each) for each in self.examples],
            "kinds": dict(self.kinds),
        }
        if self.places:
            payload["places"] = {place: each.as_json() for place, each in self.places.items()}
        if self.migrated_seen:
            payload["migrated"] = [self.migrated_seen, self.migrated_different]
        return payload

    @classmethod
    def from_json(cls, stored: Any) -> PathVariation:
        """Return the figures that `as_json` of this or an earlier version turned into JSON."""
        if isinstance(stored, int):
            return cls(stored) if stored >= 0 else cls(-stored, explained={"plain": -stored})
        places = {place: cls.from_json(each) for place, each in stored.get("places", {}).items()}
        return cls(
            stored["seen"],
            stored["different"],
            stored["explained"],
            Decimal(stored["most_gap"]),
            Decimal(stored["most_share"]),
            None if stored["keys"] is None else tuple(stored["keys"]),
            tuple(NoiseExample(*each) for each in stored["examples"]),
            stored.get("kinds", {}),
            places,
            *stored.get("migrated", (0, 0)),
        )


_PLAIN = PathVariation(1, explained={"plain": 1})


def _sum_counts(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted((Counter(one) + Counter(other)).items()))


def _sum_variations_by_place(
    one: Mapping[str, PathVariation], other: Mapping[str, PathVariation]
) -> dict[str, PathVariation]:
    merged = dict(one)
    for place, variation in other.items():
        merged[place] = merged[place] + variation if place in merged else variation
    return merged


def limit_number_of_places(places: Mapping[str, PathVariation]) -> dict[str, PathVariation]:
    """Return the places, sorted: at most MAX_NOISY that differ, and at most MAX_QUIET that do not."""
    noisy = [place for place, each in places.items() if each.different]
    quiet = [place for place, each in places.items() if not each.different]
    noisy.sort(key=lambda place: (-places[place].different, place))
    quiet.sort(key=lambda place: (places[place].has_only_plain_text, -places[place].seen, place))
    return {place: places[place] for place in sorted(noisy[:MAX_NOISY] + quiet[:MAX_QUIET])}


def _common_identifying_keys(
    first: tuple[str, ...] | None, second: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    if first is None or second is None:
        return second if first is None else first
    return tuple(key for key in first if key in second)


def build_variation(pair: str, findings: list[Finding]) -> PathVariation:
    """Return the figures of one pair from its findings at one path."""
    reasons = set.intersection(*(harmless_reasons(each) for each in findings))
    bounds = [_timestamp_bound_s(each) for each in findings]
    if None not in bounds:
        reasons.add(f"timestamp {max(each for each in bounds if each is not None)}")
    reasons |= _differing_piece_reasons(findings)
    gaps = [_absolute_and_relative_gap(each) for each in findings]
    control, again = findings[0].control, findings[0].candidate
    kinds = {
        rule_kind_of(each.kind, likeness_of(each.control, each.candidate)) for each in findings
    }
    return PathVariation(
        1,
        1,
        dict.fromkeys(sorted(reasons), 1),
        max(gap for gap, _ in gaps),
        max(share for _, share in gaps),
        _identifying_keys(control, again, reasons),
        (NoiseExample(pair, mask_value(control), mask_value(again)),),
        dict.fromkeys(sorted(kinds), 1),
    )


class PlacesPresent(NamedTuple):
    """The places of one path shape in the control.

    `plain` are the places whose text has no part that may vary.
    """

    places: list[str]
    plain: set[str]


def add_variation_of_places(
    pair: str, variation: PathVariation, findings: list[Finding], present: PlacesPresent
) -> PathVariation:
    """Return the figures of one pair, including the figures of each place."""
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.path_by_names, []).append(finding)
    places = {
        place: _PLAIN if place in present.plain else PathVariation(1) for place in present.places
    }
    places |= {place: build_variation(pair, own) for place, own in found.items()}
    return replace(variation, places=limit_number_of_places(places))


def harmless_reasons(finding: Finding) -> set[str]:
    """Return the reasons, except those of time, for which the difference of two values may be harmless."""
    control, again = finding.control, finding.candidate
    reasons = set()
    if finding.kind == "order" and isinstance(control, list):
        reasons.add("order")
    if gap_between(control, again) is not None:
        reasons.add("number")
    if have_same_value_shape(control, again):
        reasons.add("shape")
    return reasons


def _differing_piece_reasons(findings: list[Finding]) -> set[str]:
    """Return the reasons `piece N` for each piece that differs, and `of N` for the number of pieces.

    The result is empty if the two texts have different numbers of pieces, or if one of them is too long.
    """
    found = [differing_piece_numbers(each.control, each.candidate) for each in findings]
    if None in found:  # a text is too long to have a shape
        return set()
    counts = {len(variable_pieces_of(str(each.control))) for each in findings}
    if len(counts) != 1:
        return set()
    pieces = {piece for each in found if each for piece in each}
    return {f"of {counts.pop()}", *(f"piece {each}" for each in pieces)}


def _timestamp_bound_s(finding: Finding) -> int | None:
    """Return the bound in seconds that covers two timestamps.

    Return None if the values are not timestamps or too far apart.
    """
    gap_s = seconds_between(finding.control, finding.candidate)
    if gap_s is None:
        return None
    return next((bound for bound in ROUND_BOUNDS_S if 2 * gap_s <= bound), None)


def _absolute_and_relative_gap(finding: Finding) -> tuple[Decimal, Decimal]:
    """Return the gap between two numbers in two forms: absolute, and relative to the larger number."""
    gap = gap_between(finding.control, finding.candidate)
    if gap is None:
        return Decimal(0), Decimal(0)
    greatest = _greatest_magnitude(finding.control, finding.candidate)
    return gap, min(_ROUND_UP.divide(gap, greatest), Decimal(1)) if greatest else Decimal(0)


def _greatest_magnitude(one: object, other: object) -> Decimal:
    numbers = (numeric_value_of(each) for each in (one, other))
    return max((abs(each) for each in numbers if each is not None), default=Decimal(0))


def _identifying_keys(control: object, again: object, reasons: set[str]) -> tuple[str, ...] | None:
    if not ("order" in reasons and isinstance(control, list) and isinstance(again, list)):
        return None
    names = (*IDENTITIES, *possible_identifying_keys(control))
    pairs = (
        (key, unique_member_values(control, key), unique_member_values(again, key)) for key in names
    )
    return tuple(
        key for key, one, two in pairs if one and two and (key in IDENTITIES or {*one} == {*two})
    )


def mask_value(value: object) -> str:
    """Return a value with its letters as x and its digits as 9."""
    shown = value if isinstance(value, str) else render_json_value(value)
    if isinstance(value, list | dict):
        return shown
    text = re.sub(r"[^\W\d_]", "x", re.sub(r"\d", "9", shown[:MAX_MASKED]))
    return re.sub(r"[^ -~]", "?", text)
