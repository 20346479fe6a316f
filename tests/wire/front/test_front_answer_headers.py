"""What a client sees of legacy's answers (docs/wire.md#changed-because-an-intermediary-must; RFC 9110 7.6, 10.2, RFC 6265 5.2)."""

from __future__ import annotations

import re

import pytest

from tests.wire.front.ends import OK, answer, request


def shown_headers(wire, *fields):
    return wire.shown(answer("Date: d", *fields)).headers


def test_nothing_is_added_but_via_and_a_missing_date(wire):
    """RFC 9110 6.6.1 and 7.6.3; docs/wire.md#passed-on-as-it-is: no Server header."""
    shown = wire.shown(OK)

    assert ["content-length", "via", "date"] == [name for name, _ in shown.headers]
    assert "1.1 door-a" == shown["via"]
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", shown["date"])


def test_legacys_own_date_and_server_are_the_only_ones(wire):
    """RFC 9110 6.6.1 and 10.2.4."""
    shown = wire.shown(answer("Server: old/1", "Date: Tue, 15 Nov 1994 08:12:31 GMT"))

    assert ["Tue, 15 Nov 1994 08:12:31 GMT"] == shown.all("date")
    assert ["old/1"] == shown.all("server")


def test_order_duplicates_and_values_are_kept(wire):
    """RFC 9110 5.3: above all Set-Cookie, which cannot be joined."""
    fields = [
        "Set-Cookie: a=1, b",
        "X-B: 2",
        "Set-Cookie: c=2",
        "X-A: \xe9\xff",
        "X-B: 1",
        "X-Empty:",
    ]

    assert [
        ("date", "d"),
        ("set-cookie", "a=1, b"),
        ("x-b", "2"),
        ("set-cookie", "c=2"),
        ("x-a", "\xe9\xff"),
        ("x-b", "1"),
        ("x-empty", ""),
        ("content-length", "2"),
        ("via", "1.1 door-a"),
    ] == shown_headers(wire, *fields)


@pytest.mark.parametrize(
    "field",
    [
        pytest.param("Connection: keep-alive", id="RFC 9110 7.6.1 Connection"),
        pytest.param("Keep-Alive: timeout=5", id="RFC 9110 7.6.1 Keep-Alive"),
        pytest.param("Proxy-Connection: close", id="RFC 9110 7.6.1 its twin"),
        pytest.param("Upgrade: h2c", id="RFC 9110 7.8 an offer to upgrade"),
        pytest.param("Proxy-Authenticate: Basic", id="RFC 9110 11.7.1 of the next hop"),
        pytest.param("TE: trailers", id="RFC 9110 10.1.4 TE"),
        pytest.param("X-Overgrow: route=evil", id="X-Overgrow"),
        pytest.param("X-Overgrow-Error: legacy-down", id="X-Overgrow-Error from legacy"),
        pytest.param("x-OVERGROW-error: loop", id="X-Overgrow-Error in another case"),
    ],
)
def test_a_header_of_that_hop_or_in_our_name_stays_behind(wire, field):
    assert [("date", "d"), ("content-length", "2"), ("via", "1.1 door-a")] == shown_headers(
        wire, field
    )


def test_headers_that_connection_names_stay_behind(wire):
    """RFC 9110 7.6.1."""
    fields = ["Connection: X-Hop, close", "X-HOP: 1", "X-Kept: 2"]

    assert [
        ("date", "d"),
        ("x-kept", "2"),
        ("content-length", "2"),
        ("via", "1.1 door-a"),
    ] == shown_headers(wire, *fields)


def test_legacys_via_comes_before_ours(wire):
    """RFC 9110 7.6.3: each hop appends."""
    assert ["1.0 inner", "1.1 door-a"] == wire.shown(answer("Via: 1.0 inner")).all("via")


def test_legacys_connection_close_is_no_business_of_the_clients(wire):
    """RFC 9112 9.3: persistence belongs to each connection."""
    client = wire.client()
    for _ in range(2):
        client.send(request("GET", "/"))
        wire.legacy.answers(answer("Connection: close"))

        assert client.message()["connection"] is None


@pytest.mark.parametrize(
    ("name", "value", "public"),
    [
        pytest.param(
            "Location", "{private}/a?b=//c#d", "http://shop.example/a?b=//c#d", id="private"
        ),
        pytest.param("Location", "//127.0.0.1:{port}/a", "//shop.example/a", id="a network path"),
        pytest.param("Content-Location", "{private}/a", "http://shop.example/a", id="its sibling"),
        pytest.param("Location", "/a", "/a", id="a path"),
        pytest.param("Location", "http://127.0.0.1:1/a", "http://127.0.0.1:1/a", id="another port"),
        pytest.param("Location", "https://id.example/", "https://id.example/", id="a third party"),
        pytest.param(
            "Location",
            "https://id.example/?back={private}/a",
            "https://id.example/?back={private}/a",
            id="the private address in a query",
        ),
        pytest.param("Location", "http://[::1/a", "http://[::1/a", id="not a URL"),
        pytest.param("Location", "javascript:void(0)", "javascript:void(0)", id="another scheme"),
        pytest.param("X-Location", "{private}/a", "{private}/a", id="another header"),
    ],
)
def test_location_is_rewritten_only_where_it_names_the_private_address(wire, name, value, public):
    """RFC 9110 10.2.2 and 8.7."""
    known = {"private": f"http://127.0.0.1:{wire.legacy.port}", "port": wire.legacy.port}
    shown = wire.shown(answer(f"{name}: {value.format(**known)}", status="302 Found"))

    assert public.format(**known) == shown[name.lower()]


def test_location_gets_the_scheme_and_host_the_client_used(trusting):
    """RFC 9110 10.2.2 behind a balancer that ends TLS."""
    location = f"Location: http://127.0.0.1:{trusting.legacy.port}/a"
    claims = ("X-Forwarded-Proto: https", "X-Forwarded-Host: pub.example")
    shown = trusting.shown(answer(location, status="303 See Other"), *claims)

    assert "https://pub.example/a" == shown["location"]


@pytest.mark.parametrize(
    ("cookie", "public"),
    [
        pytest.param(
            "a=1; Domain=127.0.0.1; Path=/", "a=1; Domain=shop.example; Path=/", id="private"
        ),
        pytest.param("a=1; domain=.127.0.0.1", "a=1; domain=shop.example", id="with a dot"),
        pytest.param("a=1; Domain=other.example", "a=1; Domain=other.example", id="another"),
        pytest.param("a=Domain=127.0.0.1; Path=/", "a=Domain=127.0.0.1; Path=/", id="in the value"),
        pytest.param("a=1; HttpOnly", "a=1; HttpOnly", id="none"),
    ],
)
def test_a_cookie_domain_is_rewritten_only_if_it_names_the_private_address(wire, cookie, public):
    """RFC 6265 5.2.3."""
    assert public == wire.shown(answer(f"Set-Cookie: {cookie}"))["set-cookie"]


@pytest.mark.parametrize(
    ("host", "cookie"),
    [
        pytest.param("localhost", "a=1", id="RFC 6265 5.3 a single label has no domain"),
        pytest.param("192.0.2.1:80", "a=1", id="RFC 6265 5.1.3 an address has no domain"),
        pytest.param("[::1]:80", "a=1", id="RFC 6265 5.1.3 an IPv6 address"),
        pytest.param("Shop.Example:80", "a=1; Domain=shop.example", id="RFC 6265 5.2.3 a port"),
        pytest.param(
            "[1]",
            "a=1",
            id="RFC 3986 3.2.2 brackets around no address",
        ),
        pytest.param(
            "[v]",
            "a=1",
            id="RFC 3986 3.2.2 brackets around no future address",
        ),
    ],
)
def test_a_private_domain_goes_where_the_public_host_has_none(wire, host, cookie):
    """RFC 6265 5.1.3."""
    shown = wire.shown(answer("Set-Cookie: a=1; Domain=127.0.0.1"), f"Host: {host}")

    assert (200, cookie) == (shown.status, shown["set-cookie"])


def test_names_with_underscores_are_legacys_to_use(wire):
    """RFC 9110 5.1: only requests meet WSGI's blind spot."""
    assert "1" == wire.shown(answer("X_A: 1"))["x_a"]


@pytest.mark.parametrize("status", ["299 Own", "418 Teapot", "499", "600 Odd", "999 ?"])
def test_any_status_is_passed_on(wire, status):
    """RFC 9110 15: unknown codes too."""
    assert int(status.partition(" ")[0]) == wire.shown(answer(status=status)).status


def test_nothing_is_followed_decoded_or_kept(wire):
    """docs/wire.md#passed-on-as-it-is: no redirect followed, no content decoded, no cookie jar."""
    fields = ("Location: /b", "Set-Cookie: a=1", "Content-Encoding: gzip")
    moved = answer("Connection: close", *fields, status="301 Moved", body=b"not gzip")
    shown = wire.shown(moved)
    seen = wire.seen("GET", "/next")

    assert (301, b"not gzip", "gzip") == (shown.status, shown.body, shown["content-encoding"])
    assert (None, None) == (seen["cookie"], seen["accept-encoding"])


@pytest.mark.parametrize(
    "line",
    [
        "200 All Is Well",
        "200 ",
        "404 Nothing Here (yet)",
        "418 I'm a teapot",
        "200 Tr\xe8s bien\t!",
        "599 Sold Out",
        "204 Gone Fishing",
        "304 As You Know It",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_reason_phrase_is_legacys_own(wire, line, method):
    """RFC 9112 4."""
    assert f"HTTP/1.1 {line}" == wire.shown(answer(status=line), method=method).line


@pytest.mark.parametrize(
    "answered",
    [
        b"HTTP/1.1 200 So So\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 So So\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
        b"HTTP/1.1 200 So So\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_the_reason_phrase_is_kept_however_the_body_comes(wire, answered):
    shown = wire.shown(answered, "TE: trailers")

    assert ("HTTP/1.1 200 So So", b"ok") == (shown.line, shown.body)


def test_the_reason_phrase_of_a_body_that_streams_is_kept(wire):
    client = wire.client()
    client.send(request("GET", "/"))
    side = wire.legacy.accept()
    side.message()
    side.send(b"HTTP/1.1 200 Piece By Piece\r\nContent-Length: 4\r\n\r\nok")
    head = client.head()
    side.send(b"ok")

    assert ("HTTP/1.1 200 Piece By Piece", b"okok") == (head.line, client.exactly(4))


def test_the_reason_phrase_of_a_refused_upgrade_is_kept(wire):
    fields = ("Connection: Upgrade", "Upgrade: websocket")
    shown = wire.shown(answer(status="403 Not For You"), *fields)

    assert "HTTP/1.1 403 Not For You" == shown.line


def test_refresh_leads_to_the_public_address(wire):
    private = f"http://127.0.0.1:{wire.legacy.port}"
    shown = wire.shown(answer(f"Refresh: 3; URL='{private}/a'"))

    assert "3; URL='http://shop.example/a'" == shown["refresh"]


def test_trailers_that_look_like_framing_leave_the_body_alone(wire):
    """RFC 9110 6.5.1."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
    shown = wire.shown(head + b"Content-Length: 7\r\nX-Sum: 1\r\n\r\n", "TE: trailers")

    assert (b"ok", True, [("x-sum", "1")]) == (shown.body, shown.is_whole, shown.trailers)
