"""Heads, forwarding headers, ambiguous paths and their readings."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from overgrow.routing.facts import (
    head_of,
    hostname_of,
    is_ambiguous,
    parse_query,
    path_of,
)
from overgrow.routing.model import TrustedProxies, plain_network
from overgrow.routing.readings import all_readings

INSIDE = TrustedProxies((ip_network("10.0.0.0/8"), ip_network("fd00::/8")), unix=True)


def head(headers=(), *, target=b"/", method="GET", peer="10.0.0.1", trusted=INSIDE, version="1.1"):
    pairs = [(b"host", b"front.test"), *headers]
    return head_of(
        method, target, pairs, peer=peer, scheme="http", trusted=trusted, http_version=version
    )


def test_without_trust_the_socket_and_the_host_header_speak():
    lies = [(b"x-forwarded-for", b"9.9.9.9"), (b"x-forwarded-proto", b"https")]

    seen = head([*lies, (b"x-forwarded-host", b"evil.test")], peer="192.0.2.7")

    assert (seen.client, seen.scheme, seen.host) == ("192.0.2.7", "http", "front.test")
    assert not seen.peer_trusted


def test_a_trusted_peer_speaks_for_client_scheme_and_host():
    claims = [(b"x-forwarded-for", b"192.0.2.7"), (b"x-forwarded-proto", b"HTTPS")]

    seen = head([*claims, (b"x-forwarded-host", b"shop.example.com:8443")])

    assert (seen.client, seen.scheme, seen.host) == ("192.0.2.7", "https", "shop.example.com:8443")
    assert seen.peer_trusted


@pytest.mark.parametrize(
    ("value", "client"),
    [
        pytest.param(
            b"9.9.9.9, 192.0.2.7, 10.0.0.2", "192.0.2.7", id="walked past trusted proxies"
        ),
        pytest.param(b"10.1.1.1, 10.0.0.2", "10.1.1.1", id="all trusted: the leftmost"),
        pytest.param(b"9.9.9.9, garbage", "10.0.0.1", id="what is no address ends the walk"),
        pytest.param(b"9.9.9.9, garbage, 10.0.0.2", "10.0.0.2", id="the last good one stands"),
        pytest.param(b"", "10.0.0.1", id="empty"),
        pytest.param(b"192.0.2.7:4711", "192.0.2.7", id="IPv4 with port"),
        pytest.param(b"[2001:db8::1]:4711", "2001:db8::1", id="IPv6 with port"),
        pytest.param(b"2001:db8::1, fd00::2", "2001:db8::1", id="bare IPv6"),
        pytest.param(b"::ffff:192.0.2.7", "192.0.2.7", id="IPv4 mapped into IPv6"),
        pytest.param(b"999.1.1.1", "10.0.0.1", id="looks like an address but is none"),
    ],
)
def test_x_forwarded_for_is_walked_from_the_right(value, client):
    assert head([(b"x-forwarded-for", value)]).client == client


def test_repeated_lines_are_one_list():
    lines = [(b"x-forwarded-for", b"9.9.9.9"), (b"x-forwarded-for", b"192.0.2.7, 10.0.0.2")]

    assert head(lines).client == "192.0.2.7"


@pytest.mark.parametrize(
    ("peer", "trusted", "believed"),
    [
        pytest.param("unix", INSIDE, True, id="unix peer listed"),
        pytest.param("unix", TrustedProxies(INSIDE.networks), False, id="unix peer not listed"),
        pytest.param("", INSIDE, False, id="peer unknown"),
        pytest.param("::ffff:10.0.0.1", INSIDE, True, id="dual-stack socket"),
        pytest.param("10.0.0.1", TrustedProxies(unix=True), False, id="only unix is trusted"),
    ],
)
def test_only_listed_peers_are_believed(peer, trusted, believed):
    seen = head([(b"x-forwarded-for", b"192.0.2.7")], peer=peer, trusted=trusted)

    assert (seen.client == "192.0.2.7") is believed
    assert seen.peer_trusted is believed


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param(
            [(b"x-forwarded-proto", b"gopher"), (b"x-forwarded-host", b"a b")],
            ("http", "front.test"),
            id="malformed values are ignored",
        ),
        pytest.param([(b"x-forwarded-proto", b"wss")], ("https", "front.test"), id="wss is https"),
        pytest.param(
            [(b"x-forwarded-for", b"192.0.2.7, 10.0.0.2"), (b"x-forwarded-proto", b"https, http")],
            ("https", "front.test"),
            id="the scheme at the client's hop",
        ),
        pytest.param(
            [(b"x-forwarded-for", b"192.0.2.7"), (b"x-forwarded-proto", b"http, https")],
            ("https", "front.test"),
            id="a client's own claim stands further left",
        ),
        pytest.param([(b"x-forwarded-host", b"[::1]:80")], ("http", "[::1]:80"), id="IPv6 host"),
    ],
)
def test_scheme_and_host_come_from_the_hop_that_saw_the_client(headers, expected):
    seen = head(headers)

    assert (seen.scheme, seen.host) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(
            b'for="[2001:db8::7]:99";proto=https;host=shop.test, for=10.0.0.2',
            ("2001:db8::7", "https", "shop.test"),
            id="walked like X-Forwarded-For",
        ),
        pytest.param(
            b"FOR=192.0.2.7; Proto=https", ("192.0.2.7", "https", "front.test"), id="any case"
        ),
        pytest.param(b"for=_hidden", ("10.0.0.1", "http", "front.test"), id="obfuscated"),
        pytest.param(b"for=192.0.2.7 x", ("10.0.0.1", "http", "front.test"), id="malformed"),
        pytest.param(b'for="192.0.2.7', ("10.0.0.1", "http", "front.test"), id="open quote"),
    ],
)
def test_forwarded_is_read_where_no_x_forwarded_header_came(value, expected):
    seen = head([(b"forwarded", value)])

    assert (seen.client, seen.scheme, seen.host) == expected


def test_a_clients_forwarded_cannot_pass_a_proxy_that_writes_x_forwarded():
    headers = [(b"forwarded", b"for=9.9.9.9;proto=https"), (b"x-forwarded-for", b"192.0.2.7")]

    seen = head(headers)

    assert (seen.client, seen.scheme) == ("192.0.2.7", "http")


@pytest.mark.parametrize(
    ("headers", "method", "version", "expected"),
    [
        pytest.param([(b"upgrade", b"WebSocket")], "GET", "1.1", False, id="without Connection"),
        pytest.param(
            [(b"connection", b"keep-alive, Upgrade"), (b"upgrade", b"WebSocket")],
            "GET",
            "1.1",
            True,
            id="any case, among options",
        ),
        pytest.param(
            [
                (b"connection", b"keep-alive"),
                (b"connection", b"upgrade"),
                (b"upgrade", b"websocket"),
            ],
            "GET",
            "1.1",
            True,
            id="Connection on two lines",
        ),
        pytest.param(
            [(b"connection", b"upgrade"), (b"upgrade", b"h2c")], "GET", "1.1", False, id="h2c"
        ),
        pytest.param(
            [(b"connection", b"upgrade"), (b"upgrade", b"websocket")],
            "POST",
            "1.1",
            False,
            id="POST",
        ),
        pytest.param(
            [(b"connection", b"upgrade"), (b"upgrade", b"websocket")], "GET", "1.0", False, id="1.0"
        ),
        pytest.param(
            [(b"connection", b"upgrade"), (b"upgrade", b"h2c"), (b"upgrade", b"websocket")],
            "GET",
            "1.1",
            False,
            id="websocket or something else",
        ),
    ],
)
def test_an_upgrade_is_a_get_that_asks_for_a_websocket_only(headers, method, version, expected):
    assert head(headers, method=method, version=version).upgrade is expected


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        pytest.param("GET", b"http://a.test:81/x?y", (b"/x?y", "a.test:81"), id="absolute form"),
        pytest.param("GET", b"http://a.test", (b"/", "a.test"), id="absolute, empty path"),
        pytest.param("GET", b"http://a.test?y", (b"/?y", "a.test"), id="absolute, query only"),
        pytest.param("OPTIONS", b"http://a.test", (b"*", "a.test"), id="RFC 9112 3.2.4"),
        pytest.param("OPTIONS", b"*", (b"*", "front.test"), id="asterisk"),
        pytest.param("GET", b"http://u:p@a.test/", (b"/", "a.test"), id="userinfo is no host"),
        pytest.param("GET", b"", (b"/", "front.test"), id="empty target"),
        pytest.param("GET", b"?y", (b"/?y", "front.test"), id="query alone"),
        pytest.param("CONNECT", b"a.test:443", (b"a.test:443", "front.test"), id="authority form"),
        pytest.param("GET", b"http:///x", (b"/x", "front.test"), id="absolute without authority"),
    ],
)
def test_a_target_is_brought_into_origin_form(method, target, expected):
    seen = head(target=target, method=method)

    assert (seen.target, seen.host) == expected


@pytest.mark.parametrize(
    ("target", "path"),
    [
        pytest.param(b"/", "/", id="root"),
        pytest.param(b"/a/b?c=/../d", "/a/b", id="the query is not the path"),
        pytest.param(b"/caf%C3%A9", "/caf\u00e9", id="UTF-8"),
        pytest.param(b"/caf\xc3\xa9", "/caf\u00e9", id="raw UTF-8"),
        pytest.param(b"/a%20b", "/a b", id="space"),
        pytest.param(b"/a/", "/a/", id="trailing slash"),
        pytest.param(b"/.well-known/x", "/.well-known/x", id="a dot begins a name"),
        pytest.param(b"/...", "/...", id="three dots are a name"),
        pytest.param(b"/%252e%252e/x", "/%2e%2e/x", id="double encoding is text"),
        pytest.param(b"/a%252Fb", "/a%2Fb", id="double encoded slash is text"),
        pytest.param(b"/a;v=1/b", "/a;v=1/b", id="parameters are text"),
        pytest.param(b"/..;/a", "/..;/a", id="dots with parameters are text"),
        pytest.param(b"/a%zz", "/a%zz", id="no escape"),
        pytest.param(b"/a%3Fb", "/a?b", id="encoded question mark"),
        pytest.param(b"/a%23b", "/a#b", id="encoded number sign"),
        pytest.param(b"*", "*", id="asterisk"),
    ],
)
def test_a_path_with_one_reading_is_decoded_once(target, path):
    assert path_of(target) == path


@pytest.mark.parametrize(
    ("target", "normalised"),
    [
        pytest.param(b"/a%2Fb", "/a/b", id="encoded slash"),
        pytest.param(b"/a%2fb", "/a/b", id="encoded slash, lower case"),
        pytest.param(b"/a%5Cb", "/a/b", id="encoded backslash"),
        pytest.param(b"/a\\b", "/a/b", id="backslash"),
        pytest.param(b"/x/../a", "/a", id="dot segments"),
        pytest.param(b"/x/%2e%2E/a", "/a", id="encoded dot segments"),
        pytest.param(b"/x/.%2e", "/", id="half encoded, trailing"),
        pytest.param(b"/a/.", "/a/", id="trailing dot keeps the slash"),
        pytest.param(b"/a/x/..", "/a/", id="trailing dots keep the slash"),
        pytest.param(b"/../../a", "/a", id="above the root"),
        pytest.param(b"//a", "/a", id="empty first segment"),
        pytest.param(b"/a//", "/a/", id="empty last but one"),
        pytest.param(b"//", "/", id="nothing but slashes"),
        pytest.param(b"/a%00", "/a\0", id="NUL"),
        pytest.param(b"/a%ff", "/a\ufffd", id="not UTF-8"),
        pytest.param(b"/a\xff", "/a\ufffd", id="raw, not UTF-8"),
        pytest.param(b"/%c0%af", "/\ufffd\ufffd", id="overlong slash"),
        pytest.param(b"/a#b", "/a", id="fragment"),
        pytest.param(b"a/b", "/a/b", id="no leading slash"),
    ],
)
def test_an_ambiguous_path_has_no_one_reading(target, normalised):
    assert is_ambiguous(target)
    assert all_readings(target)[0] == normalised


@pytest.mark.parametrize(
    ("target", "reading"),
    [
        pytest.param(b"/a/.", "/a", id="without the slash a dot left"),
        pytest.param(b"/gone%00.css", "/gone", id="cut at NUL"),
        pytest.param(b"/files/a%2Fb", "/files/a\ufffdb", id="an encoded slash inside a segment"),
        pytest.param(b"/files/a%5Cb", "/files/a\\b", id="a backslash inside a segment"),
    ],
)
def test_every_way_to_take_an_ambiguous_path_is_among_its_readings(target, reading):
    assert reading in all_readings(target)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Shop.Example.COM:8080", "shop.example.com"),
        ("shop.example.com.", "shop.example.com"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("", ""),
    ],
)
def test_a_hostname_has_no_port_and_no_case(host, name):
    assert hostname_of(host) == name


def test_a_query_is_decoded_like_a_form():
    assert parse_query(b"/x?a=1&a=%C3%A9&b=+x&c&d=%ff") == [
        ("a", "1"),
        ("a", "\u00e9"),
        ("b", " x"),
        ("c", ""),
        ("d", "\ufffd"),
    ]


@pytest.mark.parametrize(
    ("peer", "plain"),
    [
        pytest.param("::ffff:192.0.2.7", "192.0.2.7", id="mapped"),
        pytest.param("::FFFF:c000:207", "192.0.2.7", id="mapped, in hexadecimal"),
        pytest.param("2001:db8::7", "2001:db8::7", id="IPv6"),
        pytest.param("::1", "::1", id="loopback"),
        pytest.param("fe80::1%eth0", "fe80::1%eth0", id="with a zone"),
        pytest.param("192.0.2.7", "192.0.2.7", id="IPv4"),
        pytest.param("unix", "unix", id="no address"),
    ],
)
def test_an_ipv4_peer_has_one_address_whatever_the_listener(peer, plain):
    seen = head(peer=peer, trusted=TrustedProxies())

    assert (seen.peer, seen.client) == (plain, plain)


@pytest.mark.parametrize("by", ["::ffff:10.0.0.0/104", "::ffff:10.1.2.3"])
def test_a_trusted_network_may_be_written_in_the_long_form(by):
    trusted = TrustedProxies((plain_network(ip_network(by)),))

    assert trusted.trusts("10.1.2.3")
    assert trusted.trusts("::ffff:10.1.2.3")
    assert not trusted.trusts("11.1.2.3")
