"""An answer's fields, and the request that makes two answers comparable."""

from __future__ import annotations

import pytest

from overgrow.shadow.values.difference import ABSENT
from overgrow.shadow.values.snapshot import (
    ResponseSnapshot,
    drop_conditions_and_ranges,
    has_conditions_or_ranges,
)

DROPPED = [
    pytest.param((b"if-none-match", b'"a"'), id="what the client has, by tag"),
    pytest.param((b"if-modified-since", b"Sun, 22 Nov 2026 10:00:00 GMT"), id="and by time"),
    pytest.param((b"range", b"bytes=0-9"), id="a part"),
    pytest.param((b"if-range", b'"a"'), id="a part if unchanged"),
    pytest.param((b"Range", b"bytes=0-9"), id="in capitals"),
]
KEPT = [
    pytest.param((b"if-match", b'"a"'), id="a guard of a write"),
    pytest.param((b"if-unmodified-since", b"Sun, 22 Nov 2026 10:00:00 GMT"), id="another"),
    pytest.param((b"if-none-match", b" * "), id="create, never replace"),
    pytest.param((b"accept", b"*/*"), id="anything else"),
]


@pytest.mark.parametrize("line", DROPPED)
def test_what_asks_for_less_is_dropped_from_the_copy(line):
    around = ((b"host", b"a"), (b"cookie", b"b=c"))

    assert drop_conditions_and_ranges((around[0], line, around[1])) == around
    assert has_conditions_or_ranges([line])


@pytest.mark.parametrize("line", KEPT)
def test_everything_else_stays_on_the_copy(line):
    assert drop_conditions_and_ranges([line]) == (line,)
    assert not has_conditions_or_ranges([line])


def test_several_lines_of_a_field_are_one_list():
    answer = ResponseSnapshot(200, ((b"x", b" a "), (b"X", b"b"), (b"y", b"c")))

    assert answer.joined_header(b"x") == "a, b"


def test_a_field_that_is_not_there_is_none():
    assert ResponseSnapshot(200).joined_header(b"x") is None


def test_what_is_absent_says_so():
    assert repr(ABSENT) == "ABSENT"
