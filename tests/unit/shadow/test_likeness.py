"""How alike two values are: upper bounds that tell little, and the same for every reader."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overgrow.shadow.values.likeness import likeness_of, round_up_gap_s


@pytest.mark.parametrize(
    ("one", "other", "gap"),
    [
        pytest.param(10, 12, 2.0, id="integers"),
        pytest.param(Decimal("0.3"), Decimal("0.1"), 0.2, id="no binary dust"),
        pytest.param(Decimal("1.00"), Decimal("1.0111"), 0.012, id="rounded up to two digits"),
        pytest.param("9.99", "9.98", 0.01, id="numbers in strings"),
        pytest.param(5, Decimal("5.0"), 0.0, id="equal"),
        pytest.param(123_456, 0, 130_000.0, id="magnitude only"),
        pytest.param(1, "1", None, id="a number and a text"),
        pytest.param(True, 1, None, id="a truth"),
        pytest.param(Decimal("1e999"), 1, None, id="beyond floats"),
        pytest.param(Decimal("1e-999"), 0, 1e-300, id="never rounded to nothing"),
    ],
)
def test_the_gap_between_numbers_is_an_upper_bound_of_two_digits(one, other, gap):
    assert likeness_of(one, other).gap == gap


@settings(deadline=None)
@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_the_gap_is_hardly_more_than_the_distance(one, other):
    gap = likeness_of(one, other).gap

    assert gap is not None
    assert abs(one - other) <= gap <= 1.1 * abs(one - other)


@settings(deadline=None)
@given(st.integers(-(10**9), 10**9), st.integers(1, 99), st.integers(-4, 6))
def test_a_bound_of_two_digits_is_met_exactly(one, digits, exponent):
    most = Decimal(digits).scaleb(exponent)
    near, far = one + most, one + most + Decimal("1e-9")

    gaps = [likeness_of(Decimal(one), each).gap for each in (near, far)]

    assert [Decimal(repr(gap)) <= most for gap in gaps] == [True, False]


@pytest.mark.parametrize(
    ("one", "other", "gap_s"),
    [
        pytest.param("2026-01-01T00:00:00Z", "2026-01-01T00:00:02.5Z", 3.0, id="RFC 3339"),
        pytest.param("2026-01-01", "2026-01-02", 86_400.0, id="dates"),
        pytest.param(
            "Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:05 GMT", 5.0, id="HTTP dates"
        ),
        pytest.param(1_800_000_000, 1_800_000_001, 1.0, id="Unix seconds"),
        pytest.param("2026-01-01T00:00:00", "2026-01-01T00:00:00Z", None, id="a zone is lost"),
        pytest.param(
            "2026-01-01T00:00:00Z", "Thu, 01 Jan 2026 00:00:00 GMT", None, id="two notations"
        ),
        pytest.param(1_800_000_000, "1800000000", None, id="a number and a text"),
        pytest.param("12 High Street", "14 High Street", None, id="no times"),
    ],
)
def test_the_gap_between_times_is_in_seconds(one, other, gap_s):
    assert likeness_of(one, other).gap_s == gap_s


@pytest.mark.parametrize(
    ("gap_s", "kept_s"),
    [
        pytest.param(0.0, 0.0, id="none"),
        pytest.param(99.1, 100.0, id="whole seconds"),
        pytest.param(101, 120.0, id="whole minutes"),
        pytest.param(6_001, 7_200.0, id="whole hours"),
        pytest.param(360_001, 432_000.0, id="whole days"),
    ],
)
def test_the_farther_two_times_lie_apart_the_less_is_told(gap_s, kept_s):
    assert round_up_gap_s(gap_s) == kept_s


def test_values_of_one_shape_are_alike():
    found = [likeness_of(one, other).alike for one, other in (("a1", "a2"), ("a1", "b1"), (1, 2))]

    assert found == [True, False, True]
