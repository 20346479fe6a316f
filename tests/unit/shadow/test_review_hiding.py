"""What a rule would hide: which differences, how surely, and in which order."""

from __future__ import annotations

from datetime import date

from overgrow.evidence import Group, Part
from overgrow.shadow.review.hiding import find_hidden, hidden_lines
from overgrow.shadow.rules.comparators import Ignore, SameShape
from overgrow.shadow.rules.rules import Rule, Rules


def rule(how=None, kinds=("value", "missing", "extra")):
    return Rule("$.at", how or Ignore(), "ada", "x", date(2100, 1, 1), kinds=kinds)


def group(kind, count, key="k", **given):
    part = Part(kind, "$.at", "string", "string", "medium", one_type=True, **given)
    return Group(
        "orders", "legacy", f"{key}{count}", "t", "medium", count, count, 0.0, 0.0, (part,)
    )


def test_the_gravest_is_first_and_then_the_most_frequent():
    groups = [group("extra", 9), group("value", 2), group("missing", 1), group("value", 5)]

    found = find_hidden(rule(), groups, lambda _route: Rules.none)

    assert [("missing", 1), ("value", 5), ("value", 2), ("extra", 9)] == [
        (each.part.kind, each.group.count) for each in found
    ]


def test_what_a_rule_hides_already_is_not_hidden_by_another():
    today = Rules((rule(kinds=("value",)),))

    found = find_hidden(
        rule(kinds=("missing",)), [group("value", 1), group("missing", 2)], lambda _route: today
    )

    assert ["missing"] == [each.part.kind for each in found]


def test_what_is_stored_too_briefly_is_a_perhaps():
    some_pieces, group_ = rule(SameShape((1,)), kinds=()), group("value", 2, alike=True)

    (perhaps,) = find_hidden(some_pieces, [group_], lambda _route: Rules.none)
    (sure,) = find_hidden(rule(SameShape(), kinds=()), [group_], lambda _route: Rules.none)

    assert (False, True) == (perhaps.is_sure, sure.is_sure)
    assert (True, False) == tuple(str(each).endswith(", perhaps") for each in (perhaps, sure))


def test_five_are_shown_and_the_others_counted():
    found = find_hidden(rule(), [group("value", at) for at in range(7)], lambda _route: Rules.none)

    lines = hidden_lines(found)

    assert (6, "hides 2 more") == (len(lines), lines[-1])
    assert "hides 1 more" not in hidden_lines(found[:5])
