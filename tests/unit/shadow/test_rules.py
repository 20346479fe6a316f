"""What a rule covers, and above all what it does not."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.rules.comparators import (
    Comparator,
    Ignore,
    KeyedBy,
    NumberTolerance,
    SameShape,
    TimestampWithin,
    Unordered,
)
from overgrow.shadow.rules.rules import Rule, Rules
from overgrow.shadow.values.likeness import have_same_value_shape, likeness_of, seconds_between
from overgrow.shadow.values.snapshot import ResponseSnapshot

UUID = "0c8a3a0e-5f2e-4a39-9d7e-2b1f7c4d5e6f"
OTHER_UUID = "7d1b4c2a-9e0f-4b58-8c6d-3e2f1a0b9c8d"


def rules(*pairs: tuple[str, Comparator]) -> Rules:
    day = date(2027, 1, 1)
    return Rules(tuple(Rule(path, how, "ada", "why not", day) for path, how in pairs))


def answer(document: object) -> ResponseSnapshot:
    body = json.dumps(document).encode()
    return ResponseSnapshot(200, ((b"content-type", b"application/json"),), body)


def page(text: str) -> ResponseSnapshot:
    return ResponseSnapshot(200, ((b"content-type", b"text/html"),), text.encode())


def uncovered(control: ResponseSnapshot, candidate: ResponseSnapshot, agreed: Rules) -> list[str]:
    found = compare(control, candidate, agreed)
    return [f"{each.kind} {each.path}" for each in found.differences if each.rule is None]


COVERED = [
    pytest.param({"a": 1}, {"a": 2}, "$.a", Ignore(), id="ignore a value"),
    pytest.param({"a": 1}, {}, "$.a", Ignore(), id="ignore that it is missing"),
    pytest.param({"i": [{"a": 1}]}, {"i": [{"a": 2}]}, "$.i[*].a", Ignore(), id="in any item"),
    pytest.param({"i": [1, 2]}, {"i": [1, 3]}, "$.i[1]", Ignore(), id="in one item"),
    pytest.param([[1]], [[2]], "$[0][*]", Ignore(), id="one index given, one not"),
    pytest.param({"a b": 1}, {"a b": 2}, '$["a b"]', Ignore(), id="a quoted key"),
    pytest.param([1, 2], [2, 1], "$", Unordered(), id="another order"),
    pytest.param(
        [1.0], [1.01], "$[*]", NumberTolerance(Decimal("0.01")), id="a number near enough"
    ),
    pytest.param([1], [1.0], "$[*]", NumberTolerance(Decimal("0.01")), id="or of another type"),
    pytest.param(
        ["1.00"], ["1.01"], "$[*]", NumberTolerance(Decimal("0.01")), id="a text that is one"
    ),
    pytest.param(
        ["2026-11-22T10:00:00Z"],
        ["2026-11-22T10:00:05.3Z"],
        "$[*]",
        TimestampWithin(6),
        id="timestamps",
    ),
    pytest.param([1_800_000_000], [1_800_000_005], "$[*]", TimestampWithin(5), id="Unix seconds"),
    pytest.param([UUID], [OTHER_UUID], "$[*]", SameShape(), id="uuids"),
    pytest.param([41], [42], "$[*]", SameShape(), id="counters"),
]


@pytest.mark.parametrize(("control", "candidate", "path", "how"), COVERED)
def test_a_rule_covers_what_it_allows_at_its_path(control, candidate, path, how):
    found = compare(answer(control), answer(candidate), rules((path, how)))

    assert found.verdict == "ignored"
    assert {each.rule for each in found.differences} == {f"{path} {how}"}


UNCOVERED = [
    pytest.param(
        {"i": [{"id": 1, "idempotency_key": 1}]},
        {"i": [{"id": 2, "idempotency_key": 2}]},
        "$.i[*].id",
        Ignore(),
        ["value $.i[0].idempotency_key"],
        id="a name that begins like it",
    ),
    pytest.param({"a": {"b": 1}}, {"a": {"b": 2}}, "$.a", Ignore(), ["value $.a.b"], id="within"),
    pytest.param({"a": 1}, {}, "$.a.b", Ignore(), ["missing $.a"], id="around"),
    pytest.param([[1]], [[2]], "$[*]", Ignore(), ["value $[0][0]"], id="an index more"),
    pytest.param([1, 2], [3, 2], "$[1]", Ignore(), ["value $[0]"], id="another index"),
    pytest.param(
        {"[3]": 1}, {"[3]": 2}, "$[*]", Ignore(), ['value $["[3]"]'], id="a key like an index"
    ),
    pytest.param([1, 2], [2, 3], "$", Unordered(), ["value $[0]"], id="another item"),
    pytest.param([1, 2], [2], "$", Unordered(), ["length $"], id="a shorter list"),
    pytest.param(
        [1.0], [1.02], "$[*]", NumberTolerance(Decimal("0.01")), ["value $[0]"], id="too far"
    ),
    pytest.param(
        [1], ["1"], "$[*]", NumberTolerance(Decimal(9)), ["type $[0]"], id="text for number"
    ),
    pytest.param([1], [True], "$[*]", NumberTolerance(Decimal(9)), ["type $[0]"], id="true for 1"),
    pytest.param([1], [None], "$[*]", SameShape(), ["type $[0]"], id="null for a counter"),
    pytest.param([1], [1.0], "$[*]", SameShape(), ["type $[0]"], id="1.0 for 1"),
    pytest.param(
        ["2026-11-22T10:00:00Z"],
        ["2026-11-22 10:00:00"],
        "$[*]",
        TimestampWithin(60),
        ["value $[0]"],
        id="another notation",
    ),
    pytest.param([UUID], [UUID[:-1]], "$[*]", SameShape(), ["value $[0]"], id="a shorter uuid"),
]


@pytest.mark.parametrize(("control", "candidate", "path", "how", "left"), UNCOVERED)
def test_a_rule_covers_nothing_else(control, candidate, path, how, left):
    assert left == uncovered(answer(control), answer(candidate), rules((path, how)))


def test_some_ignored_and_one_not_is_a_mismatch():
    agreed = rules(("$.a", Ignore()))

    found = compare(answer({"a": 1, "b": 1}), answer({"a": 2, "b": 2}), agreed)

    assert (found.verdict, found.severity) == ("mismatched", "medium")


def test_an_exact_rule_is_asked_before_one_for_any_index():
    agreed = rules(("$[*]", Ignore()), ("$[0]", SameShape()))

    [difference] = compare(answer([1]), answer([2]), agreed).differences

    assert difference.rule == "$[0] same_shape"


def test_what_the_exact_rule_forbids_the_other_may_allow():
    agreed = rules(("$[*]", Ignore()), ("$[0]", SameShape()))

    [difference] = compare(answer([1]), answer(["a"]), agreed).differences

    assert difference.rule == "$[*] ignore"


def test_an_only_child_of_html_is_any_child():
    agreed = rules(("html:/ul/li[*]/text()", Ignore()))

    assert uncovered(page("<ul><li>a</ul>"), page("<ul><li>b</ul>"), agreed) == []


def test_a_path_without_an_index_is_only_the_only_child_of_html():
    agreed = rules(("html:/ul/li/text()", Ignore()))

    assert ["text html:/ul/li[2]/text()"] == uncovered(
        page("<ul><li>a<li>a</ul>"), page("<ul><li>a<li>b</ul>"), agreed
    )


def test_keyed_items_are_paired_told_missing_and_told_extra():
    agreed = rules(("$", KeyedBy("sku")))
    control = [{"sku": "a", "n": 1}, {"sku": "b", "n": 1}, {"sku": "c", "n": 1}]
    candidate = [{"sku": "d"}, {"sku": "c", "n": 2}, {"sku": "a", "n": 1}]

    assert ["missing $[1]", "extra $[0]", "value $[2].n"] == uncovered(
        answer(control), answer(candidate), agreed
    )


KEYLESS = [
    pytest.param([{"sku": "a"}, {"sku": "a"}], [{"sku": "a"}, {"sku": "b"}], id="not unique"),
    pytest.param([{"sku": "a"}, 1], [{"sku": "a"}, 2], id="not an object"),
    pytest.param([{"sku": "a"}, {}], [{"sku": "a"}, {"sku": 1}], id="not there"),
    pytest.param([{"sku": "a"}, {"sku": None}], [{"sku": "a"}, {"sku": 1}], id="not a key"),
]


@pytest.mark.parametrize(("control", "candidate"), KEYLESS)
def test_items_without_a_key_of_their_own_are_compared_in_place(control, candidate):
    agreed = rules(("$", KeyedBy("sku")))

    [left] = uncovered(answer(control), answer(candidate), agreed)

    assert left.partition(" ")[2].startswith("$[1]")


def test_a_keyed_list_that_was_empty_tells_what_came():
    agreed = rules(("$", KeyedBy("sku")))

    assert ["extra $[0]"] == uncovered(answer([]), answer([{"sku": 1}]), agreed)


def test_unordered_items_are_paired_by_what_no_rule_is_about():
    agreed = rules(("$", Unordered()), ("$[*].at", Ignore()), ("$[*].tags", Unordered()))
    control = [{"n": 1, "at": 1, "tags": [1, 2]}, {"n": 2, "at": 1, "tags": [3, [4]]}]
    candidate = [{"n": 2, "at": 9, "tags": [[4], 3]}, {"n": 1, "at": 8, "tags": [2, 1]}]

    assert compare(answer(control), answer(candidate), agreed).verdict == "ignored"


def test_a_new_order_is_seen_through_what_rules_allow():
    agreed = rules(("$[*].at", Ignore()))
    control = [{"n": [1], "at": 1}, {"n": [2], "at": 2}]
    candidate = [{"n": [2], "at": 3}, {"n": [1], "at": 4}]

    assert ["order $"] == uncovered(answer(control), answer(candidate), agreed)


def test_a_shorter_list_is_seen_through_what_rules_allow():
    agreed = rules(("$[*].at", Ignore()))
    control = [{"n": 1, "at": 1}, {"n": 2, "at": 1}, {"n": 3, "at": 1}]
    candidate = [{"n": 1, "at": 2}, {"n": 3, "at": 2}]

    assert ["length $"] == uncovered(answer(control), answer(candidate), agreed)


def test_many_ignored_differences_are_cut_and_the_verdict_stands():
    agreed = rules(("$[*]", Ignore()))

    found = compare(answer([0] * 500), answer([1] * 500), agreed)

    assert (found.verdict, found.truncated, len(found.differences)) == ("ignored", True, 100)


def test_a_mismatch_behind_many_ignored_differences_is_found():
    agreed = rules(("$.a[*]", Ignore()))
    control, candidate = {"a": [0] * 500, "b": 1}, {"a": [1] * 500, "b": 2}

    assert ["value $.b"] == uncovered(answer(control), answer(candidate), agreed)


COOKIES = [
    pytest.param(
        "a=1; Max-Age=60",
        "a=1; Max-Age=59",
        "cookie:a;max-age",
        NumberTolerance(Decimal(1)),
        id="Max-Age",
    ),
    pytest.param(
        "a=1; Expires=Sun, 22 Nov 2026 10:00:00 GMT",
        "a=1; Expires=Sun, 22 Nov 2026 10:00:02 GMT",
        "cookie:a;expires",
        TimestampWithin(5),
        id="Expires",
    ),
    pytest.param(
        "a=1; Expires=Sun, 22-Nov-2026 10:00:00 GMT",
        "a=1; Expires=Sun, 22-Nov-2026 10:00:02 GMT",
        "cookie:a;expires",
        TimestampWithin(5),
        id="Expires with hyphens",
    ),
    pytest.param("a=eyJh0k.1f; Path=/", "a=eyJh1l.2e; Path=/", "cookie:a", Ignore(), id="a value"),
]


@pytest.mark.parametrize(("control", "candidate", "path", "how"), COOKIES)
def test_a_rule_is_about_one_thing_of_a_cookie(control, candidate, path, how):
    pair = [
        ResponseSnapshot(200, ((b"set-cookie", each.encode()),)) for each in (control, candidate)
    ]

    assert compare(*pair, rules((path, how))).verdict == "ignored"


SHAPES = [
    pytest.param(UUID, OTHER_UUID, True, id="uuids"),
    pytest.param("a41c09d2", "c0ffee12", True, id="hex of one length"),
    pytest.param("a41c09d2", "c0ffee1", False, id="hex of two lengths"),
    pytest.param("12345678", "deadbeef", True, id="hex that happens to be digits"),
    pytest.param("99", "100", True, id="numbers of any length"),
    pytest.param("ORD-99", "ORD-100", True, id="a prefix and a number"),
    pytest.param("ORD-99", "INV-99", False, id="another prefix"),
    pytest.param('W/"115674fc43e869"', 'W/"215674fc43e86f"', True, id="an etag"),
    pytest.param("Rendered in 12 ms", "Rendered in 7 ms", True, id="prose but for numbers"),
    pytest.param("Rendered in 12 ms", "Painted in 12 ms", False, id="other words"),
    pytest.param("eyJjYXJ0IjpbXX0.1a65", "eyJjYXJ0IjpbMV0.9f3e", True, id="signed tokens"),
    pytest.param(
        "eyJjYXJ0IjpbXX0.1a65", "eyJjYXJ0IjpbMV01a.65", False, id="parts of other lengths"
    ),
    pytest.param("free-postage-on-orders", "free-shipping-to-spain", False, id="long words"),
    pytest.param("x" * 5000, "y" * 5000, False, id="too long for a shape"),
    pytest.param([1], [1], False, id="a container"),
    pytest.param(True, False, False, id="true and false"),
    pytest.param(None, None, False, id="null"),
    pytest.param(1, Decimal("1.5"), True, id="two numbers of two types"),
    pytest.param("1", 1, False, id="a text and a number"),
]


@pytest.mark.parametrize(("control", "candidate", "alike"), SHAPES)
def test_two_values_look_alike_or_not(control, candidate, alike):
    assert alike == have_same_value_shape(control, candidate)


TIMES = [
    pytest.param("2026-11-22", "2026-11-23", 86400, id="days"),
    pytest.param("2026-11-22T10:00Z", "2026-11-22T10:01:00Z", 60, id="with or without seconds"),
    pytest.param("2026-11-22T10:00:00+01:00", "2026-11-22T10:00:00+0200", 3600, id="offsets"),
    pytest.param("2026-11-22 10:00:00,5", "2026-11-22 10:00:01", 0.5, id="a decimal comma"),
    pytest.param("2026-02-30", "2026-02-28", None, id="a day that is not"),
    pytest.param(
        "Sun, 22 Nov 2026 25:00:00 GMT",
        "Sun, 22 Nov 2026 10:00:00 GMT",
        None,
        id="an hour that is not",
    ),
    pytest.param("2026-11-22", "2026-11-22T00:00", None, id="a day and a time"),
    pytest.param(1_800_000_000_000, 1_800_000_001_500, 1.5, id="milliseconds"),
    pytest.param(Decimal("1800000000.25"), Decimal("1800000001.5"), 1.25, id="fractions"),
    pytest.param("1800000000", "1800000001", 1, id="text"),
    pytest.param("1800000000", 1800000001, None, id="text and number"),
    pytest.param(1_800_000_000, 1_800_000_000_000, None, id="seconds and milliseconds"),
    pytest.param(12, 13, None, id="small numbers"),
    pytest.param(40_000_000_000, 40_000_000_001, None, id="neither seconds nor milliseconds"),
    pytest.param("soon", "later", None, id="words"),
    pytest.param(True, True, None, id="true"),
]


@pytest.mark.parametrize(("control", "candidate", "seconds"), TIMES)
def test_the_time_between_two_values(control, candidate, seconds):
    assert seconds == seconds_between(control, candidate)


ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.text(),
    st.from_regex(r"\A\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d([+-]\d\d:\d\d)?\Z"),
    st.from_regex(r"\A[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\Z"),
    st.just(Decimal("1e999999")),
    st.just(10**900),
    st.lists(st.none()),
)
HOWS = st.sampled_from(
    [
        Ignore(),
        Unordered(),
        KeyedBy("a"),
        NumberTolerance(Decimal(1)),
        TimestampWithin(1),
        SameShape(),
    ]
)


@settings(max_examples=60, deadline=None)
@given(HOWS, ANY, ANY)
def test_a_comparator_answers_for_any_two_values_alike_both_ways(how, control, candidate):
    there = how.allows("value", likeness_of(control, candidate))

    assert there == how.allows("value", likeness_of(candidate, control))


NAMES = [
    pytest.param(TimestampWithin(90), "timestamp_within 90s", id="seconds"),
    pytest.param(TimestampWithin(300), "timestamp_within 5m", id="minutes"),
    pytest.param(TimestampWithin(7200), "timestamp_within 2h", id="hours"),
    pytest.param(TimestampWithin(0), "timestamp_within 0s", id="none"),
    pytest.param(KeyedBy("sku"), "keyed_by sku", id="a key"),
    pytest.param(NumberTolerance(Decimal("0.01")), "tolerance 0.01", id="a tolerance"),
]


@pytest.mark.parametrize(("how", "name"), NAMES)
def test_a_comparator_is_named_as_the_file_writes_it(how, name):
    assert name == str(how)


def rule(how: Comparator, *kinds: str, path: str = "$.a") -> Rules:
    return Rules((Rule(path, how, "ada", "why not", date(2027, 1, 1), kinds=kinds),))


@pytest.mark.parametrize(
    ("own", "control", "candidate", "expected"),
    [
        pytest.param(rule(SameShape()), "red", "green", False, id="it forbids"),
        pytest.param(rule(SameShape()), UUID, OTHER_UUID, True, id="it allows"),
        pytest.param(rule(SameShape(), "value"), "red", 1, True, id="it says nothing of the kind"),
        pytest.param(rule(SameShape(), path="$.b"), "red", "green", True, id="of another place"),
        pytest.param(Rules.none, "red", "green", True, id="it has none"),
    ],
)
def test_a_rule_of_the_route_decides_before_those_for_every_route(
    own, control, candidate, expected
):
    agreed = own.with_shared_rules(rule(Ignore()))

    found = compare(answer({"a": control}), answer({"a": candidate}), agreed)

    assert expected == (found.verdict == "ignored")


def test_a_rule_of_the_route_pairs_items_before_one_for_every_route():
    own, shared = rule(KeyedBy("sku"), path="$.i"), rule(Unordered(), path="$.i")

    assert KeyedBy("sku") == own.with_shared_rules(shared).pairing_comparator_at("$.i")
