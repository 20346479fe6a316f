"""Learning noise: what is counted, what is proposed, and what rates it takes."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from itertools import islice, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.findings.noise import MAX_SHAPES, Noise, measure_pair_noise
from overgrow.shadow.findings.path_variation import (
    MAX_EXAMPLES,
    NoiseExample,
    PathVariation,
    mask_value,
)
from overgrow.shadow.findings.proposing import NEEDED, propose_rules
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
from overgrow.shadow.values.snapshot import ResponseSnapshot

DAY = date(2027, 1, 1)
SYLLABLES = [f"{one}{other}" for one in "bdlmnprst" for other in "aeio"]
UUIDS = ("0c8a3a0e-5f2e-4a39-9d7e-2b1f7c4d5e6f", "7d1b4c2a-9e0f-4b58-8c6d-3e2f1a0b9c8d")


def answer(document: object) -> ResponseSnapshot:
    body = json.dumps(document).encode()
    return ResponseSnapshot(200, ((b"content-type", b"application/json"),), body)


def learned(pairs: int, pair: Callable[[int], tuple[object, object]]) -> Noise:
    """What so many pairs of documents teach."""
    found = Noise.none
    for at in range(pairs):
        control, again = pair(at)
        found += measure_pair_noise(f"p{at:03}", answer({"v": control}), answer({"v": again}))
    return found


def proposed(noise: Noise) -> list[tuple[str, Comparator]]:
    return [(each.path, each.how) for each in propose_rules(noise)]


ROWS = [{"id": at, "n": "x"} for at in range(4)]
NAMELESS = [{"n": at} for at in range(4)]


def clock(second: int) -> str:
    return f"2026-11-22T10:00:{second:02}Z"


NOISE = [
    pytest.param(lambda at: (clock(1), clock(2)), TimestampWithin(2), id="a clock, a second"),
    pytest.param(lambda at: (clock(1), clock(4)), TimestampWithin(10), id="a clock, three"),
    pytest.param(
        lambda at: (1_800_000_000 + at, 1_800_000_001 + at), TimestampWithin(2), id="Unix seconds"
    ),
    pytest.param(lambda at: UUIDS, SameShape(), id="a uuid"),
    pytest.param(lambda at: (f"{at:032x}"[::-1], f"{at + 1:032x}"[::-1]), SameShape(), id="hex"),
    pytest.param(lambda at: (at, at + 1), SameShape(), id="a counter"),
    pytest.param(lambda at: (f"No {at}", f"No {at + 1}"), SameShape(), id="a number in prose"),
    pytest.param(lambda at: (100.5, 100.75), NumberTolerance(Decimal("0.5")), id="a jitter"),
    pytest.param(lambda at: (99.0, 100.0), NumberTolerance(Decimal(2)), id="a hundredth"),
    pytest.param(lambda at: (98.9, 100.0), SameShape(), id="more than a hundredth"),
    pytest.param(lambda at: (0.5, 12.5), SameShape(), id="a number that leaps"),
    pytest.param(lambda at: (0, -0.5), SameShape(), id="whole and not"),
    pytest.param(lambda at: (ROWS, ROWS[::-1]), KeyedBy("id"), id="a list of things"),
    pytest.param(lambda at: ([1, 2, 3], [3, 1, 2]), Unordered(), id="a list of scalars"),
    pytest.param(lambda at: (NAMELESS, NAMELESS[::-1]), Unordered(), id="a list of nameless"),
    pytest.param(lambda at: ("red", "green"), Ignore(), id="words"),
    pytest.param(lambda at: (None, "green"), Ignore(), id="there or null"),
    pytest.param(lambda at: ("2026-11-22", "2024-01-01"), SameShape(), id="times too far apart"),
]


@pytest.mark.parametrize(("pair", "how"), NOISE)
def test_the_narrowest_comparator_that_explains_the_noise_is_proposed(pair, how):
    assert [("$.v", how)] == proposed(learned(60, pair))


@pytest.mark.parametrize(("pair", "how"), NOISE)
def test_a_proposal_that_is_accepted_covers_the_noise(pair, how):
    [proposal] = propose_rules(learned(60, pair))
    control, again = (answer({"v": each}) for each in pair(1))

    accepted = Rules((proposal.to_rule("ada", "noise", DAY),))

    assert compare(control, again, accepted).verdict == "ignored"


# comparator, two values that it explains
EXPLAINED = [
    pytest.param("timestamp_within", (clock(1), clock(2)), id="timestamp_within"),
    pytest.param("unordered", ([1, 2], [2, 1]), id="unordered"),
    pytest.param("keyed_by", (ROWS, ROWS[::-1]), id="keyed_by"),
    pytest.param("tolerance", (100.5, 100.75), id="tolerance"),
    pytest.param("same_shape", UUIDS, id="same_shape"),
    pytest.param("ignore", ("red", "green"), id="ignore"),
]


def some_differ(seen: int, different: int, values: tuple[object, object]) -> Noise:
    return learned(seen, lambda at: values if at < different else (values[0], values[0]))


@pytest.mark.parametrize(("name", "values"), EXPLAINED)
def test_a_comparator_is_proposed_from_enough_pairs_on(name, values):
    need = NEEDED[name]
    different = max(need.different, int(need.rate * need.seen))

    assert [name] == [
        str(how).partition(" ")[0] for _, how in proposed(some_differ(need.seen, different, values))
    ]


@pytest.mark.parametrize(("name", "values"), EXPLAINED)
def test_a_pair_less_that_differs_is_too_few(name, values):
    need = NEEDED[name]

    assert proposed(some_differ(need.seen, need.different - 1, values)) == []


@pytest.mark.parametrize(("name", "values"), EXPLAINED)
def test_a_pair_less_that_was_seen_is_too_few(name, values):
    seen = NEEDED[name].seen - 1

    assert proposed(some_differ(seen, seen, values)) == []


def test_a_rate_below_what_is_needed_proposes_nothing():
    assert proposed(some_differ(200, 9, UUIDS)) == []


def test_a_rate_that_is_needed_proposes():
    assert proposed(some_differ(200, 10, UUIDS)) == [("$.v", SameShape())]


def test_a_rare_odd_pair_does_not_widen_the_rule():
    noise = learned(100, lambda at: ("gone", "here") if at == 7 else (clock(1), clock(2)))

    [proposal] = propose_rules(noise)

    assert (proposal.how, proposal.different, proposal.explained) == (TimestampWithin(2), 100, 99)


def test_odd_pairs_that_are_not_rare_leave_what_explains_most_its_rule():
    noise = learned(100, lambda at: ("gone", "here") if at < 10 else (clock(1), clock(2)))

    assert proposed(noise) == [("$.v", TimestampWithin(2))]


def test_a_comparator_gives_way_to_one_that_explains_more():
    noise = learned(100, lambda at: ("gone 1", "gone 2") if at < 30 else (clock(1), clock(2)))

    assert proposed(noise) == [("$.v", SameShape())]


def test_pairs_of_which_nothing_explains_half_are_ignored():
    noise = learned(100, lambda at: ("gone", "here") if at < 60 else (clock(1), clock(2)))

    assert proposed(noise) == [("$.v", Ignore())]


@pytest.mark.parametrize("different", [48, 30], ids=["about half", "one variant is rare"])
def test_a_text_of_two_variants_is_proposed_wherever_chance_puts_its_rate(different):
    noise = some_differ(100, different, ("few left", "in stock"))

    [proposal] = propose_rules(noise)

    assert (Ignore(), ("value",)) == (proposal.how, proposal.kinds)


def test_a_path_that_differs_in_several_items_counts_once_a_pair():
    noise = learned(60, lambda at: ([UUIDS[0]] * 3, [UUIDS[1]] * 3))

    [proposal] = propose_rules(noise)

    assert (proposal.path, proposal.seen, proposal.different) == ("$.v[*]", 60, 60)


def test_a_reason_must_hold_for_all_items_of_a_pair():
    noise = learned(60, lambda at: ([clock(1), "red"], [clock(2), "green"]))

    assert proposed(noise) == [("$.v[*]", Ignore())]


def test_the_bound_is_that_of_the_item_that_differs_most():
    noise = learned(60, lambda at: ([clock(1), clock(1)], [clock(2), clock(5)]))

    assert proposed(noise) == [("$.v[*]", TimestampWithin(10))]


def test_a_list_keyed_in_one_pair_and_not_in_another_is_unordered():
    rows = [ROWS, [{"name": "a"}, {"name": "b"}]]

    noise = learned(60, lambda at: (rows[at % 2], rows[at % 2][::-1]))

    assert proposed(noise) == [("$.v", Unordered())]


def test_header_lines_in_another_order_are_no_list():
    lines = ((b"x-hops", b"red"), (b"x-hops", b"green"))
    pair = ResponseSnapshot(200, lines), ResponseSnapshot(200, lines[::-1])

    noise = functools.reduce(operator.add, (measure_pair_noise(f"{at}", *pair) for at in range(60)))

    assert proposed(noise) == [("header:x-hops", Ignore())]


def test_a_cookie_with_a_token_is_proposed_by_its_shape():
    pair = [
        ResponseSnapshot(
            200, ((b"set-cookie", b"s=eyJjYXJ0IjpbXX0." + sign + b"; Path=/; HttpOnly"),)
        )
        for sign in (b"1a65917847", b"7515f46200")
    ]

    noise = functools.reduce(operator.add, (measure_pair_noise(f"{at}", *pair) for at in range(60)))

    assert proposed(noise) == [("cookie:s", SameShape())]


def test_a_token_in_a_page_is_proposed_at_its_attribute():
    pair = [
        ResponseSnapshot(
            200,
            ((b"content-type", b"text/html"),),
            f'<form><input value="{token}"><input value="a"></form>'.encode(),
        )
        for token in ("cc5407fdf68909c1", "d8bc3550c70423b3")
    ]

    noise = functools.reduce(operator.add, (measure_pair_noise(f"{at}", *pair) for at in range(60)))

    assert proposed(noise) == [("html:/form/input[1]/@value", SameShape())]


def test_what_a_rule_covers_is_learned_no_more():
    agreed = Rules((Rule("$.v", Ignore(), "ada", "known", DAY),))
    pair = answer({"v": 1}), answer({"v": 2})

    noise = measure_pair_noise("p", *pair, agreed)

    assert noise.shapes["$.v"].different == 0


@pytest.mark.parametrize(
    ("document", "headers"),
    [
        pytest.param({"jane@example.com": 1}, (), id="an address as a key"),
        pytest.param({"sessions": {"Zq7kV2xT9mP4wL8r": {"age": 1}}}, (), id="a token as a key"),
        pytest.param({}, ((b"set-cookie", b"Zq7kV2xT9mP4wL8r=1"),), id="a token as a cookie"),
        pytest.param({}, ((b"x-zq7kv2xt9mp4wl8r", b"1"),), id="a token as a header"),
    ],
)
def test_a_path_with_a_step_that_looks_like_data_is_not_learned(document, headers):
    body = json.dumps(document | {"name": 1}).encode()
    control = ResponseSnapshot(200, ((b"content-type", b"application/json"), *headers), body)
    again = ResponseSnapshot(200, control.headers[:1], b'{"name": 2}')

    told = json.dumps(measure_pair_noise("p", control, again).as_json()).lower()
    assert "$.name" in told
    assert not any(each in told for each in ("jane", "zq7k"))


def test_paths_that_are_not_kept_are_counted():
    learned = measure_pair_noise(
        "p", answer({"jane@example.com": 1, "name": 1}), answer({"name": 1})
    )

    assert learned.left_out == 1


def test_a_path_that_is_not_always_there_is_counted_where_it_is():
    noise = learned(60, lambda at: ({"a": UUIDS[0]}, {"a": UUIDS[1]}) if at % 2 else ({}, {}))

    [proposal] = propose_rules(noise)

    assert (proposal.path, proposal.seen, noise.pairs) == ("$.v.a", 30, 60)


def test_a_proposal_tells_its_figures():
    [proposal] = propose_rules(some_differ(60, 40, UUIDS))

    assert proposal.figures_sentence == (
        "differs between two responses of one side in 40 of 60 pairs; same_shape explains 40 of them"
    )


def test_the_examples_of_a_proposal_name_their_pairs_and_hide_their_values():
    [proposal] = propose_rules(some_differ(60, 40, ("hunter2, señor", "swordfish9, señor")))

    assert len(proposal.examples) == MAX_EXAMPLES
    assert NoiseExample("p000", "xxxxxx9, xxxxx", "xxxxxxxxx9, xxxxx") == proposal.examples[0]


MASKED = [
    pytest.param("a" * 100, "x" * 80, id="long"),
    pytest.param([1, 2], "array (2 items)", id="a list"),
    pytest.param({"password": 1}, "object (1 key)", id="an object"),
    pytest.param(12.5, "99.9", id="a number"),
    pytest.param("٣€\n", "9??", id="what is not ASCII"),
]


@pytest.mark.parametrize(("value", "shown"), MASKED)
def test_an_example_shows_no_value(value, shown):
    number = Decimal(str(value)) if isinstance(value, float) else value

    assert shown == mask_value(number)


PAIRS = st.tuples(
    st.sampled_from(["p1", "p2", "p3", "p4", "p5", "p6", "p7"]),
    *[
        st.dictionaries(
            st.sampled_from("abc"),
            st.sampled_from([1, 2, 2.5, "x", *UUIDS, clock(1), clock(9), ROWS, ROWS[::-1]]),
            max_size=3,
        )
    ]
    * 2,
)
LEARNED = st.lists(PAIRS, max_size=4).map(
    lambda pairs: functools.reduce(
        operator.add,
        (measure_pair_noise(name, answer(one), answer(two)) for name, one, two in pairs),
        Noise.none,
    )
)


@settings(max_examples=40, deadline=None)
@given(LEARNED, LEARNED, LEARNED)
def test_figures_add_up_in_any_order(first, second, third):
    assert (first + second) + third == third + (second + first)


@settings(max_examples=40, deadline=None)
@given(LEARNED)
def test_figures_that_were_stored_are_read_as_they_were(noise):
    assert noise == Noise.from_json(json.loads(json.dumps(noise.as_json())))


def test_paths_beyond_the_limit_are_left_out_and_counted_noisy_ones_last():
    words = ("".join(each) for each in product(SYLLABLES, repeat=3))
    many = dict.fromkeys(islice(words, MAX_SHAPES + 50), 1)
    *_, last = many
    noise = measure_pair_noise("p", answer(many), answer({**many, last: 2}))

    assert (len(noise.shapes), f"$.{last}" in noise.shapes) == (MAX_SHAPES, True)
    assert noise.left_out > 50


def test_merging_keeps_to_the_limit():
    quiet = Noise(1, {f"$.q{at}": PathVariation(1) for at in range(MAX_SHAPES)})
    noisy = Noise(1, {"$.n": PathVariation(1, 1)})

    merged = quiet + noisy

    assert (len(merged.shapes), merged.left_out, "$.n" in merged.shapes) == (MAX_SHAPES, 1, True)
