"""Proposals are no wider than the noise was: the places, the kinds, and what a file of rules takes."""

from __future__ import annotations

import base64
import functools
import json
import operator
import random
from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.findings.noise import Noise, measure_pair_noise
from overgrow.shadow.findings.proposing import (
    find_migrated_only_noise,
    find_paths_too_wide_for_rule,
    propose_rules,
)
from overgrow.shadow.rules.comparators import Ignore, SameShape, TimestampWithin
from overgrow.shadow.rules.file import parse_rules_file
from overgrow.shadow.rules.rules import Rule, Rules
from overgrow.shadow.rules.writing import file_text_with_rule
from overgrow.shadow.values.snapshot import ResponseSnapshot

DAY = date(2027, 1, 1)
PAIRS = 60


def page(text: str, *headers: tuple[bytes, bytes]) -> ResponseSnapshot:
    return ResponseSnapshot(200, ((b"content-type", b"text/html"), *headers), text.encode())


def document(value: object, *headers: tuple[bytes, bytes]) -> ResponseSnapshot:
    body = json.dumps(value).encode()
    return ResponseSnapshot(200, ((b"content-type", b"application/json"), *headers), body)


def table(text: str) -> ResponseSnapshot:
    return ResponseSnapshot(200, ((b"content-type", b"text/csv"),), text.encode())


def learned(answer_of: Callable[[int], ResponseSnapshot], pairs: int = PAIRS) -> Noise:
    """What pairs teach of which no two answers are drawn from the same number."""
    found = (
        measure_pair_noise(f"{at}", answer_of(2 * at), answer_of(2 * at + 1)) for at in range(pairs)
    )
    return functools.reduce(operator.add, found)


def proposed(noise: Noise) -> list[tuple[str, str]]:
    return [
        (each.path, each.to_rule("ada", "noise", DAY).comparator_and_kinds)
        for each in propose_rules(noise)
    ]


def accepted(noise: Noise) -> Rules:
    return Rules(tuple(each.to_rule("ada", "noise", DAY) for each in propose_rules(noise)))


def hex_of(number: int) -> str:
    return f"{random.Random(number).getrandbits(128):032x}"


def uuid_of(number: int) -> str:
    drawn = hex_of(number)
    return "-".join((drawn[:8], drawn[8:12], drawn[12:16], drawn[16:20], drawn[20:]))


def clock(number: int) -> str:
    return f"10:{number // 60 % 60:02}:{number % 60:02}"


# What is noise, beside what, and a mistake beside it.
BESIDE = [
    pytest.param(
        lambda n: page(f"<p>{uuid_of(n)}</p><p>Total 98.10</p>"),
        page(f"<p>{uuid_of(1)}</p><p>Total 89.10</p>"),
        [("html:/p[1]/text()", "same_shape (text)")],
        "html:/p[2]/text()",
        id="a paragraph beside another",
    ),
    pytest.param(
        lambda n: page(
            f'<form><input name=token value="{hex_of(n)}"><input name=amount value=3></form>'
        ),
        page(f'<form><input name=token value="{hex_of(1)}"><input name=amount value=4></form>'),
        [("html:/form/input[@name=token]/@value", "same_shape (value)")],
        "html:/form/input[@name=amount]/@value",
        id="a field beside another",
    ),
    pytest.param(
        lambda n: document(
            {"rows": [{"key": "took_ms", "value": n * 7 % 91}, {"key": "items", "value": 3}]}
        ),
        document({"rows": [{"key": "took_ms", "value": 5}, {"key": "items", "value": 4}]}),
        [("$.rows[key=took_ms].value", "same_shape (value)")],
        "$.rows[1].value",
        id="a row beside another",
    ),
    pytest.param(
        lambda n: table(f"made at {clock(n)}\r\nlamp,3\r\nchair,5\r\n"),
        table(f"made at {clock(1)}\r\nlamp,4\r\nchair,5\r\n"),
        [("text:line[1]", "same_shape (text)")],
        "text:line[2]",
        id="a first line beside others",
    ),
    pytest.param(
        lambda n: document([n * 7 % 91, 3]),
        document([5, 4]),
        [("$[0]", "same_shape (value)")],
        "$[1]",
        id="an item beside another",
    ),
    pytest.param(
        lambda n: page(
            f"<table><tr><th>sku<th>seen<tr><td>a<td>{uuid_of(n)}<tr><td>b<td>{uuid_of(n + 1)}</table>"
        ),
        page(
            f"<table><tr><th>sku<th>seen<tr><td>a<td>{uuid_of(1)}<tr><td>c<td>{uuid_of(2)}</table>"
        ),
        [("html:/table/tr[*]/td[2]/text()", "same_shape (text)")],
        "html:/table/tr[3]/td[1]/text()",
        id="a column beside another",
    ),
    pytest.param(
        lambda n: document({"groups": [{"list": [n * 7 % 91, 1]}, {"list": [n * 11 % 89, 1]}]}),
        document({"groups": [{"list": [5, 1]}, {"list": [6, 2]}]}),
        [("$.groups[*].list[0]", "same_shape (value)")],
        "$.groups[1].list[1]",
        id="an item of each of several lists",
    ),
    pytest.param(
        lambda n: page(f"<script nonce={hex_of(n)}>a</script><script nonce={hex_of(n)}>b</script>"),
        page(f"<script nonce={hex_of(1)}>a</script><script nonce={hex_of(1)}>c</script>"),
        [("html:/script[*]/@nonce", "same_shape (value)")],
        "html:/script[2]/text()",
        id="all of several alike",
    ),
]


@pytest.mark.parametrize(("noisy", "mistaken", "rules", "path"), BESIDE)
def test_noise_at_one_place_is_proposed_for_the_places_that_differ(noisy, mistaken, rules, path):
    assert rules == proposed(learned(noisy))


@pytest.mark.parametrize(("noisy", "mistaken", "rules", "path"), BESIDE)
def test_a_mistake_beside_learned_noise_is_found(noisy, mistaken, rules, path):
    agreed = accepted(learned(noisy))

    found = compare(noisy(500), mistaken, agreed)

    assert ("mismatched", [path]) == (
        found.verdict,
        [each.path for each in found.differences if each.rule is None],
    )


@pytest.mark.parametrize(("noisy", "mistaken", "rules", "path"), BESIDE)
def test_the_noise_itself_is_covered_once_it_is_accepted(noisy, mistaken, rules, path):
    agreed = accepted(learned(noisy))

    assert {"ignored"} == {
        compare(noisy(at), noisy(at + 1), agreed).verdict for at in range(500, 540)
    }


LOSSES = [
    pytest.param(document({"n": 1}), "missing", id="a loss"),
    pytest.param(document({"n": 1, "token": 12}), "type", id="a number for a text"),
    pytest.param(document({"n": 1, "token": None}), "type", id="null for a text"),
    pytest.param(document({"n": 1, "token": ["x"]}), "type", id="a list for a text"),
]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(hex_of, id="same_shape"),
        pytest.param(lambda n: "abcdefgh"[n % 7 :], id="ignore"),
    ],
)
@pytest.mark.parametrize(("mistaken", "kind"), LOSSES)
def test_a_learned_rule_covers_no_other_kind_than_was_seen(words, mistaken, kind):
    agreed = accepted(learned(lambda n: document({"n": 1, "token": words(n)})))

    found = compare(document({"n": 1, "token": words(3)}), mistaken, agreed)

    assert [(kind, None)] == [(each.kind, each.rule) for each in found.differences]


@pytest.mark.parametrize("values", [(12, 12.5), (100.25, 100)], ids=["to a point", "to none"])
def test_a_learned_rule_of_numbers_covers_no_other_type_of_number(values):
    one, other = values
    agreed = accepted(learned(lambda n: document({"took": one + n % 9})))

    assert (
        "mismatched" == compare(document({"took": one}), document({"took": other}), agreed).verdict
    )


HEADS = [
    pytest.param((), "header-missing", id="a header that is lost"),
    pytest.param(((b"x-request-id", b"1, 2"),), "header-value", id="a header of another shape"),
]


@pytest.mark.parametrize(("head", "kind"), HEADS)
def test_a_learned_header_is_missed_all_the_same(head, kind):
    agreed = accepted(learned(lambda n: document({}, (b"x-request-id", uuid_of(n).encode()))))

    found = compare(
        document({}, (b"x-request-id", uuid_of(1).encode())), document({}, *head), agreed
    )

    assert [(kind, "header:x-request-id", None)] == [
        (each.kind, each.path, each.rule) for each in found.differences
    ]


def with_cookie(line: str) -> ResponseSnapshot:
    return document({}, (b"set-cookie", line.encode()))


@pytest.mark.parametrize(
    ("mistaken", "path"),
    [
        pytest.param(document({}), "cookie:sid", id="the cookie is lost"),
        pytest.param(with_cookie(f"sid={hex_of(9)}; Path=/"), "cookie:sid;httponly", id="a flag"),
        pytest.param(
            with_cookie(f"sid={hex_of(9)}; Path=/app; HttpOnly"), "cookie:sid;path", id="its path"
        ),
        pytest.param(with_cookie("sid=; Path=/; HttpOnly"), "cookie:sid", id="its value is empty"),
    ],
)
def test_a_learned_cookie_value_says_nothing_of_the_cookie(mistaken, path):
    agreed = accepted(learned(lambda n: with_cookie(f"sid={hex_of(n)}; Path=/; HttpOnly")))

    found = compare(with_cookie(f"sid={hex_of(1)}; Path=/; HttpOnly"), mistaken, agreed)

    assert path in [each.path for each in found.differences if each.rule is None]


CSP = "default-src 'self'; script-src 'self' 'nonce-{}'; object-src 'none'"


def nonce_of(number: int) -> str:
    drawn = random.Random(number).randbytes(16)
    return base64.b64encode(drawn).decode()


def with_policy(text: str) -> ResponseSnapshot:
    return page("<p>1</p>", (b"content-security-policy", text.encode()))


POLICIES = [
    pytest.param("", "header:content-security-policy", id="the header is lost"),
    pytest.param(
        CSP.replace("; object-src 'none'", ""),
        "header:content-security-policy;object-src",
        id="a directive is lost",
    ),
    pytest.param(
        CSP.replace("'self' 'nonce", "* 'nonce"),
        "header:content-security-policy;script-src",
        id="it allows more beside the nonce",
    ),
    pytest.param(
        CSP.replace("default-src 'self'", "default-src *"),
        "header:content-security-policy;default-src",
        id="another directive allows more",
    ),
    pytest.param(
        CSP + "; base-uri 'self'",
        "header:content-security-policy;base-uri",
        id="a directive is added",
    ),
]


@pytest.mark.parametrize(("mistaken", "path"), POLICIES)
def test_a_learned_nonce_says_nothing_of_the_rest_of_its_policy(mistaken, path):
    noise = learned(lambda n: with_policy(CSP.format(nonce_of(n))))
    agreed = accepted(noise)
    other = with_policy(mistaken.format(nonce_of(7))) if mistaken else page("<p>1</p>")

    found = compare(with_policy(CSP.format(nonce_of(8))), other, agreed)

    assert [("header:content-security-policy;script-src", "same_shape (header-value)")] == proposed(
        noise
    )
    assert [path] == [each.path for each in found.differences if each.rule is None]


def test_a_rule_for_a_whole_policy_covers_its_directives_still():
    agreed = Rules((Rule("header:content-security-policy", Ignore(), "ada", "why", DAY),))
    pair = with_policy(CSP.format("a")), with_policy("default-src *")

    assert "ignored" == compare(*pair, agreed).verdict


def test_the_order_within_a_policy_says_nothing():
    pair = (
        with_policy("img-src a.example b.example; style-src 'self'"),
        with_policy("style-src 'self';img-src b.example a.example"),
    )

    assert "matched" == compare(*pair).verdict


def test_several_policies_in_one_header_are_one_text():
    found = compare(with_policy("img-src a, img-src b"), with_policy("img-src a, img-src c"))

    assert ["header:content-security-policy"] == [each.path for each in found.differences]


def csv_of(number: int, cents: str) -> ResponseSnapshot:
    """A hundred lines with a time in each, below the names of the columns."""
    lines = [f"{at},lamp,{at},{at}{cents},{clock(number + at)}\r\n" for at in range(100)]
    return table("order,sku,amount,total,at\r\n" + "".join(lines))


# Texts in which one piece is noise, and the same with a mistake beside it.
IN_ONE_TEXT = [
    pytest.param(
        lambda n: page(f"<p>Total 98.10, request {hex_of(n)}</p>"),
        page(f"<p>Total 89.10, request {hex_of(1)}</p>"),
        [("html:/p/text()", "same_shape 2 (text)")],
        id="a total and an id in one paragraph",
    ),
    pytest.param(
        lambda n: document({"line": f"3 of 17 at 2026-11-{10 + n % 9}T{clock(n)}Z"}),
        document({"line": f"4 of 17 at 2026-11-11T{clock(1)}Z"}),
        [("$.line", "same_shape 3 (value)")],
        id="numbers and a time in one value",
    ),
    pytest.param(
        lambda n: csv_of(n, "9.50"),
        csv_of(1, "9.05"),
        [("text:line[*]", "same_shape 4 (text)")],
        id="a column of a CSV beside others",
    ),
    pytest.param(
        lambda n: table(f"req:{n * 7919}:15\n"),
        table("req:7919:16\n"),
        [("text:line[*]", "same_shape 1 (text)")],
        id="an id that a colon joins to a number",
    ),
    pytest.param(
        lambda n: document({"id": f"{10_000 + n * 37}-98.10"}),
        document({"id": "10037-89.10"}),
        [("$.id", "same_shape 1 (value)")],
        id="an id that a dash joins to an amount",
    ),
    pytest.param(
        lambda n: document({"used": f"{10 + n % 80}/100"}),
        document({"used": "11/10"}),
        [("$.used", "same_shape 1 (value)")],
        id="a counter before its limit",
    ),
    pytest.param(
        lambda n: document({}, (b"server-timing", f"db;dur=53, app;dur={n * 7 % 91}.2".encode())),
        document({}, (b"server-timing", b"db;dur=530, app;dur=4.2")),
        [("header:server-timing", "same_shape 2 (header-value)")],
        id="a member of a list beside another",
    ),
]


@pytest.mark.parametrize(("noisy", "mistaken", "rules"), IN_ONE_TEXT)
def test_of_a_text_the_pieces_that_differ_are_proposed(noisy, mistaken, rules):
    noise = learned(noisy)

    assert rules == proposed(noise)
    assert "mismatched" == compare(noisy(500), mistaken, accepted(noise)).verdict


@pytest.mark.parametrize(("noisy", "mistaken", "rules"), IN_ONE_TEXT)
def test_pieces_that_were_learned_cover_the_noise(noisy, mistaken, rules):
    agreed = accepted(learned(noisy))

    verdicts = {compare(noisy(at), noisy(at + 1), agreed).verdict for at in range(500, 540)}

    assert verdicts <= {"ignored", "matched"}


def test_a_text_of_which_every_piece_differs_may_differ_in_all():
    noise = learned(lambda n: document({"v": f"{n} of {n * 3}"}))

    assert [("$.v", "same_shape (value)")] == proposed(noise)


def test_an_optional_value_may_be_missing_or_extra_but_not_another():
    noise = learned(lambda n: document({"hint": "a"} if n % 2 else {}))
    agreed = accepted(noise)
    there, gone, other = document({"hint": "a"}), document({}), document({"hint": "b"})

    assert [("$.hint", "ignore (extra, missing)")] == proposed(noise)
    assert ["ignored", "ignored", "mismatched"] == [
        compare(*pair, agreed).verdict for pair in ((there, gone), (gone, there), (there, other))
    ]


def test_a_rare_odd_kind_does_not_widen_a_rule():
    noise = learned(lambda n: document({"token": hex_of(n)} if n != 7 else {}))

    assert [("$.token", "same_shape (value)")] == proposed(noise)


def test_a_rare_odd_place_does_not_widen_a_rule():
    noise = learned(lambda n: document([n * 7 % 91, 3 if n != 7 else 4]))

    assert [("$[0]", "same_shape (value)")] == proposed(noise)


def test_rows_that_come_and_go_have_any_index_if_all_of_them_differ():
    noise = learned(lambda n: document({"rows": [hex_of(n + at) for at in range(1 + n // 2 % 7)]}))

    assert [("$.rows[*]", "same_shape (value)")] == proposed(noise)


def test_many_places_are_one_path_if_no_sibling_stands_still():
    noise = learned(lambda n: document([hex_of(n + at) for at in range(100)]))

    assert [("$[*]", "same_shape (value)")] == proposed(noise)


def test_a_sibling_that_was_hardly_seen_does_not_narrow_a_path():
    noise = learned(lambda n: document([hex_of(n), *([1] if n < 4 else [])]))

    assert [("$[*]", "same_shape (value)")] == proposed(noise)


def shuffled(number: int, label: str, items: int = 3) -> ResponseSnapshot:
    """Rows in any order, one of which holds a time that it took."""
    drawn = random.Random(number)
    rows: list[dict[str, object]] = [
        {label: "took ms" if label == "label" else "took_ms", "v": drawn.randrange(10**6)},
        {label: "items", "v": items},
        {label: "users", "v": 9},
    ]
    drawn.shuffle(rows)
    return document({"rows": rows})


def in_two_rounds(answer_of: Callable[[int], ResponseSnapshot]) -> Rules:
    """What is accepted of noise, and then of what is left."""
    first = accepted(learned(answer_of))
    more = (
        measure_pair_noise(f"{at}", answer_of(2 * at), answer_of(2 * at + 1), first)
        for at in range(PAIRS)
    )
    return first.with_shared_rules(accepted(functools.reduce(operator.add, more)))


def test_rows_in_any_order_are_paired_by_what_they_are_called():
    agreed = in_two_rounds(lambda n: shuffled(n, "metric"))

    names = ["$.rows keyed_by metric", "$.rows[metric=took_ms].v same_shape (value)"]
    assert names == [each.name for each in agreed.rules]
    assert {"ignored"} == {
        compare(shuffled(at, "metric"), shuffled(at + 1, "metric"), agreed).verdict
        for at in range(500, 520)
    }


@pytest.mark.parametrize("label", ["metric", "label"])
def test_a_mistake_in_rows_that_stand_in_any_order_is_found(label):
    agreed = in_two_rounds(lambda n: shuffled(n, label))

    verdicts = {
        compare(shuffled(at, label), shuffled(at + 1, label, items=4), agreed).verdict
        for at in range(500, 520)
    }
    assert {"mismatched"} == verdicts


def fields(number: int, amount: int = 42) -> ResponseSnapshot:
    """A form whose hidden fields stand in any order."""
    drawn = [("token", hex_of(number)), ("amount", amount), ("page", 7)]
    random.Random(number).shuffle(drawn)
    return page(
        "<form>" + "".join(f"<input name={key} value={each}>" for key, each in drawn) + "</form>"
    )


def test_fields_in_any_order_are_paired_by_name():
    noise = learned(fields)

    token = ("html:/form/input[@name=token]/@value", "same_shape (value)")
    assert [("html:/form", "ignore (order)"), token] == proposed(noise)


def test_a_mistake_in_fields_that_stand_in_any_order_is_found():
    agreed = accepted(learned(fields))

    found = {
        compare(fields(at), fields(at + 1, amount=43), agreed).verdict for at in range(500, 520)
    }
    assert {"mismatched"} == found


# Noise of the whole answer: of the status, of all lines, of bytes that nobody can read.
WHOLES = [
    pytest.param(
        lambda n: ResponseSnapshot(503 if n % 3 else 200, (), b""), ["status"], id="a status"
    ),
    pytest.param(
        lambda n: table("\n".join(["red", "green", "blue"][n % 3 :] + ["red", "green"][: n % 3])),
        ["text:line[*]"],
        id="lines in any order",
    ),
    pytest.param(
        lambda n: ResponseSnapshot(200, ((b"content-type", b"image/png"),), hex_of(n).encode()),
        ["bytes[*]"],
        id="bytes",
    ),
    pytest.param(
        lambda n: ResponseSnapshot(
            200,
            ((b"content-type", b"text/html"), (b"content-encoding", b"br")),
            bytes([n % 251, 10]) * (9 + n % 3),
        ),
        ["bytes", "bytes[0]"],
        id="a coding that is not unpacked",
    ),
    pytest.param(
        lambda n: ResponseSnapshot(
            200, ((b"content-type", (b"text/css", b"image/png")[n % 2]),), b""
        ),
        ["header:content-type"],
        id="a content type",
    ),
]


@pytest.mark.parametrize(("noisy", "paths"), WHOLES)
def test_no_rule_is_proposed_that_would_hide_the_whole_answer(noisy, paths):
    noise = learned(noisy)

    assert [] == proposed(noise)
    assert paths == [each.path for each in find_paths_too_wide_for_rule(noise)]


def test_tokens_that_now_and_then_do_not_look_like_one_are_not_ignored():
    noise = learned(
        lambda n: document({"at": f"/p?c={'aB' * 11 if n % 9 == 0 else hex_of(n)}&n=2"})
    )

    assert [("$.at", "same_shape 1 (value)")] == proposed(noise)


def test_a_value_that_is_sometimes_null_may_not_change_its_type():
    noise = learned(lambda n: document({"v": None if n % 4 == 0 else n * 7919}))

    assert [("$.v", "same_shape (value)")] == proposed(noise)


PACKED = [
    pytest.param(
        lambda n: ResponseSnapshot(
            200, ((b"content-type", b"application/pdf"),), b"%PDF " + uuid_of(n).encode()
        ),
        id="an id in a PDF",
    ),
    pytest.param(
        lambda n: ResponseSnapshot(
            200,
            ((b"content-type", b"text/html"), (b"content-encoding", b"compress")),
            hex_of(n).encode() * (1 + n % 3),
        ),
        id="a coding that is not unpacked",
    ),
    pytest.param(lambda n: ResponseSnapshot(200 + n % 2, (), b""), id="a status"),
    pytest.param(
        lambda n: ResponseSnapshot(200, (), b"x" * (n % 2)), id="a body that comes and goes"
    ),
    pytest.param(lambda n: page(f'<p data-x="{hex_of(n)}" @y="{n}">'), id="an odd attribute"),
    pytest.param(lambda n: page(f"<p><a&b>{hex_of(n)}</a&b></p>"), id="an odd element"),
]


def written(proposal) -> Rule:
    """The rule of a proposal as a file has it after it was accepted."""
    text = file_text_with_rule(None, proposal.to_rule("ada", "noise", DAY))
    found = parse_rules_file(text, file="c.yaml", today=date(2026, 1, 1))
    assert found.problems == ()
    return found.rules.rules[0]


@pytest.mark.parametrize("noisy", PACKED)
def test_what_is_proposed_of_odd_bodies_can_be_accepted(noisy):
    for each in propose_rules(learned(noisy)):
        rule = written(each)

        assert (each.path, each.how, each.kinds) == (rule.path, rule.how, rule.kinds)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(0, 99),
    st.sampled_from(["", "a b", clock(3), hex_of(1), "2026-11-22T10:00:00Z"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "name", "key", "odd key", "a=b", "x[0]"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
MEDIA = ["application/json", "text/html", "text/plain", "text/csv", "application/pdf", "image/png"]


@st.composite
def answers(draw) -> ResponseSnapshot:
    media = draw(st.sampled_from(MEDIA))
    value = draw(VALUES)
    body = json.dumps(value)
    if media == "text/html":
        cells = "".join(f"<td id=c{at}>{body}</td>" for at in range(draw(st.integers(0, 2))))
        body = f"<form><input name=csrf value='{draw(SCALARS)}'><b>{body}</b></form><table><tr>{cells}</table>"
    headers = [(b"content-type", media.encode())]
    if draw(st.booleans()):
        headers.append((b"x-id", str(draw(SCALARS)).encode()))
    if draw(st.booleans()):
        headers.append((b"set-cookie", f"sid={draw(st.integers(0, 9))}; Path=/".encode()))
    if draw(st.integers(0, 9)) == 0:
        headers.append((b"content-encoding", draw(st.sampled_from([b"gzip", b"br", b"zstd"]))))
    return ResponseSnapshot(draw(st.sampled_from([200, 200, 404])), tuple(headers), body.encode())


@settings(max_examples=30, deadline=None)
@given(st.lists(answers(), min_size=2, max_size=4))
def test_every_proposal_is_valid_in_a_file_and_not_made_again(drawn):
    noise = learned(lambda n: drawn[n % len(drawn)] if n % 7 else drawn[0])

    rules = [written(each) for each in propose_rules(noise)]

    text = functools.reduce(file_text_with_rule, rules, None)
    agreed = (
        parse_rules_file(text, file="c.yaml", today=date(2026, 1, 1)).rules if text else Rules.none
    )
    again = functools.reduce(
        operator.add,
        (
            measure_pair_noise(f"{n}", drawn[n % len(drawn)], drawn[(n + 1) % len(drawn)], agreed)
            for n in range(40)
        ),
    )
    known = {(rule.path, kind) for rule in rules for kind in rule.kinds}
    assert not [
        each.path
        for each in propose_rules(again)
        if isinstance(each.how, Ignore) and {(each.path, kind) for kind in each.kinds} <= known
    ]


def both(
    answer_of: Callable[[int], ResponseSnapshot], migrated_of: Callable[[int], ResponseSnapshot]
) -> Noise:
    """What pairs teach of which migrated was asked twice as well."""
    found = (
        measure_pair_noise(
            f"{at}",
            answer_of(2 * at),
            answer_of(2 * at + 1),
            migrated=(migrated_of(2 * at), migrated_of(2 * at + 1)),
        )
        for at in range(PAIRS)
    )
    return functools.reduce(operator.add, found)


def token(value: str) -> ResponseSnapshot:
    return page(f'<form><input name=csrf value="{value}"><input name=amount value=1></form>')


def test_a_value_that_only_legacy_renews_is_told_with_its_proposal():
    [proposal] = propose_rules(both(lambda n: token(hex_of(n)), lambda n: token(hex_of(0))))

    assert proposal.note.startswith("legacy's value changes each time, migrated's never does")


@pytest.mark.parametrize(
    ("renewed", "asked", "is_told"),
    [
        pytest.param(PAIRS, 10, True, id="ten pairs of migrated show it"),
        pytest.param(PAIRS, 9, False, id="nine do not"),
        pytest.param(PAIRS * 9 // 10, PAIRS, True, id="nine of ten is always"),
        pytest.param(PAIRS * 9 // 10 - 1, PAIRS, False, id="less is not"),
    ],
)
def test_a_constant_is_told_from_enough_pairs_on(renewed, asked, is_told):
    first, same = (token(hex_of(at)) for at in (0, -1))
    found = (
        measure_pair_noise(
            f"{at}",
            first,
            token(hex_of(at + 1)) if at < renewed else first,
            migrated=(same, same) if at < asked else None,
        )
        for at in range(PAIRS)
    )

    [proposal] = propose_rules(functools.reduce(operator.add, found))

    assert is_told == bool(proposal.note)


def test_a_value_that_both_sides_renew_has_no_note():
    noise = both(lambda n: token(hex_of(n)), lambda n: token(hex_of(-n - 1)))

    [proposal] = propose_rules(noise)

    assert (proposal.note, find_migrated_only_noise(noise)) == ("", ())


def test_a_value_that_only_migrated_renews_is_told_and_not_proposed():
    noise = both(lambda n: token("0"), lambda n: token(hex_of(n)))

    assert () == propose_rules(noise)
    assert [("html:/form/input[@name=csrf]/@value", PAIRS, PAIRS)] == [
        *find_migrated_only_noise(noise)
    ]


@pytest.mark.parametrize(
    ("times", "found"), [(SameShape.needed.different, 1), (SameShape.needed.different - 1, 0)]
)
def test_noise_of_migrated_alone_is_told_from_enough_pairs_on(times, found):
    noise = both(lambda n: token("0"), lambda n: token(hex_of(n) if n < 2 * times else "0"))

    assert found == len(find_migrated_only_noise(noise))


def test_a_rare_kind_of_words_is_not_ignored():
    words = {0: "red", 1: "green"}
    noise = learned(lambda n: document({} if n == 7 else {"hint": words[n % 2]}))

    assert [("$.hint", "ignore (value)")] == proposed(noise)


def test_tokens_that_are_often_null_keep_their_type():
    noise = learned(lambda n: document({"v": None if n % 10 == 0 else hex_of(n)}))

    assert [("$.v", "same_shape (value)")] == proposed(noise)


# As an earlier version stored it: neither kinds nor places were counted.
STORED = {
    "pairs": 60,
    "left_out": 0,
    "shapes": {
        "status": 60,
        "$.token": {
            "seen": 60,
            "different": 60,
            "explained": {"shape": 60},
            "most_gap": "0",
            "most_share": "0",
            "keys": None,
            "examples": [["p1", "999x", "99xx"]],
        },
        "$.rows[*]": {
            "seen": 60,
            "different": 60,
            "explained": {"shape": 60},
            "most_gap": "0",
            "most_share": "0",
            "keys": None,
            "examples": [],
        },
    },
}


def test_noise_of_an_earlier_version_is_read_and_covers_the_plainest_kind():
    noise = Noise.from_json(STORED)

    assert [("$.token", "same_shape (value)")] == proposed(noise)


def test_noise_of_an_earlier_version_adds_up_with_todays():
    today = learned(lambda n: document({"token": hex_of(n), "rows": [hex_of(n), "a"]}), 10)

    assert [
        ("$.rows[0]", "same_shape (value)"),
        ("$.token", "same_shape (value)"),
    ] == proposed(Noise.from_json(STORED) + today)


def test_a_clock_that_seldom_differs_is_proposed_for_its_own_place():
    def answer_of(n: int) -> ResponseSnapshot:
        late = n // 2 % 10 == 0 and n % 2
        return page(f"<p>2026-11-22T10:00:0{1 if late else 0}Z</p><p>Total 1.00</p>")

    [proposal] = propose_rules(learned(answer_of, 100))

    assert ("html:/p[1]/text()", TimestampWithin(2)) == (proposal.path, proposal.how)


def test_the_bound_of_times_covers_a_busy_moment_too():
    def answer_of(n: int) -> ResponseSnapshot:
        late = 4 if n == 61 else 1
        return document({"at": f"2026-11-22T10:00:0{late if n % 2 else 0}Z"})

    [proposal] = propose_rules(learned(answer_of, 100))

    assert (TimestampWithin(10), 100) == (proposal.how, proposal.explained)


def test_figures_with_places_are_read_as_they_were_stored():
    noise = both(
        lambda n: document([hex_of(n), 1, {"key": "items", "v": 1}]),
        lambda n: document([hex_of(n), 2, {"key": "items", "v": 1}]),
    )

    assert noise == Noise.from_json(json.loads(json.dumps(noise.as_json())))


def test_a_place_whose_path_looks_like_data_is_not_kept():
    def answer_of(n: int) -> ResponseSnapshot:
        return document([{"jane@example.com": hex_of(n)}, {"name": hex_of(n)}])

    assert "jane" not in json.dumps(learned(answer_of).as_json())


def test_same_shape_is_still_proposed_where_it_explains():
    assert SameShape() in [each.how for each in propose_rules(Noise.from_json(STORED))]
