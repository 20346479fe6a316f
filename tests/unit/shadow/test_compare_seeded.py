"""The seeded bugs: mistakes that migrations make, each found at its exact path and nowhere else."""

from __future__ import annotations

import json

import pytest

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.values.snapshot import ResponseSnapshot

ORDERS = {
    "orders": [
        {
            "id": 3,
            "customer": "O'Hara & Söhne",
            "placed_at": "2026-03-05T11:02:59Z",
            "total": 60.90,
            "paid": True,
            "note": None,
            "lines": [{"sku": "T-7", "quantity": 2}, {"sku": "S-1", "quantity": 1}],
        },
        {
            "id": 2,
            "customer": "Linus Moss",
            "placed_at": "2026-03-02T17:40:21Z",
            "total": 38.95,
            "paid": False,
            "lines": [{"sku": "G-4", "quantity": 12}],
        },
    ],
    "page": 1,
    "tags": ["open", "new", "gift"],
}
HEAD = (
    (b"date", b"Sun, 22 Nov 2026 10:00:00 GMT"),
    (b"server", b"HedgerowShop/2.3"),
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store, private"),
    (b"vary", b"Accept-Encoding, Cookie"),
    (b"x-request-budget", b"40"),
    (b"set-cookie", b"shop_session=eyJjYXJ0Ijoge319.1a65; Path=/; HttpOnly; SameSite=Lax"),
)
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Orders - Hedgerow Supply</title></head>
<body>
<nav><ul>
<li><a href="/products">Products</a></li>
<li><a href="/cart">Cart</a></li>
<li class="here"><a href="/account">Account</a></li>
</ul></nav>
<main id="main"><h1>Your orders</h1><p class="price">€60.90</p></main>
</body>
</html>
"""


def json_answer(document: object = ORDERS) -> ResponseSnapshot:
    body = json.dumps(document, ensure_ascii=False).encode()
    length = (b"content-length", str(len(body)).encode())
    return ResponseSnapshot(200, (*HEAD, length), body)


def other(change) -> ResponseSnapshot:
    """What a Flask app would answer: another server, another order of headers and keys."""
    document = json.loads(json.dumps(ORDERS))
    change(document)
    answer = json_answer(dict(reversed(document.items())))
    renamed = [(k, v) for k, v in reversed(answer.headers) if k not in (b"date", b"server")]
    return ResponseSnapshot(
        200, (*renamed, (b"date", b"Sun, 22 Nov 2026 10:00:01 GMT")), answer.body
    )


def with_header(old: bytes, new: bytes | None) -> ResponseSnapshot:
    answer = other(lambda document: None)
    lines = [(k, v.replace(old, new or b"")) for k, v in answer.headers if new or old not in v]
    return ResponseSnapshot(answer.status, tuple(lines), answer.body)


def page_answer(text: str = PAGE, charset: str = "utf-8") -> ResponseSnapshot:
    return ResponseSnapshot(
        200, ((b"content-type", b"text/html; charset=utf-8"),), text.encode(charset)
    )


def first(document: dict) -> dict:
    return document["orders"][0]


def rounded(document):
    document["orders"][1]["total"] = 39.0


def nulled(document):
    document["orders"][1]["note"] = None


JSON_BUGS = [
    pytest.param(
        other(lambda document: first(document).update(id="3")),
        ("type", "$.orders[0].id", "high", "3", '"3"'),
        id="field type",
    ),
    pytest.param(
        with_header(b"40", None),
        ("header-missing", "header:x-request-budget", "high", "40", ""),
        id="missing header",
    ),
    pytest.param(
        with_header(b"; HttpOnly", b" "),
        ("cookie-attribute-missing", "cookie:shop_session;httponly", "high", "httponly", ""),
        id="cookie attribute",
    ),
    pytest.param(
        other(lambda document: document["orders"].reverse()),
        ("order", "$.orders", "medium", "array (2 items)", "array (2 items)"),
        id="order",
    ),
    pytest.param(
        other(rounded),
        ("value", "$.orders[1].total", "medium", "38.95", "39.0"),
        id="rounding",
    ),
    pytest.param(
        other(lambda document: first(document).update(customer="O'Hara & SÃ¶hne")),
        ("value", "$.orders[0].customer", "medium", '"O\'Hara & Söhne"', '"O\'Hara & SÃ¶hne"'),
        id="encoding",
    ),
    pytest.param(
        ResponseSnapshot(201, json_answer().headers, json_answer().body),
        ("status", "status", "high", "200", "201"),
        id="status",
    ),
    pytest.param(
        other(lambda document: first(document).update(debug=True)),
        ("extra", "$.orders[0].debug", "low", "", "true"),
        id="extra field",
    ),
    pytest.param(
        other(nulled), ("extra", "$.orders[1].note", "low", "", "null"), id="null for missing"
    ),
    pytest.param(
        other(lambda document: first(document).pop("note")),
        ("missing", "$.orders[0].note", "high", "null", ""),
        id="missing for null",
    ),
    pytest.param(
        other(lambda document: document["tags"].pop()),
        ("length", "$.tags", "high", "array (3 items)", "array (2 items)"),
        id="truncated list",
    ),
    pytest.param(
        with_header(b"application/json", b"text/html"),
        ("content-type", "header:content-type", "high", "application/json", "text/html"),
        id="wrong content type",
    ),
]
HTML_BUGS = [
    pytest.param(
        page_answer(PAGE.replace("Cart<", "Basket<")),
        ("text", "html:/html/body/nav/ul/li[2]/a/text()", "medium", "Cart", "Basket"),
        id="HTML text",
    ),
    pytest.param(
        page_answer(PAGE.replace('class="here"', 'class="now"')),
        ("value", "html:/html/body/nav/ul/li[3]/@class", "medium", "here", "now"),
        id="HTML attribute",
    ),
]


@pytest.mark.parametrize(("candidate", "difference"), JSON_BUGS)
def test_a_seeded_bug_in_json_is_found_at_its_path_alone(candidate, difference):
    found = compare(json_answer(), candidate)

    assert found.verdict == "mismatched"
    assert [difference] == [
        (d.kind, d.path, d.severity, d.control, d.candidate) for d in found.differences
    ]


@pytest.mark.parametrize(("candidate", "difference"), HTML_BUGS)
def test_a_seeded_bug_in_html_is_found_at_its_path_alone(candidate, difference):
    found = compare(page_answer(), candidate)

    assert [difference] == [
        (d.kind, d.path, d.severity, d.control, d.candidate) for d in found.differences
    ]


def test_a_page_in_another_encoding_than_it_says_is_told_with_the_text():
    found = compare(page_answer(), page_answer(charset="cp1252"))

    assert [("encoding", "body"), ("text", "html:/html/body/main/p/text()")] == [
        (d.kind, d.path) for d in found.differences
    ]


def test_the_same_answer_from_another_server_matches():
    found = compare(json_answer(), other(lambda document: None))

    assert found.verdict == "matched"
