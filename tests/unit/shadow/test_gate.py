"""The gate: its arithmetic against exact sums, and what it says."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import comb
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overgrow.evidence import Evidence, OpenGroup, ShapeCounts
from overgrow.shadow.findings.gate import (
    HELPS,
    Requirement,
    binomial_cdf,
    comparisons_needed,
    coverage_of_request_shapes,
    describe_request_shape,
    evaluate_gate,
    format_hours_or_days,
    format_percent,
    incomplete_beta,
    mismatch_rate_upper_bound,
)
from overgrow.shadow.recording import UNSTORED_REASONS, DropReason

NOW = 1_000_000.0


def shape(served=100, compared=100, **changes):
    values = {
        "method": "GET",
        "template": "/orders/<int:id>",
        "query_keys": (),
        "status": 200,
        "signed_in": False,
    }
    return ShapeCounts(**(values | changes), served=served, compared=compared)


def evidence(compared=299, mismatched=0, age_s=60.0, shapes=None, groups=()):
    newest = NOW - age_s if compared else None
    return Evidence(
        "orders",
        "legacy",
        compared,
        mismatched,
        newest,
        newest,
        tuple(shapes if shapes is not None else [shape()]),
        tuple(groups),
    )


def exactly_at_most(hits, tries, rate):
    """The binomial sum in fractions: nothing is rounded."""
    p = Fraction(rate)
    return sum(comb(tries, i) * p**i * (1 - p) ** (tries - i) for i in range(hits + 1))


@pytest.mark.parametrize(("rate", "needed"), [(0.01, 299), (0.001, 2_995), (0.05, 59)])
def test_so_many_clean_comparisons_bound_the_rate(rate, needed):
    assert comparisons_needed(rate) == needed
    assert mismatch_rate_upper_bound(0, needed) <= rate < mismatch_rate_upper_bound(0, needed - 1)


@pytest.mark.parametrize(
    ("mismatched", "compared", "bound"),
    [
        pytest.param(0, 10, 0.25887, id="none of ten"),
        pytest.param(1, 10, 0.39416, id="one of ten"),
        pytest.param(5, 20, 0.45558, id="five of twenty"),
        pytest.param(10, 10, 1.0, id="all"),
        pytest.param(0, 0, 1.0, id="nothing compared"),
    ],
)
def test_the_upper_bound_is_that_of_published_tables(mismatched, compared, bound):
    assert mismatch_rate_upper_bound(mismatched, compared) == pytest.approx(bound, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.data())
def test_the_upper_bound_leaves_one_chance_in_twenty(compared, data):
    mismatched = data.draw(st.integers(0, compared - 1))

    chance = exactly_at_most(mismatched, compared, mismatch_rate_upper_bound(mismatched, compared))

    assert float(chance) == pytest.approx(0.05, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.floats(0.0001, 0.9999), st.data())
def test_the_binomial_tail_is_the_exact_one(tries, rate, data):
    hits = data.draw(st.integers(0, tries))

    exact = float(exactly_at_most(hits, tries, rate))

    assert binomial_cdf(hits, tries, rate) == pytest.approx(exact, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("rate", "chance"), [(0.0, 1.0), (1.0, 0.0)])
def test_the_binomial_tail_knows_the_ends(rate, chance):
    assert binomial_cdf(3, 10, rate) == chance


def test_the_beta_function_is_symmetric():
    assert incomplete_beta(0.3, 2, 5) == pytest.approx(1 - incomplete_beta(0.7, 5, 2), rel=1e-12)


def test_a_large_number_of_comparisons_is_still_exact_enough():
    bound = mismatch_rate_upper_bound(1_000, 10_000_000)

    assert 1e-4 < bound < 1.06e-4
    assert binomial_cdf(1_000, 10_000_000, bound) == pytest.approx(0.05, rel=1e-4)


def test_more_mismatches_raise_the_bound():
    bounds = [mismatch_rate_upper_bound(k, 1_000) for k in range(20)]

    assert all(one < other for one, other in pairwise(bounds))


def test_299_clean_comparisons_are_ready():
    result = evaluate_gate(evidence(299), Requirement(clean=299), NOW)

    assert (result.ready, result.reasons, result.missing) == (True, (), 0)
    assert format_percent(result.rate_bound) == "0.997%"


def test_298_clean_comparisons_lack_one():
    result = evaluate_gate(evidence(298), Requirement(clean=299), NOW)

    assert (result.ready, result.missing) == (False, 1)
    assert result.reasons == ("298 comparisons without a mismatch; 299 are required, 1 more.",)


def test_one_mismatch_needs_474_comparisons_for_the_same_certainty():
    requirement = Requirement(clean=299)

    few, enough = (evaluate_gate(evidence(n, 1), requirement, NOW) for n in (400, 474))

    assert (few.ready, few.missing) == (False, 74)
    assert (enough.ready, enough.missing) == (True, 0)


def test_too_many_mismatches_are_told_with_their_bound():
    result = evaluate_gate(evidence(400, 3), Requirement(), NOW)

    assert result.reasons == (
        (
            "3 mismatches in 400 comparisons: up to 1.93% of requests may be answered differently; "
            "at most 0.997% is allowed."
        ),
    )


def test_a_group_of_high_severity_stands_in_the_way_however_rare():
    group = OpenGroup("abcdef0123456789", "type at $.id (int, str)", "high", 1)

    result = evaluate_gate(evidence(100_000, 1, groups=[group]), Requirement(), NOW)

    assert result.reasons == (
        "Group abcdef01 is open and of high severity (1 time): type at $.id (int, str).",
    )


@pytest.mark.parametrize("severity", ["medium", "low"])
def test_a_rare_group_of_less_severity_is_forgiven(severity):
    group = OpenGroup("abcdef0123456789", "value at $.x", severity, 1)

    assert evaluate_gate(evidence(100_000, 1, groups=[group]), Requirement(), NOW).ready


def test_requests_of_a_shape_never_compared_are_named():
    shapes = [
        shape(served=80, compared=300),
        shape(served=15, compared=0, query_keys=("page", "q")),
        shape(served=3, compared=0, status=404),
        shape(served=1, compared=0, signed_in=True),
        shape(served=1, compared=0, method="HEAD"),
    ]

    result = evaluate_gate(evidence(300, shapes=shapes), Requirement(), NOW)

    assert result.coverage == 0.8
    assert result.reasons == (
        (
            "Only 80% of requests are of a shape that was compared; at least 95% is required. Never compared: "
            "GET /orders/<int:id>?page&q 200 (15 served); GET /orders/<int:id> 404 (3 served); "
            "GET /orders/<int:id> 200, signed in (1 served); and 1 more."
        ),
    )


def test_without_counted_requests_coverage_is_unknown_and_asks_for_nothing():
    shapes = [shape(served=0, compared=300)]

    result = evaluate_gate(evidence(300, shapes=shapes), Requirement(), NOW)

    assert (result.ready, result.coverage, coverage_of_request_shapes([])) == (True, None, None)


def test_old_evidence_is_refused():
    result = evaluate_gate(evidence(500, age_s=30 * 3600), Requirement(), NOW)

    assert result.reasons == (
        "The newest comparison is 30 h old; at most 24 h is allowed. Compare again (`shadow:`).",
    )


def test_no_evidence_is_told_as_missing_not_as_old():
    result = evaluate_gate(evidence(0, shapes=()), Requirement(), NOW)

    assert result.reasons == ("0 comparisons without a mismatch; 299 are required, 299 more.",)
    assert result.rate_bound == 1.0


def test_every_reason_is_given_at_once():
    group = OpenGroup("abcdef0123456789", "status at status (200, 500)", "high", 9)
    bad = evidence(50, 9, age_s=1e6, shapes=[shape(compared=0)], groups=[group])

    assert len(evaluate_gate(bad, Requirement(), NOW).reasons) == 4


def test_the_arithmetic_is_told_whatever_the_outcome():
    result = evaluate_gate(evidence(299), Requirement(), NOW)

    assert result.arithmetic == (
        (
            "0 mismatches in 299 comparisons: with 95% confidence at most 0.997% of requests are answered "
            "differently (1 - 0.05^(1/299))."
        ),
        "`clean: 299` allows 0.997%: what 299 comparisons without a mismatch prove.",
        "100% of requests served are of a shape that was compared.",
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(90 * 60, "2 h"), (71 * 3600, "71 h"), (216 * 3600, "9 days")]
)
def test_ages_are_told_in_hours_then_days(seconds, text):
    assert format_hours_or_days(seconds) == text


def test_a_shape_reads_like_a_request():
    told = describe_request_shape(shape(query_keys=("a", "b"), signed_in=True))

    assert told == "GET /orders/<int:id>?a&b 200, signed in"


def test_exactly_the_coverage_that_is_required_suffices():
    shapes = [shape(served=95, compared=1), shape(served=5, compared=0, status=404)]

    assert evaluate_gate(evidence(shapes=shapes), Requirement(), NOW).ready


def test_evidence_of_exactly_the_greatest_age_suffices():
    requirement = Requirement()

    assert evaluate_gate(evidence(age_s=requirement.max_age_s), requirement, NOW).ready


def left_out(lately, **reasons):
    counts = {name.replace("_", "-"): count for name, count in reasons.items()}
    return replace(evidence(compared=400), lately_compared=lately, not_compared=counts)


@pytest.mark.parametrize(
    ("found", "ready"),
    [
        pytest.param(left_out(400), True, id="nothing was left out"),
        pytest.param(left_out(380, budget=20), True, id="one in twenty"),
        pytest.param(left_out(379, budget=21), False, id="more"),
        pytest.param(left_out(0, unfinished=1), False, id="nothing lately"),
    ],
)
def test_most_of_what_is_drawn_has_to_be_compared(found, ready):
    assert evaluate_gate(found, Requirement(), NOW).ready is ready


def test_the_gate_names_why_requests_were_left_out_and_what_helps():
    result = evaluate_gate(left_out(200, answer_too_large=150, budget=50), Requirement(), NOW)

    (reason,) = result.reasons
    assert reason == (
        "Only 200 of 400 requests drawn within a day were compared; at least 95% is required. Left out: "
        "answer-too-large (150): write `shadow: {percent: ..., max_answer: 1MB}`, so that more of an answer "
        "is kept; budget (50): lower the share of its `shadow:`."
    )


def test_every_reason_has_something_that_helps():
    reasons = {*get_args(DropReason), "unanswered"} - UNSTORED_REASONS

    assert reasons == {*HELPS}
