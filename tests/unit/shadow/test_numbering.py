"""Equal values have equal numbers, and no others have."""

from __future__ import annotations

import pytest

from overgrow.shadow.compare.pairing import MAX_DEPTH, TooDeep, ValueInterner
from overgrow.shadow.values.difference import DuplicateKeyValues


def nested(depth):
    """An empty list within so many others."""
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(True, 1, id="a boolean and a number"),
        pytest.param(1, 1.0, id="a whole number and a decimal one"),
        pytest.param("1", 1, id="a text and a number"),
        pytest.param([], {}, id="an array and an object"),
        pytest.param([1, 2], [2, 1], id="items in another order"),
        pytest.param({"a": [1, 2]}, {"a": DuplicateKeyValues([1, 2])}, id="a repeated key"),
        pytest.param({"a": None}, {}, id="null and nothing"),
    ],
)
def test_values_that_differ_have_numbers_of_their_own(one, other):
    interner = ValueInterner()

    assert interner.intern_value(one) != interner.intern_value(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, id="keys in another order"),
        pytest.param([{"a": []}], [{"a": []}], id="containers of equal content"),
    ],
)
def test_equal_values_have_one_number(one, other):
    interner = ValueInterner()

    assert interner.intern_value(one) == interner.intern_value(other)


def test_only_so_deep_a_value_has_a_number():
    deepest, deeper = nested(MAX_DEPTH), nested(MAX_DEPTH + 1)
    ValueInterner().intern_value(deepest)

    with pytest.raises(TooDeep):
        ValueInterner().intern_value(deeper)
