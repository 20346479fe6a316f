"""Compares two JSON documents by path.

Pure. Objects are compared by key, in any order. Arrays are compared by position. If a rule pairs the items of
an array, or the items have equal `id`s in another order, the pairs are compared instead. 1 and 1.0 have
different types, null differs from missing, and duplicate keys are reported. Numbers are read exactly.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from overgrow.shadow.compare.findings import Findings
from overgrow.shadow.compare.pairing import (
    Pairing,
    TooDeep,
    ValueInterner,
    are_permutations,
    pair_by_position,
    pair_equal,
    pair_leftovers,
)
from overgrow.shadow.rules.comparators import Comparator, KeyedBy, Unordered
from overgrow.shadow.values.difference import (
    ABSENT,
    DuplicateKeyValues,
    Kind,
    NotANumber,
    json_type_of,
    member_path,
    path_shape_of,
)

IDENTITIES = ("id", "uuid", "key", "slug", "sku", "code", "name")  # members that identify items
_KEY_TYPES = frozenset({int, str})
MAX_LABELS = 8  # other members that may identify items
MAX_VALUES = 30_000  # of a document; a larger one is compared as text
_LONGEST_INT = 1000  # digits; Python refuses to parse much longer ones


class NotJson(Exception):
    """The text is not valid JSON, or is nested too deep."""


def parse_json(text: str) -> object:
    """Return the value of a JSON text. Raise NotJson if the text is invalid or has more than MAX_VALUES values."""
    if sum(map(text.count, ",[{")) > MAX_VALUES:
        raise NotJson
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise NotJson from error


def _build_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        values: dict[str, list[object]] = {}
        for key, value in pairs:
            values.setdefault(key, []).append(value)
        return {
            key: each[0] if len(each) == 1 else DuplicateKeyValues(each)
            for key, each in values.items()
        }
    return found


def _parse_integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _LONGEST_INT else Decimal(text)


def _parse_decimal(text: str) -> Decimal | NotANumber:
    if len(text) > _LONGEST_INT:
        return NotANumber(text)  # reported as it is written
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits
        return NotANumber(text)
    return number if number.is_finite() else NotANumber(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object,
    parse_int=_parse_integer,
    parse_float=_parse_decimal,
    parse_constant=NotANumber,
)


def compare_json(control: object, candidate: object, findings: Findings) -> None:
    """Report where two documents differ. If one is nested too deep, raise NotJson."""
    interner = ValueInterner()
    try:
        equal = interner.intern_value(control) == interner.intern_value(candidate)
    except TooDeep as error:
        raise NotJson from error
    if not equal:
        _JsonComparer(findings, interner).compare_values("$", control, candidate)


@dataclass(slots=True)
class _JsonComparer:
    """Walks both documents at once."""

    findings: Findings
    interner: ValueInterner
    numbers_by_shape: dict[tuple[int, str], int] = field(default_factory=dict)
    comparators: dict[str, Comparator | None] = field(default_factory=dict)
    shapes: dict[tuple[str, str], str] = field(default_factory=dict)

    def compare_values(self, path: str, control: object, candidate: object) -> None:
        """Compare two different values at one path."""
        if isinstance(control, dict) and isinstance(candidate, dict):
            self.compare_objects(path, control, candidate)
        elif isinstance(control, list) and type(control) is type(candidate):
            self.compare_arrays(path, control, candidate)
        else:
            kind: Kind = "value" if _have_compatible_types(control, candidate) else "type"
            self.findings.add_difference(kind, path, control, candidate)

    def are_different(self, control: object, candidate: object) -> bool:
        """Return whether two values differ."""
        return self.interner.intern_value(control) != self.interner.intern_value(candidate)

    def compare_objects(
        self, path: str, control: dict[str, object], candidate: dict[str, object]
    ) -> None:
        """Compare two objects by key: first the control's keys in order, then the keys that only the candidate has."""
        for key, value in control.items():
            if key in candidate:
                if self.are_different(value, candidate[key]):
                    self.compare_values(member_path(path, key), value, candidate[key])
            else:
                self.findings.add_difference("missing", member_path(path, key), value, ABSENT)
        for key, value in candidate.items():
            if key not in control:
                self.findings.add_difference("extra", member_path(path, key), ABSENT, value)

    def compare_arrays(self, path: str, control: list[object], candidate: list[object]) -> None:
        """Pair the items, report a different order or length, and compare the pairs."""
        how = self.findings.rules.pairing_comparator_at(path)
        found = self.pair_items(path, control, candidate, how)
        if found.reordered:
            self.findings.add_difference("order", path, control, candidate)
        if isinstance(how, KeyedBy):
            self.report_unpaired(path, control, candidate, found)
        elif len(control) != len(candidate):
            self.findings.add_difference("length", path, control, candidate)
        for first, second in found.pairs:
            if self.are_different(control[first], candidate[second]):
                self.compare_values(f"{path}[{first}]", control[first], candidate[second])

    def report_unpaired(
        self, path: str, control: list[object], candidate: list[object], found: Pairing
    ) -> None:
        """Report keyed items that only one side has."""
        for at in found.missing:
            self.findings.add_difference("missing", f"{path}[{at}]", control[at], ABSENT)
        for at in found.extra:
            self.findings.add_difference("extra", f"{path}[{at}]", ABSENT, candidate[at])

    def pair_items(
        self,
        path: str,
        control: list[object],
        candidate: list[object],
        how: Unordered | KeyedBy | None,
    ) -> Pairing:
        """Return which items belong together.

        The first of these ways that applies is used: the rule `how`; equal items, if the two lists have the same
        items in another order; a member that identifies each item; the position.
        """
        if isinstance(how, KeyedBy):
            first, second = (
                unique_member_values(control, how.key),
                unique_member_values(candidate, how.key),
            )
            if first and second:
                return pair_equal(*self.intern_scalars(first, second))
        exact = [
            [self.interner.intern_value(item) for item in items] for items in (control, candidate)
        ]
        if are_permutations(*exact):
            return pair_equal(*exact)
        loose = [
            self.intern_items_without_covered_parts(path, items) for items in (control, candidate)
        ]
        if isinstance(how, Unordered):
            return pair_leftovers(_pair_equal_then_loosely_equal(exact, loose))
        keys = values_of_identifying_member(control, candidate)
        if keys and keys[0] != keys[1]:
            return pair_leftovers(pair_equal(*self.intern_scalars(*keys)))
        return (
            pair_equal(*loose)
            if are_permutations(*loose) and loose[0] != loose[1]
            else pair_by_position(*loose)
        )

    def intern_scalars(self, *sequences: Sequence[object]) -> list[list[int]]:
        """Return a number for each scalar of each sequence. Equal scalars have equal numbers."""
        return [[self.interner.intern_value(each) for each in sequence] for sequence in sequences]

    def intern_items_without_covered_parts(self, path: str, items: list[object]) -> list[int]:
        """Return a number for each item. Two items have equal numbers if they differ only where rules apply."""
        if not self.findings.rules.rules:
            return [self.interner.intern_value(item) for item in items]
        inside = f"{path_shape_of(path)}[*]"
        return [self.intern_without_covered_parts(inside, item) for item in items]

    def intern_without_covered_parts(self, shape: str, value: object) -> int:
        """Return a number for a value.

        Two values have equal numbers if they differ only where rules for any index apply.
        """
        seen = (id(value), shape)
        if seen not in self.numbers_by_shape:
            how = self.comparator_at_path_shape(shape)
            self.numbers_by_shape[seen] = self.interner.intern_key(
                self.content_without_covered_parts(shape, value, how)
            )
        return self.numbers_by_shape[seen]

    def member_path_shape(self, shape: str, key: str) -> str:
        """Return the shape of a member's path. Shapes are cached, because the rows of a list repeat most of them."""
        if (shape, key) not in self.shapes:
            self.shapes[shape, key] = member_path(shape, key)
        return self.shapes[shape, key]

    def comparator_at_path_shape(self, shape: str) -> Comparator | None:
        """Return the comparator of the first rule for a path shape; None if there is no such rule."""
        if shape not in self.comparators:
            self.comparators[shape] = next(
                (rule.how for rule in self.findings.rules.rules_at(shape)), None
            )
        return self.comparators[shape]

    def content_without_covered_parts(
        self, shape: str, value: object, how: Comparator | None
    ) -> Hashable:
        """Return the part of a value that no rule covers, so that it must be equal in another value.

        `how` is the comparator of the rule for this value; None if there is no such rule.
        """
        if isinstance(value, list) and isinstance(how, Unordered | KeyedBy):
            return "loose set", tuple(sorted(self.intern_items_without_covered_parts(shape, value)))
        if how is not None:
            return "loose"
        if isinstance(value, dict):
            pairs = [
                (key, self.intern_without_covered_parts(self.member_path_shape(shape, key), each))
                for key, each in value.items()
            ]
            return "loose object", frozenset(pairs)
        if isinstance(value, list):
            return "loose array", tuple(self.intern_items_without_covered_parts(shape, value))
        return "exact", self.interner.intern_value(value)


def _pair_equal_then_loosely_equal(exact: list[list[int]], loose: list[list[int]]) -> Pairing:
    """Pair items that are equal. Then pair remaining items that differ only where rules apply."""
    found = pair_equal(*exact)
    missing, extra = found.missing, found.extra
    rest = pair_equal([loose[0][at] for at in missing], [loose[1][at] for at in extra])
    pairs = found.pairs + [(missing[first], extra[second]) for first, second in rest.pairs]
    left = [missing[at] for at in rest.missing], [extra[at] for at in rest.extra]
    return Pairing(sorted(pairs), *left, found.reordered or rest.reordered)


def _have_compatible_types(control: object, candidate: object) -> bool:
    """Return whether a difference between two scalars is one of value, not of type.

    An integer and a decimal differ in value, unless the values are equal: 1 and 1.0 differ in type alone.
    """
    if type(control) is type(candidate):
        return True
    kinds = {json_type_of(control), json_type_of(candidate)}
    return kinds == {"integer", "number"} and control != candidate


def unique_member_values(items: Iterable[object], key: str) -> list[object] | None:
    """Return the value of a member in every item. Return None if an item lacks the member or two values are equal."""
    values: list[object] = []
    for item in items:
        if not isinstance(item, dict) or type(item.get(key)) not in _KEY_TYPES:
            return None
        values.append(item[key])
    return values if len(set(values)) == len(values) else None


def values_of_identifying_member(
    control: list[object], candidate: list[object]
) -> tuple[list[object], list[object]] | None:
    """Return the values of the first member that identifies the items of both arrays.

    The members in IDENTITIES are tried first. Any other member is used only if both arrays have the same texts
    in it, in different orders. If another member has the same texts in the same order in both arrays, no member
    is used.
    """
    for key in IDENTITIES:
        first, second = unique_member_values(control, key), unique_member_values(candidate, key)
        if first and second:
            return first, second
    found = [
        (unique_member_values(control, key), unique_member_values(candidate, key))
        for key in possible_identifying_keys(control)
    ]
    pairs = [(first, second) for first, second in found if first and second]
    if any(first == second for first, second in pairs):
        return None
    return next(((one, two) for one, two in pairs if {*one} == {*two}), None)


def possible_identifying_keys(items: list[object]) -> list[str]:
    """Return the keys outside IDENTITIES that may identify the items: in the first item, their value is a text."""
    first = items[0] if items else None
    if not isinstance(first, dict):
        return []
    texts = (key for key, value in first.items() if isinstance(value, str))
    return [key for key in texts if key not in IDENTITIES][:MAX_LABELS]
