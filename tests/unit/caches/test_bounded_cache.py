"""A cache keeps few entries and short keys; what it gives is what its function returns."""

from __future__ import annotations

import pytest

from overgrow.caches.bounded_cache import BoundedCache


def counting(calls):
    def compute(key):
        calls.append(key)
        if not key:
            raise ValueError(key)
        return key.upper()

    return compute


def test_a_short_key_is_computed_once():
    calls = []
    cache = BoundedCache(counting(calls), max_entries=2, max_length=3)

    assert [cache["abc"], cache["abc"]] == ["ABC", "ABC"]
    assert calls == ["abc"]


def test_a_long_key_is_computed_each_time_and_not_kept():
    calls = []
    cache = BoundedCache(counting(calls), max_entries=2, max_length=3)

    assert [cache["abcd"], cache["abcd"]] == ["ABCD", "ABCD"]
    assert (calls, dict(cache)) == (["abcd", "abcd"], {})


def test_a_full_cache_starts_again_empty():
    cache = BoundedCache(counting([]), max_entries=2, max_length=3)
    for key in ("a", "b", "c"):
        cache[key]

    assert dict(cache) == {"c": "C"}


def test_an_error_is_not_kept():
    calls = []
    cache = BoundedCache(counting(calls), max_entries=2, max_length=3)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^$"):
            cache[""]

    assert calls == ["", ""]


def test_the_length_may_be_that_of_a_part_of_the_key():
    cache = BoundedCache(sum, max_entries=2, max_length=3, length_of=lambda key: key[0])
    values = [cache[3, 1], cache[4, 1]]

    assert (values, dict(cache)) == ([4, 5], {(3, 1): 4})
