"""The legacy shop's pages: visitors, forms, redirects, conditions, files."""

from __future__ import annotations

import hashlib
import re

import pytest

from legacy_stub.multipart import Multipart
from legacy_stub.page import takes_gzip
from legacy_stub.session import Session, csrf_token, decode_session, encode_session
from tests.story.endpoints import FORM, VISITOR, Endpoint, cookie, file_form, form
from tests.story.stub import HOST, answer_of

BIG = "/downloads/catalogue.bin"
SIZE = 3 * 1024 * 1024 + 17


def value_of(answer, name):
    return dict(answer.headers).get(name)


def test_a_login_sets_two_cookies_and_leads_to_an_absolute_address(stub_port):
    answer = answer_of(stub_port, form("/login", name="ada", password="engine"))

    cookies = [value.partition("=")[0] for name, value in answer.headers if name == "set-cookie"]
    assert (answer.status, value_of(answer, "location")) == (303, f"http://{HOST}/account")
    assert cookies == ["shop_seen", "shop_session"]


def test_the_cookie_of_a_login_opens_the_account(stub_port):
    entered = answer_of(stub_port, form("/login", name="ada", password="engine"))
    sent = next(value for _, value in entered.headers if value.startswith("shop_session="))

    answer = answer_of(
        stub_port, Endpoint("GET", "/account", (("Cookie", sent.partition(";")[0]),))
    )

    assert b"You are logged in as ada." in answer.body


def test_the_account_leads_a_stranger_to_the_login(stub_port):
    answer = answer_of(stub_port, Endpoint("GET", "/account"), host="other.example:8443")

    assert (answer.status, value_of(answer, "location")) == (302, "http://other.example:8443/login")


def test_redirects_follow_the_scheme_a_front_door_names(stub_port):
    answer = answer_of(stub_port, Endpoint("GET", "/sale", (("X-Forwarded-Proto", "https"),)))

    assert value_of(answer, "location").startswith(f"https://{HOST}/")


def test_the_token_in_a_form_is_the_one_the_shop_accepts(stub_port):
    shown = answer_of(stub_port, Endpoint("GET", "/cart"))
    token = re.search(rb'name="csrf_token" value="([0-9a-f]+)"', shown.body)[1]
    sent = value_of(shown, "set-cookie").partition(";")[0]
    body = b"product=5&quantity=2&csrf_token=" + token

    posted = answer_of(stub_port, Endpoint("POST", "/cart", (("Cookie", sent), FORM), body))

    assert (posted.status, value_of(posted, "location")) == (303, f"http://{HOST}/cart")


@pytest.mark.parametrize("path", ["/cart", "/login", "/logout"])
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param((cookie(VISITOR),), b"", id="no token"),
        pytest.param((cookie(VISITOR),), b"csrf_token=0", id="another token"),
        pytest.param((), b"csrf_token=" + csrf_token(VISITOR, b"frozen").encode(), id="no cookie"),
        pytest.param((cookie(VISITOR),), b"csrf_token=%C3%A9", id="a token that is not ASCII"),
    ],
)
def test_a_form_from_elsewhere_is_refused(stub_port, path, headers, body):
    assert answer_of(stub_port, Endpoint("POST", path, (*headers, FORM), body)).status == 403


def test_a_session_survives_its_cookie():
    session = Session("v", "ada", {"5": 2})

    assert decode_session(encode_session(session, b"key"), b"key") == session


@pytest.mark.parametrize(
    "value", ["", ".", "x.y", encode_session(Session("v", "ada"), b"other"), "é.é"]
)
def test_a_cookie_that_is_not_ours_is_no_session(value):
    assert decode_session(value, b"key") is None


def test_a_cart_shows_what_was_put_into_it(stub_port):
    filled = Session("00" * 16, cart={"5": 2, "9": 1})

    answer = answer_of(stub_port, Endpoint("GET", "/cart", (cookie(filled),)))

    assert "Together €33.50".encode() in answer.body


@pytest.mark.parametrize(
    ("product", "quantity"), [("99", "1"), ("4", "1"), ("5", "0"), ("5", "100"), ("5", "x")]
)
def test_the_cart_takes_only_what_is_on_sale(stub_port, product, quantity):
    answer = answer_of(stub_port, form("/cart", product=product, quantity=quantity))

    assert answer.status == 400


@pytest.mark.parametrize("path", ["/products", "/api/products/2", "/static/shop.css"])
def test_what_a_client_has_is_not_sent_again(stub_port, path):
    etag = value_of(answer_of(stub_port, Endpoint("GET", path)), "etag")

    again = answer_of(stub_port, Endpoint("GET", path, (("If-None-Match", etag),)))

    assert (again.status, again.body, value_of(again, "etag")) == (304, b"", etag)


@pytest.mark.parametrize(
    ("text", "takes"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.1", True),
        ("gzip; q=0", False),
        ("gzip;q=0.000", False),
        ("*", False),
        ("x-gzip", False),
        ("", False),
    ],
)
def test_gzip_is_used_for_those_who_name_it(text, takes):
    assert takes_gzip(text) is takes


@pytest.mark.parametrize(
    ("asked", "status", "content_range", "length"),
    [
        pytest.param("bytes=0-0", 206, f"bytes 0-0/{SIZE}", 1, id="first byte"),
        pytest.param("bytes=10-", 206, f"bytes 10-{SIZE - 1}/{SIZE}", SIZE - 10, id="to the end"),
        pytest.param("bytes=-5", 206, f"bytes {SIZE - 5}-{SIZE - 1}/{SIZE}", 5, id="the last five"),
        pytest.param("bytes=5-99999999", 206, f"bytes 5-{SIZE - 1}/{SIZE}", SIZE - 5, id="beyond"),
        pytest.param(f"bytes={SIZE}-", 416, f"bytes */{SIZE}", 0, id="after the end"),
        pytest.param("bytes=-0", 416, f"bytes */{SIZE}", 0, id="the last none"),
        pytest.param("bytes=5-4", 200, None, SIZE, id="backwards"),
        pytest.param("bytes=0-1,4-5", 200, None, SIZE, id="two ranges"),
        pytest.param("lines=1-2", 200, None, SIZE, id="another unit"),
    ],
)
def test_a_range_is_cut_out(stub_port, asked, status, content_range, length):
    answer = answer_of(stub_port, Endpoint("GET", BIG, (("Range", asked),)))

    told = (answer.status, value_of(answer, "content-range"), len(answer.body))
    assert told == (status, content_range, length)


def test_ranges_are_pieces_of_the_whole(stub_port):
    whole = answer_of(stub_port, Endpoint("GET", BIG)).body

    part = answer_of(stub_port, Endpoint("GET", BIG, (("Range", "bytes=262000-525000"),))).body

    assert part == whole[262000:525001]


def test_a_range_of_a_file_that_changed_is_the_whole_file(stub_port):
    stale = (("Range", "bytes=0-9"), ("If-Range", '"older"'))

    assert answer_of(stub_port, Endpoint("HEAD", BIG, stale)).status == 200


def test_a_file_is_counted_and_hashed(stub_port):
    content = bytes(range(256)) * 2000

    answer = answer_of(stub_port, file_form(content))

    assert answer.status == 201
    assert f"garden.jpg: {len(content)} bytes".encode() in answer.body
    assert hashlib.sha256(content).hexdigest().encode() in answer.body


def test_a_form_without_its_end_stores_nothing(stub_port):
    whole = file_form(b"leaf")

    answer = answer_of(stub_port, whole._replace(body=whole.body[:-6]))

    assert answer.status == 400


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_parts_are_found_however_the_bytes_arrive(size):
    content = b"\r\n--edg\r\n-\r\n--" * 5
    text = b'pre\r\n--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' + (
        file_form(content).body.removesuffix(b"--\r\n") + b"--\r\nepilogue"
    )
    pieces = (text[start : start + size] for start in range(0, len(text), size))

    parts = [(name, b"".join(data)) for name, data in Multipart(pieces, b"edge")]

    assert parts == [(None, b"1"), ("garden.jpg", content)]


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/products", "GET, HEAD, OPTIONS"),
        ("/api/orders", "GET, HEAD, OPTIONS, POST"),
        ("/logout", "OPTIONS, POST"),
    ],
)
def test_a_method_that_is_not_taken_is_told_which_are(stub_port, path, allow):
    answers = [answer_of(stub_port, Endpoint(method, path)) for method in ("OPTIONS", "PATCH")]

    assert [(each.status, value_of(each, "allow")) for each in answers] == [
        (204, allow),
        (405, allow),
    ]
