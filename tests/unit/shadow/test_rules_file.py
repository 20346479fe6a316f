"""compare/<route>.yaml: what is read, what is refused and with which words, how a rule is added."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overgrow.shadow.rules.comparators import (
    Comparator,
    Ignore,
    KeyedBy,
    NumberTolerance,
    SameShape,
    TimestampWithin,
    Unordered,
)
from overgrow.shadow.rules.file import CODES, parse_rules_file
from overgrow.shadow.rules.rules import Rule, Rules
from overgrow.shadow.rules.writing import CannotAddRule, file_text_with_rule
from overgrow.shadow.values.difference import member_path
from overgrow.shadow.values.path_syntax import reason_not_a_path

TODAY = date(2026, 11, 22)
SOUND = b"""\
version: 1
rules:
  # The clock of each side.
  - path: $.orders[*].placed_at
    how: {timestamp_within: 5s}
    author: ada
    reason: Both sides write the time of the request.
    expires: 2026-11-22
  - path: header:etag
    how: ignore
    author: bob
    reason: Flask computes it in another way.
    expires: 2026-11-21  # yesterday
"""


def one(**fields: str) -> bytes:
    """A file with one rule, some of its fields changed."""
    rule = {"path": "$.a", "how": "ignore", "author": "a", "reason": "b", "expires": "2027-01-01"}
    lines = "\n    ".join(f"{key}: {value}" for key, value in (rule | fields).items() if value)
    return f"version: 1\nrules:\n  - {lines}\n".encode()


def showing(path: str = "$.items[*].status", **fields: str) -> bytes:
    """A file with one entry of show, some of its fields changed."""
    entry = {"path": path, "author": "ada", "reason": "a closed list", "expires": "2027-01-01"}
    lines = "\n    ".join(f"{key}: {value}" for key, value in (entry | fields).items() if value)
    return f"version: 1\nrules: []\nshow:\n  - {lines}\n".encode()


def problems(text: bytes) -> list[str]:
    return [str(each) for each in parse_rules_file(text, file="c.yaml", today=TODAY).problems]


def test_a_rule_applies_up_to_the_day_it_expires_and_then_is_reported():
    found = parse_rules_file(SOUND, file="c.yaml", today=TODAY)

    assert found.problems == ()
    assert [rule.path for rule in found.rules.rules] == ["$.orders[*].placed_at"]
    assert [(rule.name, rule.line) for rule in found.expired] == [("header:etag ignore", 9)]


def test_a_rule_is_read_with_all_it_says():
    found = parse_rules_file(SOUND, file="c.yaml", today=TODAY)

    reason = "Both sides write the time of the request."
    expected = Rule("$.orders[*].placed_at", TimestampWithin(5), "ada", reason, TODAY, 4)
    assert found.rules == Rules((expected,))


HOWS = [
    pytest.param("ignore", Ignore(), id="ignore"),
    pytest.param("unordered", Unordered(), id="unordered"),
    pytest.param("same_shape", SameShape(), id="same_shape"),
    pytest.param("{same_shape: 2}", SameShape((2,)), id="same_shape of a piece"),
    pytest.param("{same_shape: 2 13}", SameShape((2, 13)), id="same_shape of pieces"),
    pytest.param("{keyed_by: sku}", KeyedBy("sku"), id="keyed_by"),
    pytest.param("{tolerance: 0.01}", NumberTolerance(Decimal("0.01")), id="tolerance"),
    pytest.param("{timestamp_within: 2m}", TimestampWithin(120), id="timestamp_within"),
]


@pytest.mark.parametrize(("written", "how"), HOWS)
def test_every_comparator_has_its_words(written, how):
    [rule] = parse_rules_file(one(how=written), file="c.yaml", today=TODAY).rules.rules

    assert how == rule.how


def test_a_rule_names_the_kinds_it_covers():
    [rule] = parse_rules_file(one(kinds="[value, missing]"), file="c.yaml", today=TODAY).rules.rules

    assert (("value", "missing"), "$.a ignore (value, missing)") == (rule.kinds, rule.name)


def test_two_rules_of_one_path_may_cover_different_kinds():
    second = one(kinds="[missing]").split(b"rules:\n")[1]

    found = parse_rules_file(one(kinds="[value]") + second, file="c.yaml", today=TODAY)

    assert ((), 2) == (found.problems, len(found.rules.rules))


@pytest.mark.parametrize("kinds", ["[value, extra]", None], ids=["one kind in both", "all kinds"])
def test_two_rules_of_one_path_may_not_cover_the_same(kinds):
    second = one(kinds=kinds or "").split(b"rules:\n")[1]

    [problem] = problems(one(kinds="[value]") + second)

    assert "[duplicate-rule]" in problem


WRONG = [
    pytest.param(
        b"", "c.yaml:1:1: the file is empty. Write version: 1 and rules. [file-empty]", id="nothing"
    ),
    pytest.param(
        b" " * 300_000,
        "c.yaml:1:1: the file is larger than 256 KiB. Remove rules. [file-too-large]",
        id="too much",
    ),
    pytest.param(
        b"a\xff",
        "c.yaml:1:2: byte 0xff is not UTF-8. Save the file as UTF-8. [not-utf-8]",
        id="latin-1",
    ),
    pytest.param(
        b"a: [",
        "c.yaml:2:1: did not find expected node content. Check indentation, quotes and brackets there. [yaml-syntax]",
        id="an open bracket",
    ),
    pytest.param(
        b"a: \0",
        "c.yaml:1:4: character U+0000 is not allowed in YAML. Remove it. [yaml-syntax]",
        id="NUL",
    ),
    pytest.param(
        b"[" * 99_999,
        "c.yaml:1:1: values are nested more than 16 deep. A rule needs three levels. [yaml-syntax]",
        id="brackets only",
    ),
    pytest.param(
        b"- a",
        "c.yaml:1:1: the value is not a mapping. Write KEY: VALUE lines: version, rules, show. [mapping-expected]",
        id="a list",
    ),
    pytest.param(
        b"rules: []", "c.yaml:1:1: version is missing. Write version: 1. [version]", id="no version"
    ),
    pytest.param(
        b"version: [1]\nrules: []",
        "c.yaml:1:10: version is not 1. Write version: 1. [version]",
        id="a list for 1",
    ),
    pytest.param(
        b"version: 1",
        "c.yaml:1:1: rules is missing. Write rules: [] for none. [required]",
        id="no rules",
    ),
    pytest.param(
        b"version: 1\nrules: {}",
        "c.yaml:2:8: rules is not a list. Begin each entry with - . [list-expected]",
        id="a mapping of rules",
    ),
    pytest.param(
        b"version: 1\nrules: [3]",
        "c.yaml:2:9: the value is not a mapping. Write KEY: VALUE lines: path, how, kinds, author, reason, expires. [mapping-expected]",
        id="a number for a rule",
    ),
    pytest.param(
        b"version: 1\nrule: []\nrules: []",
        "c.yaml:2:1: unknown field rule. Did you mean rules? [unknown-key]",
        id="a key that is near",
    ),
    pytest.param(
        one(zzz="1"),
        "c.yaml:8:5: unknown field zzz. Known fields are path, how, kinds, author, reason, expires. [unknown-key]",
        id="a key that is not",
    ),
    pytest.param(
        one(**{"? [x]": "1"}),
        "c.yaml:8:7: a field's name in the file is not text. Remove it. [unknown-key]",
        id="a list for a key",
    ),
    pytest.param(
        one(reason="b\n    reason: c"),
        "c.yaml:7:5: reason is given twice, first on line 6. Keep one of the two; YAML would silently take the last. [duplicate-key]",
        id="a key twice",
    ),
    pytest.param(
        one(author=""),
        "c.yaml:3:5: the entry has no author. Write who is responsible for it. [required]",
        id="no author",
    ),
    pytest.param(
        one(reason=""),
        "c.yaml:3:5: the entry has no reason. Write why the difference is harmless. [required]",
        id="no reason",
    ),
    pytest.param(
        one(expires=""),
        "c.yaml:3:5: the entry has no expires. Write the last day on which it applies as YYYY-MM-DD. [required]",
        id="no expiry",
    ),
    pytest.param(
        one(how=""),
        "c.yaml:3:5: the entry has no how. Write ignore, unordered, same_shape, {keyed_by: NAME}, {tolerance: NUMBER} or {timestamp_within: 5s}. [required]",
        id="no how",
    ),
    pytest.param(
        one(path=""),
        "c.yaml:3:5: the entry has no path. Copy it from a difference; [*] stands for any index. [required]",
        id="no path",
    ),
    pytest.param(
        one(reason='" "'),
        "c.yaml:6:13: reason is not text. Write why the difference is harmless. [text-expected]",
        id="a blank reason",
    ),
    pytest.param(
        one(author="~"),
        "c.yaml:5:13: author is not text. Write who is responsible for it. [text-expected]",
        id="null for an author",
    ),
    pytest.param(
        one(expires="[]"),
        "c.yaml:7:14: expires is not text. Write the last day on which it applies as YYYY-MM-DD. [text-expected]",
        id="a list for a date",
    ),
    pytest.param(
        one(expires="2026-02-31"),
        "c.yaml:7:14: expires is 2026-02-31, which is not a date. Write the last day on which it applies as YYYY-MM-DD. [date-syntax]",
        id="a day that is not",
    ),
    pytest.param(
        one(expires="never"),
        "c.yaml:7:14: expires is never, which is not a date. Write the last day on which it applies as YYYY-MM-DD. [date-syntax]",
        id="never",
    ),
    pytest.param(
        one(path="items.id"),
        "c.yaml:3:11: items.id is not the path of a difference. Copy it from a difference; [*] stands for any index. [path-syntax]",
        id="no dollar",
    ),
    pytest.param(
        one(path="$.a..b"),
        "c.yaml:3:11: $.a..b cannot be read from character 4 on. Copy it from a difference; [*] stands for any index. [path-syntax]",
        id="two dots",
    ),
    pytest.param(
        one(path="$.items[].id"),
        "c.yaml:3:11: $.items[].id cannot be read from character 8 on. Copy it from a difference; [*] stands for any index. [path-syntax]",
        id="empty brackets",
    ),
    pytest.param(
        one(path="""'$["a"]'"""),
        'c.yaml:3:11: $["a"] has ["a"], which is written .a. Copy it from a difference; [*] stands for any index. [path-syntax]',
        id="quotes that are not needed",
    ),
    pytest.param(
        one(path="""'$["\\x"]'"""),
        'c.yaml:3:11: $["\\x"] has ["\\x"], which is written otherwise. Copy it from a difference; [*] stands for any index. [path-syntax]',
        id="quotes that are no JSON",
    ),
    pytest.param(
        one(how="sometimes"),
        "c.yaml:4:10: how is not a comparator. Write ignore, unordered, same_shape, {keyed_by: NAME}, {tolerance: NUMBER} or {timestamp_within: 5s}. [how-syntax]",
        id="an unknown word",
    ),
    pytest.param(
        one(how="unordered", path="header:vary"),
        "c.yaml:4:10: unordered applies to arrays only. Arrays are compared in JSON only; their paths begin with $. [how-misplaced]",
        id="a list in a header",
    ),
    pytest.param(
        one(how="same_shape", path="status"),
        "c.yaml:4:10: same_shape applies to values only. Write how: ignore. [how-misplaced]",
        id="the shape of a status",
    ),
    pytest.param(
        b"version: 1\nrules: []\nshow: yes",
        "c.yaml:3:7: show is not a list. Begin each entry with - . [list-expected]",
        id="show is a word",
    ),
    pytest.param(
        showing(reason=""),
        "c.yaml:4:5: the entry has no reason. Write why the difference is harmless. [required]",
        id="shown without a reason",
    ),
    pytest.param(
        showing(how="ignore"),
        "c.yaml:8:5: unknown field how. Known fields are path, author, reason, expires. [unknown-key]",
        id="shown with a comparator",
    ),
    pytest.param(
        showing("$.a..b"),
        "c.yaml:4:11: $.a..b cannot be read from character 4 on. Copy it from a difference; [*] stands for any index. [path-syntax]",
        id="shown at no path",
    ),
    pytest.param(
        showing("header:etag"),
        "c.yaml:4:11: header:etag is not the path of a JSON value, and no other value is ever shown. Remove the entry: these values stay hidden. [show-misplaced]",
        id="a header is shown",
    ),
    pytest.param(
        showing("$.items[0].status"),
        "c.yaml:4:11: $.items[0].status has a step that looks like data, or an index other than [*]. Remove the entry: these values stay hidden. [show-misplaced]",
        id="one item is shown",
    ),
    pytest.param(
        showing("$.user.accessToken"),
        "c.yaml:4:11: $.user.accessToken contains accessToken, which looks like a secret. Remove the entry: these values stay hidden. [show-misplaced]",
        id="a secret is shown",
    ),
    pytest.param(
        one(kinds="value"),
        "c.yaml:8:12: kinds is not a list of kinds. Write kinds of differences, such as [value, missing], "
        "or leave kinds out. [kinds-syntax]",
        id="kinds that are no list",
    ),
    pytest.param(
        one(kinds="[valeu]"),
        'c.yaml:8:13: unknown kind "valeu". Did you mean value? [kinds-syntax]',
        id="a kind that is none",
    ),
]


@pytest.mark.parametrize(("text", "problem"), WRONG)
def test_a_problem_says_where_what_and_what_to_write(text, problem):
    assert [problem] == problems(text)


def test_what_any_yaml_file_may_lack_has_a_code_of_this_page():
    texts = [
        b"a: 1\n--- b",
        b"a:\n\tb: 1",
        b"a: *b",
        b"a: &b [*b]",
        SOUND + b"<<: {}",
        SOUND + b"on: 1",
    ]

    found = [
        each.code
        for text in texts
        for each in parse_rules_file(text, file="", today=TODAY).problems
    ]

    assert ["yaml-syntax"] * 4 + ["unknown-key"] * 2 == [
        each for each in found if each != "version"
    ]


def test_tags_are_read_over_and_variables_are_text():
    [rule] = parse_rules_file(one(reason="!!str ${HOME}"), file="", today=TODAY).rules.rules

    assert "${HOME}" == rule.reason


HOWLERS = [
    pytest.param("{tolerance: -1}", id="negative"),
    pytest.param("{tolerance: wide}", id="not a number"),
    pytest.param("{tolerance: [1]}", id="a list"),
    pytest.param("{timestamp_within: 5}", id="no unit"),
    pytest.param("{timestamp_within: 5d}", id="an unknown unit"),
    pytest.param("{keyed_by: ''}", id="no name"),
    pytest.param("{ignore: true}", id="a value too many"),
    pytest.param("{tolerance: 1, keyed_by: a}", id="two at once"),
    pytest.param("[ignore]", id="a list of words"),
]


@pytest.mark.parametrize("how", HOWLERS)
def test_a_comparator_is_written_in_one_way_alone(how):
    [problem] = parse_rules_file(one(how=how), file="c.yaml", today=TODAY).problems

    assert problem.code == "how-syntax"


def test_a_file_with_a_problem_gives_no_rules_at_all():
    text = SOUND + one(how="sometimes").split(b"rules:\n")[1]

    assert parse_rules_file(text, file="c.yaml", today=TODAY).rules == Rules.none


def test_problems_come_in_file_order():
    text = one(path="x", hwo="1", how="", expires="soon")

    lines = [each.line for each in parse_rules_file(text, file="c.yaml", today=TODAY).problems]

    assert sorted(lines) == lines
    assert len(lines) == 4


def test_two_rules_for_one_path_are_a_problem():
    text = one() + one(how="same_shape").split(b"rules:\n")[1]

    assert [
        "c.yaml:8:5: line 3 has an entry for $.a already. Keep one of the two. [duplicate-rule]"
    ] == (problems(text))


def test_what_may_be_shown_is_read_and_covers_nothing():
    found = parse_rules_file(showing(), file="c.yaml", today=TODAY)

    assert found.problems == ()
    assert found.rules == Rules((), frozenset({"$.items[*].status"}))


def test_leave_to_show_ends_on_a_day_and_then_is_reported():
    found = parse_rules_file(showing(expires="2026-11-21"), file="c.yaml", today=TODAY)

    assert found.rules == Rules.none
    assert [(each.title, each.line) for each in found.expired] == [
        ("the permission to show $.items[*].status", 4)
    ]


def test_a_path_is_shown_once():
    text = showing() + showing().split(b"show:\n")[1]

    assert [
        "c.yaml:8:5: line 4 has an entry for $.items[*].status already. Keep one of the two. [duplicate-rule]"
    ] == problems(text)


def test_a_problem_with_a_rule_shows_nothing():
    text = showing().replace(b"rules: []", b"rules: [3]")

    assert parse_rules_file(text, file="c.yaml", today=TODAY).rules.show == frozenset()


def test_a_rule_is_added_above_what_may_be_shown():
    rule = Rule("$.b", Ignore(), "ada", "why", TODAY)

    text = file_text_with_rule(file_text_with_rule(showing(), rule), replace(rule, path="$.c"))

    found = parse_rules_file(text, file="c.yaml", today=TODAY)
    assert ["$.b", "$.c"] == [each.path for each in found.rules.rules]
    assert found.rules.show == {"$.items[*].status"}


def test_a_problem_is_told_to_machines_too():
    [problem] = parse_rules_file(b"", file="c.yaml", today=TODAY).problems

    assert problem.as_json() == {
        "code": "file-empty",
        "file": "c.yaml",
        "line": 1,
        "column": 1,
        "route": None,
        "message": "the file is empty",
        "fix": "Write version: 1 and rules.",
    }


def test_every_code_is_one_that_some_file_can_have():
    texts = [param.values[0] for param in WRONG] + [one() + one().split(b"rules:\n")[1]]

    met = {
        each.code
        for text in texts
        for each in parse_rules_file(text, file="", today=TODAY).problems
    }

    assert set(CODES) == met


PATHS = [
    "status",
    "body",
    "bytes",
    "bytes[*]",
    "bytes[12]",
    "text:line[3]",
    "header:content-type;charset",
    "header:x-a",
    "cookie:shop_session",
    "cookie:cart[3];max-age",
    "cookie:a#2;path",
    "$",
    "$[*]",
    "$.a-b[3].c_d",
    '$["a b"][*]',
    "html:",
    "html:/@doctype",
    "html:/html/body/ul/li[*]/@class",
    "html:/html/body/p/text()[2]",
]


@pytest.mark.parametrize("path", PATHS)
def test_every_path_of_a_difference_can_have_a_rule(path):
    assert reason_not_a_path(path) == ""


@pytest.mark.parametrize("path", ["", "x", "$a", "header:X-A", "header:", "html:/a b", "$" * 1000])
def test_what_is_no_path_is_refused(path):
    assert reason_not_a_path(path) != ""


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=20))
def test_the_path_of_any_member_can_have_a_rule(key):
    assert reason_not_a_path(member_path("$", key)) == ""


def rule(path: str = "$.b", how: Comparator = Ignore(), reason: str = "none") -> Rule:  # noqa: B008
    return Rule(path, how, "ada", reason, date(2027, 1, 31))


def rules_of(text: bytes) -> list[Rule]:
    found = parse_rules_file(text, file="c.yaml", today=date(2020, 1, 1))
    assert found.problems == ()
    return list(found.rules.rules)


def test_a_rule_is_added_at_the_end_and_the_rest_stays_byte_for_byte():
    text = file_text_with_rule(SOUND, rule())

    assert SOUND == text[: len(SOUND)]
    assert text[len(SOUND) :].decode() == (
        "  - path: $.b\n    how: ignore\n    author: ada\n    reason: none\n    expires: 2027-01-31\n"
    )


FILES = [
    pytest.param(None, 0, id="no file"),
    pytest.param(b"version: 1\nrules: []\n", 0, id="an empty list"),
    pytest.param(b"rules: []  \nversion: 1\n", 0, id="an empty list first"),
    pytest.param(one(), 1, id="one rule"),
    pytest.param(one().rstrip(), 1, id="no line end at the end"),
    pytest.param(one() + b"  # the end\n", 1, id="a comment behind"),
    pytest.param(one().split(b"\n", 1)[1] + b"version: 1\n", 1, id="the version last"),
    pytest.param(one(how="{tolerance: 1}", expires='"2027-01-01"'), 1, id="quotes"),
]


@pytest.mark.parametrize(("text", "before"), FILES)
def test_a_rule_can_be_added_to_a_file(text, before):
    found = rules_of(file_text_with_rule(text, rule()))

    assert (before + 1, "$.b") == (len(found), found[-1].path)


REFUSED = [
    pytest.param(
        b"version: 1\nrules: [{path: a}]",
        "line of its own that begins with -",
        id="rules in brackets",
    ),
    pytest.param(b"version: 1\nrules: 3", "no list of rules", id="no list"),
    pytest.param(b"", "no list of rules", id="an empty file"),
    pytest.param(one(path="$.b"), "has an entry for $.b already", id="a path that has a rule"),
    pytest.param(one(how="often"), "how is not a comparator", id="a file with a problem"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_a_rule_is_not_added_where_the_file_would_not_be_sound(text, why):
    with pytest.raises(CannotAddRule, match=why.replace("$", r"\$")):
        file_text_with_rule(text, rule())


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([*PATHS[6:], '$["a: b"]', '$["\\"#"]', '$["- x "]']),
    st.sampled_from([Ignore(), SameShape(), NumberTolerance(Decimal("0.5"))]),
    st.text(min_size=1).filter(str.strip),
)
def test_a_rule_that_was_written_is_read_as_it_was(path, how, reason):
    [found] = rules_of(file_text_with_rule(None, rule(path, how, reason)))

    assert (path, how) == (found.path, found.how)
    assert reason.strip() == found.reason or not reason.isprintable() or reason != reason.strip()


@pytest.mark.parametrize(
    "how", [KeyedBy("a: b"), KeyedBy("x]"), TimestampWithin(3600), Unordered()]
)
def test_a_comparator_that_was_written_is_read_as_it_was(how):
    [found] = rules_of(file_text_with_rule(None, rule("$", how)))

    assert how == found.how
