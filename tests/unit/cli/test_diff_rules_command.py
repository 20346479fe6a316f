"""`overgrow diff rules`, and what `diff` says of rules that stored pairs cannot be judged by."""

from datetime import date

import pytest

from overgrow.shadow.rules.file import parse_rules_file
from tests.unit.cli.found import answer, compared, put

FILE = """\
version: 1
rules:
  - path: $.placed_at
    how: {timestamp_within: 5s}
    author: ada
    reason: two clocks
    expires: 2100-01-01
  - path: $.total
    how: {tolerance: 1}
    author: bob
    reason: cents
    expires: 2020-01-01
show:
  - path: $.state
    author: eve
    reason: five words
    expires: 2100-01-01
"""
EARLY, LATE = ({"placed_at": f"2026-11-20T09:14:0{second}Z"} for second in (0, 2))
ONE, OTHER = ({"note": text} for text in ("from 10 to 12", "from 11 to 13"))


@pytest.fixture
def ruled(overgrow):
    """A file of rules for the route orders."""
    folder = overgrow.folder / "compare"
    folder.mkdir()
    (folder / "orders.yaml").write_text(FILE)
    return overgrow


def rules_of(text):
    return parse_rules_file(text.encode(), file="c.yaml", today=date(2026, 11, 22)).rules


def test_each_entry_is_listed_with_what_it_covered(ruled):
    found = compared("orders", answer(EARLY), answer(LATE), rules=rules_of(FILE))
    put(ruled.folder / ".overgrow", found, found)

    told = ruled.json("diff", "rules")[1]

    assert [
        ("$.placed_at", "timestamp_within 5s", False, False, 2),
        ("$.total", "tolerance 1", False, True, 0),
        ("$.state", None, True, False, 0),
    ] == [(e["path"], e["how"], e["show"], e["expired"], e["covered"]) for e in told]
    assert {"route", "where", "author", "reason", "expires", "last"} <= set(told[0])


def test_people_see_the_same_in_a_table(ruled):
    put(ruled.folder / ".overgrow", compared("orders", answer(EARLY), answer(EARLY)))

    lines = ruled("diff", "rules", "--route", "orders").stdout.splitlines()

    assert [
        ["PATH", "RULE", "ROUTE", "COVERED", "LAST", "AUTHOR", "UNTIL"],
        ["$.placed_at", "timestamp_within", "5s", "orders", "0", "-", "ada", "2100-01-01"],
        ["$.total", "tolerance", "1", "orders", "0", "-", "bob", "expired"],
        ["$.state", "show", "orders", "-", "-", "eve", "2100-01-01"],
    ] == [line.split() for line in lines]


def test_rules_are_listed_before_there_is_evidence(ruled):
    done = ruled("diff", "rules")

    assert (0, 4) == (done.exit_code, len(done.stdout.splitlines()))
    assert "There is no evidence yet" in done.stderr


def test_where_no_rule_is_written_that_is_said(overgrow):
    assert "There are no rules" in overgrow("diff", "rules").stdout


def test_rules_of_a_route_that_is_none_tell_the_nearest(ruled):
    assert "Did you mean orders" in ruled.fails("diff", "rules", "--route", "order")


@pytest.fixture
def doubted(overgrow):
    """Items were paired by id, and then a rule was accepted that pairs them otherwise."""
    rows = [{"id": 1, "n": 1}, {"id": 2, "n": 2}]
    others = [{"id": 2, "n": 3}, {"id": 1, "n": 1}]
    pair = compared("orders", answer({"rows": rows}), answer({"rows": others}))
    put(overgrow.folder / ".overgrow", pair)
    (group,) = overgrow.json("diff", "top")[1]
    words = ("--path", "$.rows", "--how", "unordered", "--reason", "x")
    overgrow("diff", "accept", group["group"], *words)
    return overgrow


def test_pairs_that_a_rule_may_cover_stay_open_and_say_so(doubted):
    (told,) = doubted.json("diff", "top")[1]

    assert (True, ["$.rows"]) == (told["open"], told["undecided"])


def test_show_names_the_rule_that_may_cover_the_pair(doubted):
    (group,) = doubted.json("diff", "top")[1]

    text = doubted("diff", "show", group["group"]).stdout

    what = "compare/orders.yaml:3 has $.rows unordered: too little of these pairs is stored to apply it.\n"
    assert what in text
    assert "overgrow shadow restart orders --reason TEXT deletes the old ones." in text


def test_beside_what_is_undecided_a_rule_for_the_rest_is_offered(overgrow):
    pair = compared("orders", answer({**ONE, "n": 1}), answer({**OTHER, "n": 2}))
    put(overgrow.folder / ".overgrow", pair)
    (group,) = overgrow.json("diff", "top")[1]
    words = ("--path", "$.note", "--how", "same_shape", "--reason", "x")
    overgrow("diff", "accept", group["group"], *words)

    lines = overgrow("diff", "show", group["group"]).stdout.splitlines()

    assert "  $.n  tolerance 1.0" in lines
    assert "  $.note  ignore" not in lines
