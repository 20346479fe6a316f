from datetime import date
from typing import NamedTuple

import pytest

from proxy.shadow.comparators import (
    Ignore,
    KeyedBy,
    SameShape,
    TimestampWithin,
    Tolerance,
    Unordered,
    decimal_of,
)
from proxy.shadow.rejudge import explains, undecided
from proxy.shadow.rules import Rule, Rules


class Part(NamedTuple):
    """One kind of difference, as the store keeps it."""

    kind: str = "value"
    path: str = "$.a"
    control: str = "int"
    candidate: str = "int"
    rule: str | None = None
    gap: float | None = None
    gap_s: float | None = None


def rule(how, path="$.a"):
    return Rule(path, how, "ada", "why", date(2030, 1, 1))


def covers(how, part, path="$.a"):
    return explains(Rules((rule(how, path),)))(part)


CENT = Tolerance(decimal_of("0.01"))
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
        pytest.param(CENT, Part(candidate="str", gap=0.0), False, id="a number and a text"),
        pytest.param(CENT, Part(candidate="float", gap=0.0), True, id="two kinds of numbers"),
        pytest.param(TimestampWithin(5), Part(**TEXTS, gap_s=5.0), True, id="near times"),
        pytest.param(TimestampWithin(5), Part(**TEXTS, gap_s=6.0), False, id="times apart"),
        pytest.param(TimestampWithin(5), Part(**TEXTS), False, id="no times"),
        pytest.param(SameShape(), Part(), True, id="two numbers look alike"),
        pytest.param(SameShape(), Part(**TEXTS), False, id="texts: nobody knows"),
        pytest.param(SameShape(), Part("type", candidate="str"), False, id="other types"),
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

    assert (True, False) == (explains(Rules((before,)))(part), explains(Rules.none)(part))


def test_a_rule_covers_its_own_path_only():
    part = Part(path="$.items[*].id")

    paths = ("$.items[*].id", "$.items[*]", "$.items[3].id", "$.items[*].id.inner")
    assert [True, False, False, False] == [covers(Ignore(), part, path) for path in paths]


def test_without_rules_nothing_is_covered():
    assert not explains(Rules.none)(Part(rule="$.a ignore"))


def test_what_was_never_told_is_covered_by_no_rule():
    assert not covers(Ignore(), Part("untold", "$", "", ""), "$")


SHAPE = rule(SameShape())


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        pytest.param(Part(**TEXTS), SHAPE, id="texts"),
        pytest.param(Part("text", control="text", candidate="text"), SHAPE, id="texts of a page"),
        pytest.param(Part(), None, id="numbers are covered"),
        pytest.param(Part(**TEXTS, rule=SHAPE.name), None, id="covered when it was captured"),
        pytest.param(Part(**TEXTS, path="$.b"), None, id="at another path"),
        pytest.param(Part(control="str", candidate="null"), None, id="never covered"),
    ],
)
def test_of_texts_nobody_knows_whether_they_look_alike(part, expected):
    assert undecided(Rules((SHAPE,)))(part) == expected
