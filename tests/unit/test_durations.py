"""Durations: which texts are read, and how seconds are written."""

from __future__ import annotations

import pytest

from overgrow.durations import parse_duration_s, write_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("90s", 90.0), ("5m", 300.0), ("1h", 3600.0), ("7d", 604_800.0), ("0s", 0.0)],
)
def test_a_whole_number_with_a_unit_is_a_duration(text, seconds):
    assert seconds == parse_duration_s(text, "ms", "s", "m", "h", "d")


@pytest.mark.parametrize(
    "text", ["", "5", "s", "1.5s", "-1s", " 5s", "5 s", "\u0665s", "5S", "1234567890s"]
)
def test_any_other_text_is_no_duration(text):
    assert parse_duration_s(text, "ms", "s", "m", "h", "d") is None


def test_a_unit_that_the_place_does_not_take_is_no_duration():
    assert parse_duration_s("7d", "s", "m", "h") is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (90, "90s"), (300, "5m"), (3600, "1h"), (5400, "90m")]
)
def test_seconds_are_written_in_the_largest_unit_that_fits(seconds, text):
    assert text == write_duration(seconds)
