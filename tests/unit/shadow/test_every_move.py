"""What differs in every move from one server to another and means the same, and what looks like it."""

from __future__ import annotations

import gzip

import pytest

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.values.snapshot import ResponseSnapshot

BASE = "https://shop.example/orders/7"
NOON, LATER = "Sun, 22 Nov 2026 12:00:00 GMT", "Sun, 22 Nov 2026 12:00:03 GMT"


def answer(*lines, body=b"", status=200):
    pairs = (line.partition(": ") for line in lines)
    headers = tuple((name.lower().encode(), value.encode("latin-1")) for name, _, value in pairs)
    return ResponseSnapshot(status, headers, body)


def found(control, candidate, base=BASE):
    return [
        f"{each.kind} {each.path}" for each in compare(control, candidate, base=base).differences
    ]


def at(date, *lines):
    return answer(f"Date: {date}", *lines)


EXPIRES = [
    pytest.param(
        at(NOON, "Expires: Sun, 22 Nov 2026 13:00:00 GMT"),
        at(LATER, "Expires: Sun, 22 Nov 2026 13:00:03 GMT"),
        True,
        id="an hour after each",
    ),
    pytest.param(
        at(NOON, "Expires: Sun, 22 Nov 2026 13:00:00 GMT"),
        at(LATER, "Expires: Sun, 22 Nov 2026 14:00:03 GMT"),
        False,
        id="an hour and two",
    ),
    pytest.param(
        at(NOON, "Expires: Sun, 22 Nov 2026 13:00:00 GMT"),
        answer("Expires: Sun, 22 Nov 2026 13:00:04 GMT"),
        True,
        id="one without a Date",
    ),
    pytest.param(at(NOON, "Expires: 0"), at(NOON, f"Expires: {NOON}"), True, id="both are over"),
    pytest.param(
        at(NOON, "Expires: -1"), at(NOON, "Expires: Thu, 19 Nov 1981 08:52:00 GMT"), True, id="PHP"
    ),
    pytest.param(
        at(NOON, "Expires: 0"),
        at(NOON, "Expires: Sun, 22 Nov 2026 12:00:01 GMT"),
        False,
        id="over, and not yet",
    ),
    pytest.param(
        at(NOON, "Cache-Control: max-age=60", "Expires: Sun, 22 Nov 2026 13:00:00 GMT"),
        at(NOON, "Cache-Control: max-age=60", "Expires: Sun, 22 Nov 2026 14:00:00 GMT"),
        True,
        id="max-age counts alone",
    ),
    pytest.param(
        answer("Expires: Sun, 22 Nov 2026 13:00:00 GMT"),
        answer("Expires: Sun, 22 Nov 2026 13:00:04 GMT"),
        False,
        id="nobody says when",
    ),
]


@pytest.mark.parametrize(("control", "candidate", "are_equal_nodes"), EXPIRES)
def test_expires_is_how_long_after_the_answer(control, candidate, are_equal_nodes):
    assert found(control, candidate) == ([] if are_equal_nodes else ["header-value header:expires"])


def cookie(date, *words):
    return at(date, f"Set-Cookie: {'; '.join(('s=1', *words))}")


COOKIES = [
    pytest.param(
        cookie(NOON, "Expires=Sun, 22 Nov 2026 13:00:00 GMT"),
        cookie(LATER, "expires=Sun, 22-Nov-2026 13:00:03 GMT"),
        [],
        id="an hour after each",
    ),
    pytest.param(
        cookie(NOON, "Expires=Sun, 22 Nov 2026 13:00:00 GMT"),
        cookie(LATER, "Max-Age=3600"),
        [],
        id="an hour in other words",
    ),
    pytest.param(
        cookie(NOON, "Expires=Sun, 22 Nov 2026 13:00:00 GMT", "Max-Age=60"),
        cookie(LATER, "Expires=Sun, 22 Nov 2026 14:00:00 GMT", "Max-Age=60"),
        [],
        id="max-age counts alone",
    ),
    pytest.param(
        cookie(NOON, "Max-Age=60"),
        cookie(LATER, "Max-Age=61"),
        ["cookie-attribute-value cookie:s;max-age"],
        id="another max-age",
    ),
    pytest.param(
        cookie(NOON, "Expires=Sun, 22 Nov 2026 13:00:00 GMT"),
        cookie(LATER, "Expires=Sun, 22 Nov 2026 14:00:00 GMT"),
        ["cookie-attribute-value cookie:s;expires"],
        id="an hour and two",
    ),
    pytest.param(
        cookie(NOON, "Expires=Sun, 22 Nov 2026 13:00:00 GMT"),
        cookie(NOON),
        ["cookie-attribute-missing cookie:s;expires"],
        id="an hour, and the session",
    ),
    pytest.param(
        at(NOON, "Set-Cookie: s=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0; path=/"),
        at(NOON, "Set-Cookie: s=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/"),
        [],
        id="deleted by PHP and by Flask",
    ),
    pytest.param(
        cookie(NOON, "Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
        cookie(NOON),
        ["cookie-attribute-missing cookie:s;expires"],
        id="deleted, and not",
    ),
    pytest.param(cookie(NOON, "Expires=soon"), cookie(NOON), [], id="no time at all"),
]


@pytest.mark.parametrize(("control", "candidate", "differences"), COOKIES)
def test_a_cookie_lives_as_long_after_each_answer(control, candidate, differences):
    assert found(control, candidate) == differences


REFERENCES = [
    pytest.param("Location: https://shop.example/cart", "Location: /cart", [], id="its own origin"),
    pytest.param("Location: HTTPS://Shop.Example:443/cart", "Location: /cart", [], id="its port"),
    pytest.param("Location: https://shop.example/orders/8", "Location: 8", [], id="a sibling"),
    pytest.param("Location: https://shop.example", "Location: /", [], id="the root"),
    pytest.param(
        "Location: http://shop.example/cart",
        "Location: /cart",
        ["header-value header:location"],
        id="another scheme",
    ),
    pytest.param(
        "Location: https://other.example/cart",
        "Location: /cart",
        ["header-value header:location"],
        id="another host",
    ),
    pytest.param(
        "Location: https://shop.example/cart?a",
        "Location: /cart",
        ["header-value header:location"],
        id="another query",
    ),
    pytest.param(
        "Location: https://[x/cart", "Location: /", ["header-value header:location"], id="no URL"
    ),
    pytest.param(
        "Content-Location: https://shop.example/a", "Content-Location: /a", [], id="of the content"
    ),
    pytest.param("Refresh: 5; url=https://shop.example/a", "Refresh: 5;URL=/a", [], id="a refresh"),
    pytest.param(
        "Refresh: 5; url=/a", "Refresh: 6; url=/a", ["header-value header:refresh"], id="its time"
    ),
    pytest.param(
        'Link: </a>; rel=next, </b>; rel="prev"',
        'Link: <https://shop.example/b>; rel="prev", <https://shop.example/a>; rel=next',
        [],
        id="links",
    ),
]


@pytest.mark.parametrize(("control", "candidate", "differences"), REFERENCES)
def test_a_reference_in_full_and_in_short_is_one(control, candidate, differences):
    assert found(answer(control), answer(candidate)) == differences


def test_without_the_url_that_was_asked_for_references_are_texts():
    pair = answer("Location: https://shop.example/cart"), answer("Location: /cart")

    assert found(*pair, base="") == ["header-value header:location"]


HTML = "Content-Type: text/html; charset=utf-8"
PAGE = b"<p>" + b"a" * 200


def test_a_body_packed_on_one_side_alone_is_of_low_severity():
    packed = answer(
        HTML,
        "Content-Encoding: gzip",
        "Vary: Accept-Encoding",
        'ETag: W/"1"',
        body=gzip.compress(PAGE),
    )
    comparison = compare(packed, answer(HTML, 'ETag: "1"', body=PAGE))

    assert [(each.path, each.severity) for each in comparison.differences] == [
        ("header:content-encoding", "low")
    ]


def test_what_else_a_packed_body_varies_by_is_told():
    packed = answer(
        HTML, "Content-Encoding: gzip", "Vary: Accept-Encoding, Cookie", body=gzip.compress(PAGE)
    )

    assert found(packed, answer(HTML, "Vary: Accept-Encoding", body=PAGE)) == [
        "header-missing header:vary",
        "content-coding header:content-encoding",
    ]


@pytest.mark.parametrize(
    ("control", "candidate", "differences"),
    [
        pytest.param(
            answer("Content-Type: text/html; charset=iso-8859-1", body=b"<p>\x93a\x94 \x80 \x81"),
            answer("Content-Type: text/html; charset=windows-1252", body=b"<p>\x93a\x94 \x80 \x81"),
            [],
            id="Latin-1 is windows-1252",
        ),
        pytest.param(
            answer("Content-Type: text/html; charset=iso-8859-1", body=b"<p>\x93a\x94 \x80"),
            answer(HTML, body="<p>\u201ca\u201d \u20ac".encode()),
            ["content-type header:content-type;charset"],
            id="and its text the same in UTF-8",
        ),
        pytest.param(
            answer("Content-Type: application/json; charset=utf-8", body=b"{}"),
            answer("Content-Type: application/json", body=b"{}"),
            [],
            id="the charset of JSON",
        ),
        pytest.param(
            answer("Content-Type: application/json; charset=latin1", body=b"{}"),
            answer("Content-Type: application/json", body=b"{}"),
            ["content-type header:content-type;charset"],
            id="another charset of JSON",
        ),
        pytest.param(answer("X-Powered-By: PHP/8.1"), answer(), [], id="the name of the software"),
    ],
)
def test_other_words_for_the_same_are_no_difference(control, candidate, differences):
    assert found(control, candidate) == differences


@pytest.mark.parametrize(
    ("body", "codings"),
    [
        pytest.param(gzip.compress(b"") * 200, "gzip", id="many members"),
        pytest.param(PAGE, ", ".join(["gzip"] * 50), id="many codings"),
    ],
)
def test_a_body_that_is_packed_again_and_again_is_compared_packed(body, codings):
    packed = answer(HTML, f"Content-Encoding: {codings}", body=body)

    assert "encoding body" in found(packed, answer(HTML, body=PAGE))
