"""Counts as few bytes, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overgrow.store.history.packing import MAX_COUNTS, add_packed, pack, sum_packed, unpack

COUNTS = st.lists(st.integers(0, 2**50), max_size=MAX_COUNTS)


@given(COUNTS)
def test_packed_counts_are_read_back(counts):
    assert tuple(counts) == unpack(pack(counts), len(counts))


@given(st.lists(COUNTS, min_size=1, max_size=4))
def test_the_sum_of_packed_counts_is_that_of_the_counts(rows):
    padded = [[*row, *[0] * (MAX_COUNTS - len(row))] for row in rows]

    assert tuple(map(sum, zip(*padded, strict=True))) == unpack(
        sum_packed(list(map(pack, rows))), MAX_COUNTS
    )


@pytest.mark.parametrize(
    ("counts", "size"),
    [
        pytest.param([0] * 19, 0, id="nothing"),
        pytest.param([0, 3], 1, id="a few of one"),
        pytest.param([0, 500], 2, id="hundreds"),
        pytest.param([1, *[2] * 18], 19, id="a few of each"),
    ],
)
def test_few_requests_take_few_bytes(counts, size):
    assert size == len(pack(counts))


def test_a_count_of_a_later_version_is_left_out():
    sums = [0, 0]
    add_packed(sums, pack([1, 2, 3]))

    assert [1, 2] == sums
