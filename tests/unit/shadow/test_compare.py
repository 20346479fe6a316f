"""What a comparison finds in heads and bodies of every kind; rules, limits, hostile input."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.compare.content import MAX_BODY, unpack_body
from overgrow.shadow.compare.findings import MAX_KEPT
from overgrow.shadow.values.difference import MAX_RENDERED, SEVERITIES, Comparison, Difference
from overgrow.shadow.values.snapshot import ResponseSnapshot


def answer(
    body: bytes = b"", kind: str = "text/plain", status: int = 200, **fields: str
) -> ResponseSnapshot:
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return ResponseSnapshot(status, ((b"content-type", kind.encode()), *lines), body)


def headed(*lines: str) -> ResponseSnapshot:
    pairs = (line.partition(":")[::2] for line in lines)
    return ResponseSnapshot(200, tuple((name.encode(), value.encode()) for name, value in pairs))


def found(
    control: ResponseSnapshot, candidate: ResponseSnapshot
) -> list[tuple[str, str, str, str]]:
    differences = compare(control, candidate).differences
    return [(each.kind, each.path, each.control, each.candidate) for each in differences]


IGNORED = [
    pytest.param(["date: a"], ["date: b"], id="two moments"),
    pytest.param(["host: a:8000"], [], id="PHP's built-in server repeats the request's Host"),
    pytest.param(["server: a"], [], id="two servers"),
    pytest.param(["via: 1.1 a"], [], id="only one went through a proxy"),
    pytest.param(["age: 1"], ["age: 2"], id="a cache's clock"),
    pytest.param(["content-length: 1"], [], id="derived from the body"),
    pytest.param(["transfer-encoding: chunked"], ["connection: close"], id="hop by hop"),
    pytest.param(["connection: x-hop", "x-hop: 1"], [], id="named by Connection"),
    pytest.param(["x-overgrow-error: gone"], [], id="our own"),
    pytest.param(["vary: Cookie, Accept"], ["vary: accept", "vary: cookie"], id="a set of tokens"),
    pytest.param(["allow: GET,HEAD"], ["allow: HEAD, GET, GET"], id="methods in any order"),
    pytest.param(["x-a: 1", "x-b: 2"], ["x-b: 2", "x-a: 1"], id="order of different fields"),
    pytest.param(["x-a: 1", "x-a: 2"], ["x-a: 1, 2"], id="a list on two lines"),
    pytest.param(["x-a: 1"], ["X-A:1 "], id="case of names and space around values"),
    pytest.param(
        ["cache-control: no-store, private"], ["cache-control: private,no-store"], id="directives"
    ),
    pytest.param(
        ['link: </a,b>; rel="x, y", </c>'], ['link: </c>, </a,b>; rel="x, y"'], id="links"
    ),
    pytest.param(
        ["content-type: Text/HTML;charset=UTF-8"],
        ['content-type: text/html; charset="utf-8"'],
        id="content type in other words",
    ),
    pytest.param(["content-encoding: identity"], [], id="no coding, said and unsaid"),
    pytest.param(
        ["set-cookie: a=1; Path=/; Secure"],
        ["set-cookie: a=1; secure; path=/"],
        id="attributes in any order",
    ),
    pytest.param(
        ["set-cookie: a=1; Domain=.x.example"],
        ["set-cookie: a=1; domain=X.example"],
        id="the dot of a domain",
    ),
    pytest.param(
        ["set-cookie: a=1; Path=/x", "set-cookie: a=2; Path=/y"],
        ["set-cookie: a=2; Path=/y", "set-cookie: a=1; Path=/x"],
        id="two cookies of one name in two places",
    ),
]


@pytest.mark.parametrize(("control", "candidate"), IGNORED)
def test_what_means_the_same_matches(control, candidate):
    assert compare(headed(*control), headed(*candidate)).verdict == "matched"


HEADS = [
    pytest.param(["etag: a"], ["etag: b"], [("header-value", "header:etag", "a", "b")], id="etag"),
    pytest.param(["x-a: 1"], [], [("header-missing", "header:x-a", "1", "")], id="missing"),
    pytest.param([], ["x-a: 1"], [("header-extra", "header:x-a", "", "1")], id="extra"),
    pytest.param(
        ["x-a: 1", "x-a: 2"],
        ["x-a: 2", "x-a: 1"],
        [("order", "header:x-a", "1, 2", "2, 1")],
        id="order of one field's values",
    ),
    pytest.param(
        ["vary: cookie"], ["vary: *"], [("header-value", "header:vary", "cookie", "*")], id="vary"
    ),
    pytest.param(
        ["content-type: text/html; charset=utf-8"],
        ["content-type: text/html; charset=latin1"],
        [("content-type", "header:content-type;charset", "utf-8", "latin1")],
        id="charset",
    ),
    pytest.param(
        ["content-type: text/html; charset=utf-8"],
        ["content-type: text/html;"],
        [("content-type", "header:content-type;charset", "utf-8", "")],
        id="charset left out",
    ),
    pytest.param(
        ["content-type: text/html"],
        [],
        [("content-type", "header:content-type", "text/html", "")],
        id="no content type",
    ),
    pytest.param(
        ["set-cookie: a=1; Path=/"],
        ["set-cookie: a=2; Path=/b"],
        [
            ("cookie-value", "cookie:a", "1", "2"),
            ("cookie-attribute-value", "cookie:a;path", "/", "/b"),
        ],
        id="value and path of a cookie",
    ),
    pytest.param(
        ["set-cookie: a=1"],
        ["set-cookie: a=1; Secure", "set-cookie: b=2"],
        [
            ("cookie-attribute-extra", "cookie:a;secure", "", "secure"),
            ("cookie-extra", "cookie:b", "", "2"),
        ],
        id="what is added to cookies",
    ),
    pytest.param(
        ["set-cookie: a=1", "set-cookie: b=2"],
        ["set-cookie: b=2"],
        [("cookie-missing", "cookie:a", "1", "")],
        id="a cookie is missing",
    ),
    pytest.param(
        ["set-cookie: a=1; Path=/x", "set-cookie: a=2; Path=/y"],
        ["set-cookie: a=1; Path=/x", "set-cookie: a=2; Path=/z"],
        [("cookie-attribute-value", "cookie:a#2;path", "/y", "/z")],
        id="the second cookie of a name",
    ),
    pytest.param(
        ["set-cookie: a=1", "set-cookie: a=2"],
        ["set-cookie: a=1"],
        [("cookie-missing", "cookie:a#2", "2", "")],
        id="one of two cookies of a name",
    ),
    pytest.param(
        ["set-cookie: alone"],
        ["set-cookie: other"],
        [("cookie-value", "cookie:", "alone", "other")],
        id="a cookie without a name",
    ),
    pytest.param(
        ["x-\x01: \x02"],
        [],
        [("header-missing", "header:x-\\u0001", "\\u0002", "")],
        id="control characters are shown",
    ),
]


@pytest.mark.parametrize(("control", "candidate", "differences"), HEADS)
def test_a_difference_in_the_head_has_its_path(control, candidate, differences):
    assert differences == found(headed(*control), headed(*candidate))


def json_found(control: str, candidate: str) -> list[tuple[str, str, str, str]]:
    pair = (answer(each.encode(), "application/json") for each in (control, candidate))
    return found(*pair)


JSON = [
    pytest.param('{"a": 1}', '{"a": "1"}', [("type", "$.a", "1", '"1"')], id="type"),
    pytest.param("[1]", '{"a": 1}', [("type", "$", "array (1 item)", "object (1 key)")], id="root"),
    pytest.param('{"a": 1}', '{"a": 1.0}', [("type", "$.a", "1", "1.0")], id="1 is not 1.0"),
    pytest.param('{"a": 1}', '{"a": 1.5}', [("value", "$.a", "1", "1.5")], id="another number"),
    pytest.param('{"a": 1}', '{"a": true}', [("type", "$.a", "1", "true")], id="1 is not true"),
    pytest.param('{"a": 0}', '{"a": false}', [("type", "$.a", "0", "false")], id="nor 0 false"),
    pytest.param('{"a": null}', "{}", [("missing", "$.a", "null", "")], id="null is not missing"),
    pytest.param(
        "[12345678901234567890]",
        "[12345678901234567891]",
        [("value", "$[0]", "12345678901234567890", "12345678901234567891")],
        id="big numbers are exact",
    ),
    pytest.param(
        "[0.1]",
        "[0.1000000000000000055]",
        [("value", "$[0]", "0.1", "0.1000000000000000055")],
        id="and so are long ones",
    ),
    pytest.param("[1.50, 1e2]", "[1.5, 100.0]", [], id="one number in other words"),
    pytest.param(f"[{'9' * 5000}]", f"[ {'9' * 5000}]", [], id="a number of 5,000 digits"),
    pytest.param(
        "[1e99999999999999999999]", "[1e99999999999999999999 ]", [], id="beyond all exponents"
    ),
    pytest.param("[NaN]", "[null]", [("type", "$[0]", "NaN", "null")], id="NaN is not null"),
    pytest.param("[NaN]", "[-Infinity]", [("value", "$[0]", "NaN", "-Infinity")], id="no numbers"),
    pytest.param(
        '{"a": 1}',
        '{"a": 1, "a": 1}',
        [("type", "$.a", "1", "repeated key (2 items)")],
        id="a key that stands twice",
    ),
    pytest.param(
        '{"a": 1, "a": 2}',
        '{"a": 1, "a": 3}',
        [("value", "$.a[1]", "2", "3")],
        id="the second value of a repeated key",
    ),
    pytest.param('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', [], id="keys in any order"),
    pytest.param(
        '{"a b": {"[3]": 1}}',
        '{"a b": {"[3]": 2}}',
        [("value", '$["a b"]["[3]"]', "1", "2")],
        id="odd keys are quoted",
    ),
    pytest.param(
        "[1, 2, 3]", "[3, 1, 2]", [("order", "$", "array (3 items)", "array (3 items)")], id="order"
    ),
    pytest.param(
        "[1, 2, 3, 4]",
        "[1, 3, 4]",
        [("length", "$", "array (4 items)", "array (3 items)")],
        id="an item went from the middle",
    ),
    pytest.param(
        "[]", "[1]", [("length", "$", "array (0 items)", "array (1 item)")], id="an item came"
    ),
    pytest.param(
        '[{"id": 1, "n": "a"}, {"id": 2, "n": "b"}]',
        '[{"id": 2, "n": "b"}, {"id": 1, "n": "c"}]',
        [
            ("order", "$", "array (2 items)", "array (2 items)"),
            ("value", "$[0].n", '"a"', '"c"'),
        ],
        id="items are known by their id",
    ),
    pytest.param(
        '[{"id": 1}, {"id": 2}, {"id": 3}]',
        '[{"id": 1}, {"id": 3}, {"id": 4}]',
        [("value", "$[1].id", "2", "4")],
        id="an id that changed is no new order",
    ),
    pytest.param(
        '[{"id": 1, "n": 1}, {"id": 1, "n": 2}]',
        '[{"id": 1, "n": 1}, {"id": 1, "n": 3}]',
        [("value", "$[1].n", "2", "3")],
        id="an id that stands twice tells nothing apart",
    ),
    pytest.param(
        '{"a": "' + "x" * 300 + '"}',
        '{"a": 1}',
        [("type", "$.a", '"' + "x" * 199 + "… (302 characters)", "1")],
        id="long values are cut",
    ),
    pytest.param(
        '["\\ud800"]',
        '["\\ud801"]',
        [("value", "$[0]", '"\\ud800"', '"\\ud801"')],
        id="lone surrogates",
    ),
    pytest.param(
        '["\\u0000"]',
        '["\\u0085"]',
        [("value", "$[0]", '"\\u0000"', '"\\u0085"')],
        id="control characters",
    ),
]


@pytest.mark.parametrize(("control", "candidate", "differences"), JSON)
def test_a_difference_in_json_has_its_path(control, candidate, differences):
    assert differences == json_found(control, candidate)


def html_found(control: str, candidate: str) -> list[tuple[str, str, str, str]]:
    pair = (answer(each.encode(), "text/html") for each in (control, candidate))
    return found(*pair)


SAME_PAGES = [
    pytest.param(
        "<p>a  b\n</p>\n<p>c</p>", "<p> a b</p><p>c</p>", id="white space that is not shown"
    ),
    pytest.param("<p>a<p>b", "<p>a</p><p>b</p>", id="end tags of paragraphs"),
    pytest.param("<ul><li>a<li>b</ul>", "<ul><li>a</li><li>b</li></ul>", id="end tags of items"),
    pytest.param(
        "<dl><dt>a<dd>b<dt>c</dl>", "<dl><dt>a</dt><dd>b</dd><dt>c</dt></dl>", id="of terms"
    ),
    pytest.param(
        "<table><tr><td>a<td>b<tr><td>c</table>",
        "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>",
        id="of cells and rows",
    ),
    pytest.param(
        "<ul><li>a<ul><li>b</ul></ul>",
        "<ul><li>a<ul><li>b</li></ul></li></ul>",
        id="of nested items",
    ),
    pytest.param(
        "<P CLASS='b a'>x</P>", '<p class="a b">x</p>', id="case, quotes, order of classes"
    ),
    pytest.param(
        "<input a=1 b=2 disabled>", '<input b=2 a=1 disabled="">', id="order of attributes"
    ),
    pytest.param("<p>&eacute;&#8364;</p>", "<p>é€</p>", id="character references"),
    pytest.param("<p>a<!-- x -->b</p>", "<p>ab</p>", id="comments"),
    pytest.param("<br/>", "<br>", id="the slash of a void element"),
    pytest.param("<svg><g/><g/></svg>", "<svg><g></g><g></g></svg>", id="but an end within svg"),
    pytest.param("<script> a </script>", "<script>a</script>", id="space around a script"),
    pytest.param("<p>a</b></p>", "<p>a</p>", id="an end tag of nothing"),
    pytest.param("<!DOCTYPE  HTML>", "<!doctype html>", id="the doctype in other words"),
]


@pytest.mark.parametrize(("control", "candidate"), SAME_PAGES)
def test_two_ways_to_write_one_page_match(control, candidate):
    assert html_found(control, candidate) == []


PAGES = [
    pytest.param(
        "<b>a</b> <i>b</i>",
        "<b>a</b><i>b</i>",
        [("missing", "html:/text()", " ", "")],
        id="a space between words",
    ),
    pytest.param(
        "<pre>a  b</pre>",
        "<pre>a b</pre>",
        [("text", "html:/pre/text()", "a  b", "a b")],
        id="white space that is shown",
    ),
    pytest.param(
        "<p>a\u00a0</p>",
        "<p>a</p>",
        [("text", "html:/p/text()", "a\\u00a0", "a")],
        id="a no-break space",
    ),
    pytest.param(
        "<ul><li>a<li>b<li>c</ul>",
        "<ul><li>a<li>c</ul>",
        [("missing", "html:/ul/li[2]", "<li>", "")],
        id="an item that went",
    ),
    pytest.param(
        "<ul><li>a<li>c</ul>",
        "<ul><li>a<li>b<li>c</ul>",
        [("extra", "html:/ul/li[2]", "", "<li>")],
        id="an item that came",
    ),
    pytest.param(
        "<ul><li>a<li>b</ul>",
        "<ul><li>b<li>a</ul>",
        [("order", "html:/ul", "li, li", "li, li")],
        id="two items that changed places",
    ),
    pytest.param(
        '<a href="/x">a</a><p>t</p>',
        '<a href="/y" rel="n">a</a><h1>t</h1><p>t</p>',
        [
            ("value", "html:/a/@href", "/x", "/y"),
            ("extra", "html:/a/@rel", "", "n"),
            ("extra", "html:/h1", "", "<h1>"),
        ],
        id="attributes, and an element between",
    ),
    pytest.param(
        '<i id="x">a</i>',
        "<i>a</i>",
        [("missing", "html:/i/@id", "x", "")],
        id="an attribute that went",
    ),
    pytest.param(
        "<b>a</b><p>b</p>",
        "<p>b</p><b>a</b>",
        [("order", "html:", "b, p", "p, b")],
        id="order at the root",
    ),
    pytest.param(
        "<!doctype html>",
        "<p>x",
        [("missing", "html:/@doctype", "doctype html", ""), ("extra", "html:/p", "", "<p>")],
        id="no doctype",
    ),
    pytest.param(
        "<p>a",
        "<p>b<i>c</i>",
        [("text", "html:/p/text()", "a", "b"), ("extra", "html:/p/i", "", "<i>")],
        id="text beside an element that came",
    ),
    pytest.param(
        '<img src="a">',
        "text",
        [("missing", "html:/img", '<img src="a">', ""), ("extra", "html:/text()", "", "text")],
        id="an element for a text",
    ),
    pytest.param(
        "<svg/>a",
        "<svg>a",
        [("extra", "html:/svg/text()", "", "a"), ("missing", "html:/text()", "a", "")],
        id="a slash that ends",
    ),
]


@pytest.mark.parametrize(("control", "candidate", "differences"), PAGES)
def test_a_difference_in_html_has_its_path(control, candidate, differences):
    assert sorted(differences) == sorted(html_found(control, candidate))


BODIES = [
    pytest.param(
        answer(b"a\nb\nc"), answer(b"a\nx\nc"), [("text", "text:line[2]", "b", "x")], id="a line"
    ),
    pytest.param(
        answer(b"a\nb\nc"),
        answer(b"a\nc"),
        [("missing", "text:line[2]", "b", "")],
        id="a line less",
    ),
    pytest.param(
        answer(b"a\n"), answer(b"a"), [("missing", "text:line[2]", "", "")], id="the last LF"
    ),
    pytest.param(
        answer(b"a\r\n"),
        answer(b"a\n"),
        [("text", "text:line[1]", "a\\r", "a")],
        id="CRLF is not LF",
    ),
    pytest.param(
        answer(b"a"), answer(b"a\nb"), [("extra", "text:line[2]", "", "b")], id="a line more"
    ),
    pytest.param(
        answer(b"\0\1\2", "image/png"),
        answer(b"\0\1\3\4", "image/png"),
        [("length", "bytes", "3 bytes", "4 bytes"), ("bytes", "bytes[2]", "02", "03 04")],
        id="bytes by length and first difference",
    ),
    pytest.param(
        answer(b"\0", "image/png"),
        answer(b"\0\0", "image/png"),
        [("length", "bytes", "1 bytes", "2 bytes")],
        id="bytes that go on",
    ),
    pytest.param(answer(b"a"), answer(b""), [("missing", "body", "1 bytes", "")], id="no body"),
    pytest.param(answer(b""), answer(b"a"), [("extra", "body", "", "1 bytes")], id="a body"),
    pytest.param(
        answer(b"{1}", "application/json"),
        answer(b"{2}", "application/json"),
        [("text", "text:line[1]", "{1}", "{2}")],
        id="what is no JSON is text",
    ),
    pytest.param(
        answer(b"<p>", "text/html"),
        answer(b"<b>", "application/problem+json"),
        [
            ("content-type", "header:content-type", "text/html", "application/problem+json"),
            ("text", "text:line[1]", "<p>", "<b>"),
        ],
        id="a page and what is not even JSON",
    ),
    pytest.param(
        answer(b"[" * 200 + b"]" * 200, "application/json"),
        answer(b"[" * 200 + b"1" + b"]" * 200, "application/json"),
        [
            (
                "text",
                "text:line[1]",
                "[" * 200 + "… (400 characters)",
                "[" * 200 + "… (401 characters)",
            )
        ],
        id="JSON too deep is text",
    ),
    pytest.param(
        answer(b"<i>" * 200, "text/html"),
        answer(b"<i>" * 200 + b".", "text/html"),
        [
            (
                "text",
                "text:line[1]",
                ("<i>" * 67)[:200] + "… (600 characters)",
                ("<i>" * 67)[:200] + "… (601 characters)",
            )
        ],
        id="HTML too deep is text",
    ),
    pytest.param(
        answer("é".encode(), "text/plain; charset=utf-8"),
        answer("é".encode("latin-1"), "text/plain; charset=latin1"),
        [("content-type", "header:content-type;charset", "utf-8", "latin1")],
        id="one text in two charsets",
    ),
    pytest.param(
        answer(b"caf\xe9"),
        answer(b"caf\xe8"),
        [("text", "text:line[1]", "caf\\udce9", "caf\\udce8")],
        id="a charset that nobody says",
    ),
    pytest.param(
        answer(b"\xef\xbb\xbfa"),
        answer(b"a"),
        [("encoding", "body", "a byte order mark", "sound")],
        id="a byte order mark",
    ),
    pytest.param(
        answer(b"a\x80", "text/plain; charset=ascii"),
        answer(b"a\x81", "text/plain; charset=ascii"),
        [("text", "text:line[1]", "a\\u0080", "a\\u0081")],
        id="bytes outside the charset",
    ),
    pytest.param(
        answer(b"a", "text/plain; charset=unicode_escape"),
        answer(b"b", "text/plain; charset=unicode_escape"),
        [("text", "text:line[1]", "a", "b")],
        id="a codec that is no charset",
    ),
    pytest.param(
        answer(b"<a>1</a>", "application/atom+xml"),
        answer(b"<a>2</a>", "application/atom+xml"),
        [("text", "text:line[1]", "<a>1</a>", "<a>2</a>")],
        id="XML is text",
    ),
]


@pytest.mark.parametrize(("control", "candidate", "differences"), BODIES)
def test_a_difference_in_a_body_has_its_path(control, candidate, differences):
    assert differences == found(control, candidate)


def packed(text: bytes, coding: str, level: int = 9) -> ResponseSnapshot:
    raw = zlib.compressobj(level, wbits=-15)
    bodies = {
        "gzip": gzip.compress(text, level),
        "x-gzip": gzip.compress(text[:1], level) + gzip.compress(text[1:], level),
        "deflate": zlib.compress(text, level),
        "deflate, gzip": gzip.compress(zlib.compress(text, level)),
        "DEFLATE": raw.compress(text) + raw.flush(),
        "": text,
    }
    return answer(bodies[coding], content_encoding=coding)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "deflate, gzip", "DEFLATE"])
def test_a_body_packed_in_another_way_matches(coding):
    assert found(packed(b"a" * 99, coding, 1), packed(b"a" * 99, coding, 9)) == []


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        pytest.param(8, (MAX_BODY, ""), id="just as much as is unpacked"),
        pytest.param(9, None, id="one member more"),
    ],
)
def test_all_gzip_members_of_a_body_count_together(members, expected):
    member = gzip.compress(b"a" * (MAX_BODY // 8), mtime=0)
    headers = ((b"content-type", b"text/plain"), (b"content-encoding", b"gzip"))
    content = unpack_body(ResponseSnapshot(200, headers, member * members))
    packed_whole = (len(member * members), f"more than {MAX_BODY} bytes when unpacked")

    assert (expected or packed_whole) == (len(content.body), content.trouble)


def test_a_body_of_two_gzip_members_matches():
    assert found(packed(b"ab", "gzip"), packed(b"ab", "x-gzip")) == []


def test_a_body_that_is_not_packed_is_told_and_nothing_else():
    expected = [("content-coding", "header:content-encoding", "gzip", "")]

    assert expected == found(packed(b"abc", "gzip"), packed(b"abc", ""))


def test_packed_bodies_are_compared_by_what_they_hold():
    expected = [("text", "text:line[1]", "abc", "abd")]

    assert expected == found(packed(b"abc", "gzip"), packed(b"abd", "gzip"))


TROUBLES = [
    pytest.param(b"plain", "gzip", "a body that is not compressed as it says", id="not packed"),
    pytest.param(gzip.compress(b"abc")[:-9], "gzip", "a compressed body that ends early", id="cut"),
    pytest.param(
        gzip.compress(b"a" * 5_000_000), "gzip", "more than 4194304 bytes when unpacked", id="bomb"
    ),
]


@pytest.mark.parametrize(("body", "coding", "trouble"), TROUBLES)
def test_a_body_that_cannot_be_unpacked_says_why(body, coding, trouble):
    differences = found(packed(b"abc", "gzip"), answer(body, content_encoding=coding))

    assert ("encoding", "body", "unpacked", trouble) in differences


def test_a_coding_that_is_not_known_is_compared_packed():
    pair = (answer(body, content_encoding="br") for body in (b"abc", b"abd"))

    assert found(*pair) == [("bytes", "bytes[2]", "63", "64")]


def test_an_empty_packed_body_is_an_empty_body():
    pair = (answer(body, content_encoding="gzip") for body in (b"", gzip.compress(b"")))

    assert found(*pair) == []


def test_a_body_too_large_for_its_kind_is_compared_as_bytes():
    large = b'{"a": "' + b"x" * 5_000_000 + b'"}'
    pair = (answer(body, "application/json") for body in (large, large[:-3] + b'y"}'))

    assert [("bytes", "bytes[5000006]")] == [each[:2] for each in found(*pair)]


def test_json_too_long_to_walk_is_compared_as_text():
    long = b'{"a": "' + b"x" * 2_000_000 + b'"}'
    pair = (answer(body, "application/json") for body in (long, long.replace(b'"a"', b'"b"')))

    assert [("text", "text:line[1]")] == [each[:2] for each in found(*pair)]


def test_a_page_that_ends_within_a_long_script_is_text():
    pages = ("<script>" + "x" * 3000 + end for end in ("", "y"))

    assert ["text:line[1]"] == [each[1] for each in html_found(*pages)]


def test_more_differences_than_are_kept_are_cut_and_said_so():
    control = answer(json.dumps([0] * 500).encode(), "application/json")
    candidate = answer(json.dumps([1] * 500).encode(), "application/json")

    comparison = compare(control, candidate)

    assert (len(comparison.differences), comparison.truncated) == (MAX_KEPT, True)


def test_a_value_is_told_in_at_most_so_many_characters():
    pair = (answer(b"x" * 10_000 + end) for end in (b"", b"y"))

    [difference] = compare(*pair).differences

    assert len(difference.control) < MAX_RENDERED + 30


def test_the_severity_of_a_comparison_is_the_gravest_that_no_rule_covers():
    low = Difference("extra", "$.a", "low", "", "1")
    high = Difference("type", "$.b", "high", "1", "true", "$.b ignore")

    assert Comparison("mismatched", (low, high)).severity == "low"


def test_a_match_has_no_severity():
    assert Comparison("matched").severity is None


def test_a_difference_reads_as_one_line():
    covered = Difference("value", "$.a[3].b", "medium", "1", "2", "$.a[*].b ignore")

    assert (str(covered), covered.path_shape) == (
        "$.a[3].b: value (medium): 1 -> 2 [$.a[*].b ignore]",
        "$.a[*].b",
    )


def test_an_uncovered_difference_names_no_rule():
    assert str(Difference("status", "status", "high", "200", "500")) == (
        "status: status (high): 200 -> 500"
    )


# Anything at all: what a hostile or broken side may send.
HOSTILE = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"[" * 5000,
            b"{" * 99 + b"}" * 99,
            b"<" * 99,
            b"<![CDATA[",
            b"&#x110000;",
            b"<a" * 50,
            b"\x1f\x8b\x08",
        ]
    ),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
    st.lists(
        st.sampled_from(
            ["<p>", "</p>", "<ul>", "<li>", "a ", "<br/>", "<pre>", "<svg/>", "<td>", "\n"]
        )
    ).map(lambda each: "".join(each).encode()),
)
TYPES = [
    "application/json",
    "text/html",
    "text/plain",
    "image/png",
    "",
    ";",
    "text/html; charset=utf-16",
    "text/plain; charset=big5",
    "application/json; charset=\0",
]
HEADER_LINES = st.lists(
    st.tuples(
        st.sampled_from([b"set-cookie", b"vary", b"link", b"connection", b"content-encoding", b"x"])
        | st.binary(max_size=5),
        st.sampled_from([b"a=1; Path", b"gzip", b"deflate, br", b"<a,", b"=;=;", b";;", b'"'])
        | st.binary(max_size=8),
    ),
    max_size=5,
)
ANSWERS = st.builds(
    lambda status, kind, lines, body: ResponseSnapshot(
        status, ((b"content-type", kind.encode()), *lines), body
    ),
    st.integers(100, 999),
    st.sampled_from(TYPES),
    HEADER_LINES,
    HOSTILE,
)


@settings(max_examples=60, deadline=None)
@given(ANSWERS, ANSWERS)
def test_two_answers_of_any_sort_are_compared_without_an_error(control, candidate):
    comparison = compare(control, candidate)

    assert (comparison.verdict == "matched") == (comparison.differences == ())
    for difference in comparison.differences:
        assert difference.severity == SEVERITIES[difference.kind]
        assert str(difference).isprintable()


@settings(max_examples=60, deadline=None)
@given(ANSWERS)
def test_an_answer_matches_itself(each):
    again = ResponseSnapshot(
        each.status, (*each.headers, (b"date", b"now")), bytes(bytearray(each.body))
    )

    assert compare(each, again).verdict == "matched"


MIRRORED = {"missing": "extra", "extra": "missing"}


def mirrored(kind: str) -> str:
    stem, dash, last = kind.rpartition("-")
    return stem + dash + MIRRORED.get(last, last)


@settings(max_examples=60, deadline=None)
@given(ANSWERS, ANSWERS)
def test_the_kinds_are_the_same_the_other_way_round(control, candidate):
    there, back = compare(control, candidate), compare(candidate, control)

    assert Counter(mirrored(each.kind) for each in there.differences) == Counter(
        each.kind for each in back.differences
    )
