"""Grouping: one cause is one group, however it shows; and any order of merging gives the same."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overgrow.evidence import UNLISTED, Part
from overgrow.shadow.compare.compare import compare
from overgrow.shadow.compare.redacting import redact_pair
from overgrow.shadow.findings.groups import (
    MAX_PARTS,
    build_pair_group,
    highest_severity_of,
    merge_parts,
    title_of_group,
    type_of_redacted_value,
)
from overgrow.shadow.redact.redact import (
    RedactedDifference,
    RedactedPair,
    RedactedRequest,
    RedactedResponse,
)
from overgrow.shadow.rules.rules import Rules
from overgrow.shadow.values.snapshot import ResponseSnapshot

ASKED = RedactedRequest("GET", "/orders")
BLANK = RedactedResponse(200, (), "")


def json_answer(value, status=200):
    return ResponseSnapshot(
        status, ((b"content-type", b"application/json"),), json.dumps(value).encode()
    )


def group_for(control, candidate, at=0.0, route="orders"):
    found = compare(control, candidate, Rules.none)
    pair = redact_pair(ASKED, control, candidate, found.differences)
    return build_pair_group(route, pair, at, truncated=found.truncated)


def difference(path="$.price", kind="value", severity="medium", rule=None, **gaps):
    values = ("<float 3 digits>", "<float 4 digits>")
    return RedactedDifference(kind, path, severity, *values, rule, **gaps)


def group_with(*differences, at=0.0, route="orders", truncated=False):
    return build_pair_group(
        route, RedactedPair(ASKED, BLANK, BLANK, differences), at, truncated=truncated
    )


def orders(random):
    return [
        {
            "id": random.randrange(10**6),
            "price": random.random() * 100,
            "name": "x" * random.randrange(30),
        }
        for _ in range(random.randrange(2, 6))
    ]


def rounded(random):
    """Cause one: every price is rounded."""
    control = orders(random)
    return json_answer(control), json_answer(
        [each | {"price": each["price"] + 0.5} for each in control]
    )


def text_for_number(random):
    """Cause two: one id, anywhere, is text."""
    control = orders(random)
    candidate = [dict(each) for each in control]
    one = random.choice(candidate)
    one["id"] = str(one["id"])
    return json_answer(control), json_answer(candidate)


def crash(random):
    """Cause three: the candidate fails."""
    return json_answer(orders(random)), ResponseSnapshot(
        500, ((b"content-type", b"text/plain"),), b"oops"
    )


def test_ten_thousand_mismatches_with_three_causes_are_three_groups():
    random = Random(4)
    causes = [rounded, text_for_number, crash]
    pairs = {cause: [group_for(*cause(random)) for _ in range(40)] for cause in causes}
    keys = {cause: {group.key for group in groups} for cause, groups in pairs.items()}

    counts = Counter(pairs[causes[number % 3]][number % 40].key for number in range(10_000))

    assert [len(each) for each in keys.values()] == [1, 1, 1]
    assert sorted(counts.values()) == [3_333, 3_333, 3_334]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(difference("$.total"), id="another path"),
        pytest.param(difference(kind="type"), id="another kind"),
        pytest.param(replace(difference(), candidate="null"), id="another type"),
        pytest.param(
            replace(difference(), candidate="<int 3 digits>"), id="a number of another type"
        ),
    ],
)
def test_another_cause_is_another_group(other):
    assert group_with(difference()).key != group_with(other).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("$.items[0].price", "$.items[17].price", id="an index"),
        pytest.param('$.by["user-12345"].x', '$.by["user-678"].x', id="a key that is data"),
    ],
)
def test_what_varies_within_a_cause_does_not_part_it(one, other):
    longer = replace(difference(other), control="<float 9 digits>")

    assert group_with(difference(one)).key == group_with(longer).key


@pytest.mark.parametrize("values", [("x", ""), ([1], [])], ids=["a text", "an array"])
def test_an_empty_value_is_a_part_of_its_cause_and_not_a_group(values):
    full, empty = (
        group_for(json_answer({"a": [each, 1]}), json_answer({"a": [values[0] * 2, 1]}))
        for each in values
    )

    assert full.key == empty.key
    assert 2 == len(merge_parts([*full.parts, *empty.parts]))


def test_the_number_of_places_where_a_cause_shows_does_not_part_it():
    many = [difference(f"$.items[{n}].price") for n in range(9)]

    assert group_with(many[0]).key == group_with(*many).key


def test_the_same_difference_on_another_route_is_another_group():
    assert group_with(difference()).key != group_with(difference(), route="carts").key


def test_statuses_that_differ_are_causes_of_their_own():
    def status(candidate):
        return group_with(RedactedDifference("status", "status", "high", "200", candidate))

    assert status("500").key != status("404").key
    assert status("500").title == "status at status (200, 500)"


def test_where_the_status_differs_the_bodies_do_not_part_the_cause():
    status = RedactedDifference("status", "status", "high", "200", "500")

    assert group_with(status).key == group_with(status, difference("$.optional")).key


def test_what_a_rule_covered_does_not_part_a_cause_but_stays_a_part():
    noise = difference("$.at", rule="$.at timestamp", severity="high")

    with_noise, without = group_with(difference(), noise), group_with(difference())

    assert with_noise.key == without.key
    assert [part.rule for part in with_noise.parts] == [None, "$.at timestamp"]
    assert (with_noise.severity, with_noise.title) == ("medium", without.title)


def test_a_pair_that_rules_cover_wholly_is_grouped_by_what_they_covered():
    covered = group_with(difference(rule="$.price ignore"))

    assert covered.title == "value at $.price (float, float)"
    assert [part.rule for part in covered.parts] == ["$.price ignore"]


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(group_with(difference(), truncated=True), id="the comparison was cut"),
        pytest.param(
            group_with(*(difference(f"$.key_{a}{b}") for a in "abcdefgh" for b in "aeiouy")),
            id="more kinds than are told",
        ),
    ],
)
def test_what_was_not_told_is_never_explained(group):
    assert UNLISTED in group.parts
    assert len(group.parts) <= MAX_PARTS + 1


def test_the_title_counts_what_it_does_not_name():
    group = group_with(difference("$.a"), difference("$.b"), difference("$.c"), difference("$.d"))

    assert group.title == "value at $.a (float, float), value at $.b (float, float) and 2 more"


def test_the_title_says_where_nothing_stood_and_where_more_was_not_told():
    extra = RedactedDifference("extra", "$.new", "low", "", "<int 1 digit>")

    assert title_of_group(group_with(extra).parts) == "extra at $.new (absent, int)"
    assert title_of_group([UNLISTED]) == "more than was told"


def test_the_widest_gap_counts_and_none_is_wider_than_all():
    near, far = difference(gap=0.1, gap_s=None), difference(gap=7.0, gap_s=2.0)

    (part,) = merge_parts([*group_with(near).parts, *group_with(far).parts])

    assert (part.gap, part.gap_s) == (7.0, None)


@pytest.mark.parametrize(
    ("shown", "word"),
    [
        ("<str 12>", "str"),
        ("<int 4 digits>", "int"),
        ("<float 1 digit>", "float"),
        ("<array 3>", "array"),
        ("null", "null"),
        ("true", "bool"),
        ("false", "bool"),
        ('"paid"', "str"),
        ("12", "int"),
        ("-1.5e3", "float"),
        ("text/html", "text/html"),
        ("private, max-age=<int 4 digits>", "private, max-age=<int>"),
        ("", ""),
    ],
)
def test_a_redacted_value_has_a_type(shown, word):
    assert type_of_redacted_value(shown) == word


def test_a_word_of_a_vocabulary_is_bounded():
    assert len(type_of_redacted_value("private, " * 100)) == 120


def test_nothing_is_of_low_severity():
    assert highest_severity_of([]) == "low"


def observations():
    return st.builds(
        lambda length, gap, at: group_with(
            replace(difference(gap=gap), control=f"<float {length} digits>"), at=at
        ),
        st.integers(1, 40),
        st.none() | st.integers(0, 9).map(float),
        st.integers(0, 1000).map(float),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(observations(), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_groups_merge_to_the_same_in_any_order_and_any_parting(found, random):
    shuffled = random.sample(found, len(found))
    cut = random.randrange(len(found))
    halves = [each for each in (shuffled[:cut], shuffled[cut:]) if each]

    one = merge_parts(part for group in found for part in group.parts)
    other = merge_parts(
        part for half in halves for part in merge_parts(p for group in half for p in group.parts)
    )

    assert one == other


def test_a_part_is_told_apart_by_its_rule():
    assert (
        Part("value", "$", "a", "b", "low").identity
        != Part("value", "$", "a", "b", "low", "r").identity
    )
