"""A stored pair for people: both responses as lines, with those marked at which the two differ."""

from __future__ import annotations

import json

import pytest

from overgrow.shadow.review.side_by_side import MAX_HEADERS, MAX_LINES, compare_side_by_side
from overgrow.shadow.values.snapshot import ResponseSnapshot
from tests.unit.cli.found import answer, compared


def side_by_side(control, candidate):
    return compare_side_by_side(compared("orders", control, candidate).group.example)


def page(text):
    return ResponseSnapshot(200, ((b"content-type", b"text/html"),), text.encode())


def marked(lines):
    return [each.text.strip() for each in lines if each.differs]


@pytest.mark.parametrize(
    ("control", "candidate", "legacy", "migrated"),
    [
        pytest.param(
            {"a": 1}, {"a": 22}, ['"a": "<int 1 digit>"'], ['"a": "<int 2 digits>"'], id="a member"
        ),
        pytest.param(
            {"a": 1, "b": 2}, {"b": 2}, ['"a": "<int 1 digit>",'], [], id="a missing member"
        ),
        pytest.param(
            {"a": [1, 2]},
            {"a": [1, "x"]},
            ['"<int 1 digit>"'],
            ['"<str 1>"'],
            id="one item of a list",
        ),
        pytest.param({"a": [1, 2]}, {"a": [2, 1]}, ['"a": ['], ['"a": ['], id="an order"),
        pytest.param(
            {"user4711": 1},
            {"user4711": "x"},
            ['"<key 8>": "<int 1 digit>"'],
            ['"<key 8>": "<str 1>"'],
            id="a hidden name",
        ),
        pytest.param(
            {"of day": 1},
            {"of day": "x"},
            ['"<key 6>": "<int 1 digit>"'],
            ['"<key 6>": "<str 1>"'],
            id="a hidden odd name",
        ),
        pytest.param(
            [{"v": n} for n in range(9)],
            [{"v": n + (n > 7)} for n in range(9)],
            ['"v": "<int 1 digit>"'] * 3,
            ['"v": "<int 1 digit>"'] * 3,
            id="an item that is not stored",
        ),
        pytest.param(1, "x", ['"<int 1 digit>"'], ['"<str 1>"'], id="the whole document"),
    ],
)
def test_the_lines_of_json_that_differ_are_marked(control, candidate, legacy, migrated):
    pair = side_by_side(answer(control), answer(candidate))

    assert (legacy, migrated) == (marked(pair.legacy.body), marked(pair.migrated.body))


@pytest.mark.parametrize(
    ("control", "candidate", "lines"),
    [
        pytest.param(
            "<ul><li class=a>x<li>y</ul>",
            "<ul><li class=b>x<li>y</ul>",
            ["<li class>[1]"],
            id="an attribute of one of two",
        ),
        pytest.param(
            "<ul><li>x<li>y</ul><p>z",
            "<ul><li>x<li>yy</ul><p>z",
            ["<li>[1]"],
            id="a text, without end tags",
        ),
        pytest.param("<p>a<p>b", "<p>a<p>c", ["<p>[1]"], id="a paragraph ends a paragraph"),
        pytest.param(
            "<div><br><p>a</p></div><p>b</p>",
            "<div><br><p>c</p></div><p>b</p>",
            ["<p>[1]"],
            id="an element without content",
        ),
    ],
)
def test_the_line_of_a_page_that_differs_is_marked(control, candidate, lines):
    pair = side_by_side(page(f"<html><body>{control}"), page(f"<html><body>{candidate}"))

    assert lines == marked(pair.legacy.body)


def test_a_form_field_that_is_named_is_marked():
    form = "<html><body><form><input name=a value=1><select name=b></select></form>"
    pair = side_by_side(page(form), page(form.replace("value=1", "value=2")))

    assert ["<input name value>"] == marked(pair.legacy.body)


def test_status_headers_and_cookies_are_marked_by_name():
    legacy = answer(
        {}, 200, (b"etag", b"1"), (b"set-cookie", b"sid=1; Path=/"), (b"vary", b"Cookie")
    )
    migrated = answer({}, 201, (b"set-cookie", b"sid=1"), (b"vary", b"Cookie"))
    pair = side_by_side(legacy, migrated)

    assert (True, True) == (pair.legacy.status_differs, pair.migrated.status_differs)
    assert ["etag: <str 1>", "set-cookie: sid=<str 1>; Path=/"] == marked(pair.legacy.headers)
    assert ["set-cookie: sid=<str 1>"] == marked(pair.migrated.headers)


def test_bytes_are_marked_as_a_whole():
    kind = (b"content-type", b"application/octet-stream")
    pair = side_by_side(
        *(ResponseSnapshot(200, (kind,), b"\x00\xff" + last) for last in (b"a", b"b"))
    )

    assert ["<bytes 3 bytes>"] == marked(pair.legacy.body)


def test_much_is_cut_and_says_so():
    members = {f"name_{chr(97 + n // 26)}{chr(97 + n % 26)}": 1 for n in range(50)}
    many = [(b"x-%d" % n, b"v") for n in range(MAX_HEADERS + 5)]
    pair = side_by_side(
        answer({"a": 1, **members}, 200, *many), answer({"a": 2, **members}, 200, *many)
    )

    assert (MAX_HEADERS, True) == (len(pair.legacy.headers), pair.legacy.is_cut)
    assert len(pair.legacy.body) <= MAX_LINES


def test_a_pair_side_by_side_is_json():
    pair = side_by_side(answer({"a": 1}), answer({"a": "\u202e\x1b"}))

    assert "\\u001b" not in json.dumps(pair.as_json())
