"""What differs at once between two frameworks and no client sees: each alone, and its neighbours that count."""

import gzip
import hashlib

import pytest

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.values.snapshot import ResponseSnapshot


def response(status, *lines, body=b""):
    pairs = (line.partition(": ")[::2] for line in lines)
    return ResponseSnapshot(status, tuple((a.encode(), b.encode()) for a, b in pairs), body)


EXPRESS_REDIRECT = (
    "location: /new",
    "vary: Accept",
    "content-type: text/plain; charset=utf-8",
)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_body_of_a_redirect_is_seen_by_nobody(status):
    control = response(status, *EXPRESS_REDIRECT, body=b"Found. Redirecting to /new")
    candidate = response(
        status, "location: /new", "content-type: text/html; charset=utf-8", body=b"<h1>Moved</h1>"
    )

    assert "matched" == compare(control, candidate).verdict


@pytest.mark.parametrize("status", [204, 205, 304])
def test_the_type_of_a_body_that_cannot_be_is_seen_by_nobody(status):
    candidate = response(status, "content-type: text/html; charset=utf-8")

    assert "matched" == compare(response(status), candidate).verdict


@pytest.mark.parametrize("body", [b"hello", b"{}"])
def test_a_charset_that_no_byte_needs_is_seen_by_nobody(body):
    control = response(200, "content-type: text/plain; charset=utf-8", body=body)
    candidate = response(200, "content-type: text/plain", body=body)

    assert "matched" == compare(control, candidate).verdict
    assert "matched" == compare(candidate, control).verdict


EXPRESS_BODY = '{"id":1,"name":"Käse"}'.encode()
EXPRESS_TAG = 'W/"17-Bw8Keta3xb4QA8GsQBbGKc4+2WY"'  # as Express 4.21 sent it for this body


@pytest.mark.parametrize("tag", [EXPRESS_TAG, 'W/"RACK"', 'W/"MD5"'])
def test_a_weak_tag_that_is_made_of_the_body_is_seen_by_nobody(tag):
    tag = tag.replace("RACK", hashlib.sha256(EXPRESS_BODY).hexdigest()[:32])
    tag = tag.replace("MD5", hashlib.md5(EXPRESS_BODY).hexdigest())
    control = response(200, f"etag: {tag}", body=EXPRESS_BODY)
    packed = response(
        200, f"etag: {tag}", "content-encoding: gzip", body=gzip.compress(EXPRESS_BODY)
    )
    plain = response(200, body=EXPRESS_BODY)

    assert "matched" == compare(control, plain).verdict
    assert "matched" == compare(plain, control).verdict
    assert ["content-coding"] == [one.kind for one in compare(packed, plain).differences]


def test_a_weak_tag_of_a_response_without_a_body_is_seen_by_nobody():
    control = response(204, 'etag: W/"a-bAsFyilMr4Ra1hIU5PyoyFRunpI"')

    assert "matched" == compare(control, response(204)).verdict
    assert "mismatched" == compare(response(204, 'etag: "v2"'), response(204)).verdict


@pytest.mark.parametrize(
    "tag",
    [
        pytest.param('W/"17-AAAAAAAAAAAAAAAAAAAAAAAAAAA"', id="of another body"),
        pytest.param(EXPRESS_TAG.removeprefix("W/"), id="strong"),
        pytest.param('W/"e0c487a8fd86f326fc96"', id="of another making"),
        pytest.param('W/"', id="half"),
    ],
)
def test_any_other_tag_that_is_missing_is_a_difference(tag):
    control = response(200, f"etag: {tag}", body=EXPRESS_BODY)

    assert ["header:etag"] == [
        one.path for one in compare(control, response(200, body=EXPRESS_BODY)).differences
    ]


@pytest.mark.parametrize(
    ("control", "candidate", "path"),
    [
        pytest.param(
            response(302, "location: /new"),
            response(302, "location: /old"),
            "header:location",
            id="another location",
        ),
        pytest.param(
            response(302, "location: /new"),
            response(302, "location: /new", "set-cookie: a=b"),
            "cookie:a",
            id="a cookie of a redirect",
        ),
        pytest.param(
            response(302, "content-type: text/plain", body=b"a"),
            response(302, "content-type: text/plain", body=b"b"),
            "text:line[1]",
            id="a redirect to nowhere shows its body",
        ),
        pytest.param(
            response(301, "location: /new"),
            response(302, "location: /new"),
            "status",
            id="another kind of redirect",
        ),
        pytest.param(
            response(201, "location: /new", body=b"a"),
            response(201, "location: /new", body=b"b"),
            "bytes[0]",
            id="what was created is no redirect",
        ),
        pytest.param(
            response(200, "content-type: text/plain; charset=utf-8", body="ä".encode()),
            response(200, "content-type: text/plain", body="ä".encode()),
            "header:content-type;charset",
            id="a charset that a byte needs",
        ),
        pytest.param(
            response(200, "content-type: text/plain; charset=latin1"),
            response(200, "content-type: text/plain"),
            "header:content-type;charset",
            id="another charset",
        ),
        pytest.param(
            response(
                200,
                "content-type: text/plain; charset=utf-8",
                "content-encoding: gzip",
                body=b"no gzip",
            ),
            response(200, "content-type: text/plain", "content-encoding: gzip", body=b"no gzip"),
            "header:content-type;charset",
            id="bytes that cannot be read",
        ),
        pytest.param(
            response(204, "cache-control: no-store"),
            response(204),
            "header:cache-control",
            id="a field of a response without a body",
        ),
    ],
)
def test_what_a_client_sees_is_a_difference(control, candidate, path):
    found = compare(control, candidate)

    assert ("mismatched", path) == (found.verdict, found.differences[0].path)
