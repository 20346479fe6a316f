"""A value that migrated stops to renew is told, although a rule covers it."""

from __future__ import annotations

import functools
import json
import operator
from datetime import date

import pytest

from overgrow.shadow.findings.covered_noise import (
    MAX_RULES,
    SURE_AFTER_PAIRS,
    CoveredNoise,
    HiddenConstant,
    find_hidden_constants,
    sum_covered_noise,
)
from overgrow.shadow.findings.noise import Noise, measure_pair_noise
from overgrow.shadow.rules.comparators import Comparator, Ignore, SameShape, TimestampWithin
from overgrow.shadow.rules.rules import Rule, Rules
from overgrow.shadow.values.snapshot import ResponseSnapshot

DAY = date(2030, 1, 1)


def token(number: int) -> ResponseSnapshot:
    body = json.dumps({"token": f"{number * 7919:016x}", "n": 1}).encode()
    return ResponseSnapshot(200, ((b"content-type", b"application/json"),), body)


def rules(how: Comparator, path: str = "$.token") -> Rules:
    return Rules((Rule(path, how, "ada", "why", DAY),))


def hour(pairs: int, migrated: int, agreed: Rules) -> Noise:
    """Pairs in which legacy's token is always renewed, and migrated's in so many."""
    found = (
        measure_pair_noise(
            f"{at}", token(2 * at), token(2 * at + 1), agreed, (token(0), token(at < migrated))
        )
        for at in range(pairs)
    )
    return functools.reduce(operator.add, found, Noise.none)


@pytest.mark.parametrize("how", [SameShape(), Ignore()], ids=str)
def test_a_value_that_only_legacy_renews_under_a_rule_is_told(how):
    assert (HiddenConstant("$.token", SURE_AFTER_PAIRS),) == find_hidden_constants(
        [hour(SURE_AFTER_PAIRS, 0, rules(how))]
    )


@pytest.mark.parametrize(
    ("pairs", "migrated", "agreed"),
    [
        pytest.param(SURE_AFTER_PAIRS - 1, 0, rules(Ignore()), id="a pair too few"),
        pytest.param(SURE_AFTER_PAIRS, 1, rules(Ignore()), id="migrated renews it now and then"),
        pytest.param(SURE_AFTER_PAIRS, 0, rules(Ignore(), "$.n"), id="a rule for another path"),
        pytest.param(SURE_AFTER_PAIRS, 0, Rules.none, id="no rule"),
        pytest.param(SURE_AFTER_PAIRS, 0, rules(TimestampWithin(1)), id="clocks may stand still"),
    ],
)
def test_what_is_renewed_or_hardly_known_or_open_is_no_constant(pairs, migrated, agreed):
    assert () == find_hidden_constants([hour(pairs, migrated, agreed)])


def test_a_value_that_migrated_renewed_once_and_does_no_more_is_told():
    agreed = rules(SameShape())
    before, after = hour(60, 60, agreed), hour(SURE_AFTER_PAIRS, 0, agreed)

    assert (HiddenConstant("$.token", SURE_AFTER_PAIRS),) == find_hidden_constants([after, before])
    assert () == find_hidden_constants([before, after])


def test_the_latest_hours_that_suffice_count():
    agreed = rules(SameShape())
    half = hour(SURE_AFTER_PAIRS // 2, 0, agreed)

    assert (HiddenConstant("$.token", SURE_AFTER_PAIRS),) == find_hidden_constants(
        [half, half, hour(60, 60, agreed)]
    )


def test_where_migrated_is_not_asked_twice_nothing_is_known():
    found = measure_pair_noise("p", token(1), token(2), rules(Ignore()))

    assert {} == found.covered_noise


def test_what_rules_hold_is_read_as_it_was_stored():
    noise = hour(3, 1, rules(Ignore()))

    assert {"$.token": CoveredNoise(3, 1)} == noise.covered_noise
    assert noise == Noise.from_json(json.loads(json.dumps(noise.as_json())))


def test_the_rules_that_are_counted_are_bounded():
    many = {f"$.{at}": CoveredNoise(1, 0) for at in range(MAX_RULES)}

    merged = sum_covered_noise(many, {"$.noisy": CoveredNoise(2, 0)})

    assert (MAX_RULES, True) == (len(merged), "$.noisy" in merged)
