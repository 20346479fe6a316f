from datetime import date
from typing import NamedTuple

import pytest

from overgrow.shadow.rules.comparators import (
    Ignore,
    KeyedBy,
    NumberTolerance,
    SameShape,
    TimestampWithin,
    Unordered,
)
from overgrow.shadow.rules.rejudge import build_coverage_check, build_undecided_rule_finder
from overgrow.shadow.rules.rules import Rule, Rules


class Part(NamedTuple):
    """One kind of difference, as the store keeps it."""

    kind: str = "value"
    path: str = "$.a"
    control: str = "int"
    candidate: str = "int"
    rule: str | None = None
    gap: float | None = None
    gap_s: float | None = None
    alike: bool = False
    one_type: bool = True
    other: str = ""
    place: str = ""
    paired: str = ""


def rule(how, path="$.a"):
    return Rule(path, how, "ada", "why", date(2030, 1, 1))


def covers(how, part, path="$.a"):
    return build_coverage_check(Rules((rule(how, path),)))(part)


CENT = NumberTolerance.parse("0.01")
TEXTS = {"control": "str", "candidate": "str"}


@pytest.mark.parametrize(
    ("how", "part", "expected"),
    [
        pytest.param(Ignore(), Part("type"), True, id="ignore covers all"),
        pytest.param(Unordered(), Part("order"), True, id="only the order"),
        pytest.param(KeyedBy("id"), Part("order"), True, id="only the order, by key"),
        pytest.param(Unordered(), Part("length"), False, id="more than the order"),
        pytest.param(CENT, Part(gap=0.01), True, id="a gap as wide as allowed"),
        pytest.param(CENT, Part(gap=0.02), False, id="a wider gap"),
        pytest.param(CENT, Part(), False, id="a gap nobody knows"),
        pytest.param(CENT, Part(**TEXTS, gap=0.0), True, id="numbers in texts"),
        pytest.param(CENT, Part(candidate="float", gap=0.0), True, id="two kinds of numbers"),
        pytest.param(TimestampWithin(5), Part(**TEXTS, gap_s=5.0), True, id="near times"),
        pytest.param(TimestampWithin(5), Part(**TEXTS, gap_s=6.0), False, id="times apart"),
        pytest.param(TimestampWithin(5), Part(**TEXTS), False, id="no times"),
        pytest.param(SameShape(), Part(alike=True), True, id="values that look alike"),
        pytest.param(SameShape(), Part(), False, id="some that do not"),
    ],
)
def test_a_rule_covers_what_it_must_allow_and_nothing_in_doubt(how, part, expected):
    assert expected == covers(how, part)


def test_what_a_rule_covered_at_capture_it_covers_while_it_says_the_same():
    before = rule(SameShape())
    part = Part(**TEXTS, rule=before.name)

    assert (True, False) == (covers(SameShape(), part), covers(CENT, part))


def test_what_a_rule_covered_at_a_hidden_step_it_covers_still():
    before = rule(Ignore(), '$["a name of data"]')
    part = Part(path="$.<key>", rule=before.name)

    assert (True, False) == (
        build_coverage_check(Rules((before,)))(part),
        build_coverage_check(Rules.none)(part),
    )


def test_a_rule_covers_its_own_path_only():
    part = Part(path="$.items[*].id")

    paths = ("$.items[*].id", "$.items[*]", "$.items[3].id", "$.items[*].id.inner")
    assert [True, False, False, False] == [covers(Ignore(), part, path) for path in paths]


def test_without_rules_nothing_is_covered():
    assert not build_coverage_check(Rules.none)(Part(rule="$.a ignore"))


def test_what_was_never_told_is_covered_by_no_rule():
    assert not covers(Ignore(), Part("untold", "$", "", ""), "$")


ROWS = "$.rows[*].n"
KEYED = rule(KeyedBy("id"), "$.rows")
IGNORED = rule(Ignore(), ROWS)


@pytest.mark.parametrize(
    ("rules", "part", "expected"),
    [
        pytest.param((IGNORED,), Part(path=ROWS), True, id="paired by no rule, then and now"),
        pytest.param((IGNORED, KEYED), Part(path=ROWS), False, id="a rule pairs since"),
        pytest.param(
            (IGNORED, KEYED), Part(path=ROWS, paired=KEYED.name), True, id="paired by it then"
        ),
        pytest.param((IGNORED,), Part(path=ROWS, paired=KEYED.name), False, id="it is gone"),
        pytest.param((IGNORED, KEYED), Part(path=ROWS, paired="*"), False, id="sometimes by it"),
        pytest.param(
            (IGNORED, rule(KeyedBy("id"), "$.other")), Part(path=ROWS), True, id="another array's"
        ),
        pytest.param((KEYED,), Part("order", "$.rows"), True, id="the order itself"),
    ],
)
def test_what_hangs_on_how_items_were_paired_is_open_when_that_changed(rules, part, expected):
    assert build_coverage_check(Rules(rules))(part) is expected


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        pytest.param("$.rows[3].n", True, id="its own place"),
        pytest.param("$.rows[4].n", False, id="another"),
        pytest.param("*", False, id="several"),
        pytest.param("", False, id="unknown"),
    ],
)
def test_a_rule_about_one_place_covers_what_was_found_there(place, expected):
    there = rule(Ignore(), "$.rows[3].n")

    assert build_coverage_check(Rules((there,)))(Part(path=ROWS, place=place)) is expected


@pytest.mark.parametrize(
    ("rules", "part", "expected"),
    [
        pytest.param((IGNORED,), Part(path=ROWS), None, id="it is covered"),
        pytest.param((IGNORED, KEYED), Part(path=ROWS), KEYED, id="a rule pairs since"),
        pytest.param((IGNORED,), Part(path=ROWS, paired=KEYED.name), None, id="it is gone"),
        pytest.param(
            (rule(Ignore(), "$.rows[3].n"),),
            Part(path=ROWS, place="*"),
            rule(Ignore(), "$.rows[3].n"),
            id="one of several places",
        ),
        pytest.param((rule(CENT, "$.rows[3].n"),), Part(path=ROWS, place="*"), None, id="too far"),
        pytest.param((rule(CENT, ROWS),), Part(path=ROWS), None, id="never covered"),
        pytest.param((IGNORED,), Part("untold", "$"), None, id="never told"),
    ],
)
def test_the_rule_is_named_that_may_cover_what_is_in_doubt(rules, part, expected):
    assert build_undecided_rule_finder(Rules(rules))(part) == expected
