"""The header rules, both ways."""

import pytest

from overgrow.forwarding.headers import (
    connection_options,
    headers_for_client,
    headers_for_legacy,
    is_forwarding_loop,
    legacy_address_to_hide,
    max_forwards,
    trailers_for_client,
    wants_trailers,
)
from overgrow.routing.facts import Head


def head(*headers, method="GET", target=b"/", **given):
    given = {
        "peer": "192.0.2.7",
        "client": "192.0.2.7",
        "scheme": "http",
        "host": "shop.example",
    } | given
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    return Head(method, target, pairs, **given)


def sent(request, *, has_body=False, upstream_host=None):
    pairs = headers_for_legacy(
        request, via="overgrow-x", upstream_host=upstream_host, has_body=has_body
    )
    return [(name.decode(), value.decode("latin-1")) for name, value in pairs]


def names(pairs):
    return [name for name, _ in pairs]


OURS = [
    ("x-forwarded-for", "192.0.2.7"),
    ("x-forwarded-proto", "http"),
    ("x-forwarded-host", "shop.example"),
    ("x-forwarded-port", "80"),
    ("via", "1.1 overgrow-x"),
]


def test_order_duplicates_and_values_are_kept():
    lines = [("accept", "b"), ("host", "shop.example"), ("x-a", "2"), ("accept", "a"), ("x-a", "1")]

    assert lines + OURS == sent(head(*lines))


def test_nothing_is_invented_beyond_the_forwarding_headers():
    assert [("host", "shop.example"), *OURS] == sent(head(("host", "shop.example")))


def test_a_request_without_host_gets_an_empty_one():
    """RFC 9112 3.2: HTTP/1.1 wants the header even where its value is unknown."""
    assert ("host", "") == sent(head(host=""))[0]


@pytest.mark.parametrize(
    "name",
    [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-authentication-info",
        "te",
        "transfer-encoding",
        "trailer",
        "upgrade",
    ],
)
def test_hop_by_hop_headers_stay_behind(name):
    """RFC 9110 7.6.1."""
    assert name not in names(sent(head(("host", "a"), (name, "x"))))


def test_headers_that_connection_names_stay_behind():
    pairs = sent(
        head(("host", "a"), ("connection", "close, X-Hop ,x-b"), ("x-hop", "1"), ("x-b", "2"))
    )

    assert not {"x-hop", "x-b", "connection"} & set(names(pairs))


@pytest.mark.parametrize(
    "name",
    [
        "Host", "Content-Length", "Via", "Forwarded", "X-Forwarded", "X-Forwarded-For", "X-Overgrow",
        "X-Overgrow-Override", "",
    ],
)  # fmt: skip
def test_connection_never_names_what_frames_or_vouches_for_a_message(name):
    """RFC 9110 7.6.1: a client could use Connection to strip what is ours to say."""
    told = [(b"connection", name.encode() + b", X-Hop")]

    assert connection_options(told) == {b"x-hop"}


def test_earlier_front_doors_stay_in_via_whatever_connection_names():
    pairs = sent(head(("host", "a"), ("via", "1.0 b"), ("connection", "via")))

    assert [("via", "1.0 b"), ("via", "1.1 overgrow-x")] == [p for p in pairs if p[0] == "via"]


@pytest.mark.parametrize("name", ["x-original-url", "x-rewrite-url"])
def test_a_header_that_rewrites_the_path_is_passed_on_only_if_asked_for(name):
    request = head(("host", "a"), (name, "/admin"))
    passed_on = headers_for_legacy(
        request, via="x", upstream_host=None, has_body=False, rewrite_headers=True
    )

    assert name not in names(sent(request))
    assert (name.encode(), b"/admin") in passed_on


@pytest.mark.parametrize(
    "name", ["X-Forwarded-For", "x-forwarded-host", "Host", "Content-Length", "Via", "forwarded"]
)
def test_connection_cannot_take_away_what_legacy_relies_on(name):
    pairs = sent(
        head(("host", "a"), ("content-length", "3"), ("via", "1.0 b"), ("connection", name))
    )

    assert {"host", "content-length", "via", "x-forwarded-for", "x-forwarded-host"} <= set(
        names(pairs)
    )


def test_forwarding_headers_of_an_untrusted_peer_are_replaced():
    lies = [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-prefix", "/admin"),
        ("x-forwarded", "for=10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
    ]

    assert [("host", "shop.example"), *OURS] == sent(head(("host", "shop.example"), *lies))


def test_forwarding_headers_of_a_trusted_peer_are_extended():
    told = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-port", "8443"),
    ]
    request = head(("host", "in"), *told, peer_trusted=True, scheme="https", host="pub.example")

    expected = [
        ("host", "pub.example"),
        ("x-forwarded-for", "203.0.113.9, 192.0.2.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "pub.example"),
        ("x-forwarded-port", "8443"),
        ("via", "1.1 overgrow-x"),
    ]
    assert expected == sent(request)


def test_a_trusted_peers_other_kind_of_claim_stays_behind():
    """It may be the client's own lie that the proxy let through."""
    told = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=6.6.6.6")]
    pairs = sent(head(("host", "a"), *told, peer_trusted=True, client="203.0.113.9"))

    assert "forwarded" not in names(pairs)


def test_a_client_known_from_forwarded_alone_is_told_in_both_ways():
    told = ("forwarded", "for=203.0.113.9")
    pairs = sent(head(("host", "a"), told, peer_trusted=True, client="203.0.113.9"))

    assert ("x-forwarded-for", "203.0.113.9, 192.0.2.7") in pairs


@pytest.mark.parametrize(
    ("host", "scheme", "port"),
    [
        pytest.param("a.example:8080", "http", "8080", id="from the public host"),
        pytest.param("a.example", "https", "443", id="the scheme's own"),
        pytest.param("[2001:db8::1]", "http", "80", id="an IPv6 literal's colons are no port"),
        pytest.param("[2001:db8::1]:81", "http", "81", id="IPv6 literal with port"),
    ],
)
def test_forwarded_port(host, scheme, port):
    assert ("x-forwarded-port", port) in sent(head(host=host, scheme=scheme))


def test_a_unix_peer_has_no_address_to_add():
    assert "x-forwarded-for" not in names(sent(head(peer="unix")))


@pytest.mark.parametrize(
    ("peer", "scheme", "host", "expected"),
    [
        pytest.param(
            "192.0.2.7",
            "https",
            "a.example",
            'for=192.0.2.7;host="a.example";proto=https',
            id="IPv4",
        ),
        pytest.param(
            "2001:db8::1", "http", "a:81", 'for="[2001:db8::1]";host="a:81";proto=http', id="IPv6"
        ),
        pytest.param("unix", "http", "", "for=unknown;proto=http", id="no address, no host"),
        pytest.param(
            "unix", "http", 'a"b', "for=unknown;proto=http", id="a host that cannot be quoted"
        ),
    ],
)
def test_forwarded_is_sent_where_asked_for(peer, scheme, host, expected):
    """RFC 7239 4 and 6."""
    request = head(peer=peer, scheme=scheme, host=host)
    pairs = headers_for_legacy(request, via="x", upstream_host=None, has_body=False, forwarded=True)

    assert (b"forwarded", expected.encode()) in pairs


def test_upstream_host_replaces_the_public_one_in_its_place():
    pairs = sent(head(("accept", "a"), ("host", "shop.example")), upstream_host=b"legacy:9000")

    assert [("accept", "a"), ("host", "legacy:9000")] == pairs[:2]


def test_a_sized_body_keeps_its_length():
    pairs = sent(head(("host", "a"), ("content-length", "3"), method="POST"), has_body=True)

    assert ("content-length", "3") in pairs
    assert "transfer-encoding" not in names(pairs)


def test_an_unsized_body_travels_chunked():
    pairs = sent(
        head(("host", "a"), ("transfer-encoding", "chunked"), method="POST"), has_body=True
    )

    assert ("transfer-encoding", "chunked") in pairs


EXPECTING = ("expect", "100-Continue")


def test_an_expectation_is_passed_on_where_it_stood():
    """RFC 9110 10.1.1."""
    pairs = sent(head(("host", "a"), EXPECTING, ("content-length", "2")), has_body=True)

    assert [EXPECTING, ("content-length", "2")] == pairs[1:3]


@pytest.mark.parametrize(
    ("asked", "has_body"),
    [
        pytest.param(head(EXPECTING), False, id="nothing will follow"),
        pytest.param(head(("expect", "y")), True, id="unknown"),
        pytest.param(head(EXPECTING, EXPECTING), True, id="two"),
        pytest.param(head(EXPECTING, http_version="1.0"), True, id="of an HTTP/1.0 client"),
        pytest.param(head(EXPECTING, ("connection", "expect")), True, id="for this hop only"),
    ],
)
def test_any_other_expectation_is_dropped(asked, has_body):
    """RFC 9110 10.1.1 and 7.6.1."""
    assert "expect" not in names(sent(asked, has_body=has_body))


def test_te_trailers_is_asked_for_anew():
    pairs = sent(head(("host", "a"), ("te", "gzip, trailers"), ("connection", "te")))

    assert [("te", "trailers"), ("connection", "te")] == [
        p for p in pairs if p[0] in {"te", "connection"}
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"trailers", True), (b"gzip;q=1, Trailers", True), (b"gzip", False), (b"nottrailers", False)],
)
def test_wants_trailers(value, expected):
    assert expected == wants_trailers([(b"te", value)])


@pytest.mark.parametrize(
    ("method", "value", "expected"),
    [
        pytest.param("OPTIONS", "3", "2", id="counted down for OPTIONS"),
        pytest.param("TRACE", "1", "0", id="counted down for TRACE"),
        pytest.param("TRACE", "0", "0", id="never below zero"),
        pytest.param("GET", "3", "3", id="left alone elsewhere"),
        pytest.param("TRACE", "x", "x", id="left alone when malformed"),
        pytest.param("TRACE", "9" * 5_000, "9" * 5_000, id="left alone beyond what a hop counts"),
    ],
)
def test_max_forwards_on_the_way(method, value, expected):
    """RFC 9110 7.6.2."""
    assert ("max-forwards", expected) in sent(head(("max-forwards", value), method=method))


def test_max_forwards_zero_is_seen():
    assert max_forwards(head(("max-forwards", "0"), method="TRACE")) == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(["1.1 me"], False, id="once is a chain of two fronts"),
        pytest.param(["1.1 me, 1.1 other", "1.0 me"], True, id="twice over two lines"),
        pytest.param(["1.1 me-too, 1.1 me.example"], False, id="another name that begins alike"),
        pytest.param(["1.1 me (comment), HTTP/1.1 me"], True, id="comments and protocol names"),
    ],
)
def test_loop(values, expected):
    """RFC 9110 7.6.3."""
    assert expected == is_forwarding_loop([(b"via", value.encode()) for value in values], "me")


def answered(*headers, private="http://127.0.0.1:9000", request=None):
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    request = request or head(host="shop.example:8000")
    kept = headers_for_client(
        pairs, via="overgrow-x", head=request, private=legacy_address_to_hide(private)
    )
    return [(name.decode(), value.decode()) for name, value in kept]


def test_answers_keep_order_and_duplicates_and_gain_via():
    lines = [("set-cookie", "b=2"), ("server", "old/1"), ("set-cookie", "a=1")]

    assert [*lines, ("via", "1.1 overgrow-x")] == answered(*lines)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Proxy-Authentication-Info", "nextnonce=1"),
        ("Transfer-Encoding", "chunked"),
        ("X-Overgrow-Error", "gone"),
        ("X-Overgrow", "route=lie"),
    ],
)
def test_answers_lose_hop_by_hop_headers_and_ours(name, value):
    assert names(answered((name, value))) == ["via"]


def test_answers_lose_what_connection_names():
    assert names(answered(("Connection", "X-Hop"), ("X-Hop", "1"))) == ["via"]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        pytest.param("http://127.0.0.1:9000/a?b#c", "http://shop.example:8000/a?b#c", id="private"),
        pytest.param("//127.0.0.1:9000/a", "//shop.example:8000/a", id="network path"),
        pytest.param("/a", "/a", id="relative"),
        pytest.param("http://127.0.0.1:9001/a", "http://127.0.0.1:9001/a", id="another port"),
        pytest.param("https://pay.example/a", "https://pay.example/a", id="somebody else"),
        pytest.param("javascript:void(0)", "javascript:void(0)", id="not a place"),
        pytest.param(
            "http://127.0.0.1:x/", "http://127.0.0.1:x/", id="unreadable port is left alone"
        ),
        pytest.param("http://[::1/", "http://[::1/", id="unreadable host is left alone"),
        pytest.param(
            "http://evil@127.0.0.1:9000/a",
            "http://shop.example:8000/a",
            id="credentials are not kept",
        ),
        pytest.param(
            "http://x.example/?next=http://127.0.0.1:9000/",
            "http://x.example/?next=http://127.0.0.1:9000/",
            id="only the authority counts",
        ),
    ],
)
def test_location(location, expected):
    assert ("location", expected) in answered(("Location", location))


def test_content_location_is_rewritten_like_location():
    assert ("content-location", "http://shop.example:8000/a") in answered(
        ("Content-Location", "http://127.0.0.1:9000/a")
    )


def test_location_takes_the_public_scheme():
    request = head(host="shop.example", scheme="https")

    assert ("location", "https://shop.example/") in answered(
        ("Location", "http://127.0.0.1:9000/"), request=request
    )


def test_default_ports_are_equal_to_no_port():
    assert ("location", "http://shop.example:8000/") in answered(
        ("Location", "http://legacy.internal:80/"), private="http://legacy.internal"
    )


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        pytest.param("a=1; Path=/", "a=1; Path=/", id="no domain"),
        pytest.param(
            "a=1; Domain=legacy.internal; Path=/", "a=1; Domain=shop.example; Path=/", id="private"
        ),
        pytest.param("a=1; domain=.LEGACY.internal", "a=1; domain=shop.example", id="dot and case"),
        pytest.param("a=1; Domain=shop.example", "a=1; Domain=shop.example", id="public already"),
        pytest.param("domain=1; Path=/", "domain=1; Path=/", id="a cookie called domain"),
        pytest.param(
            "Domain=legacy.internal",
            "Domain=legacy.internal",
            id="the value of a cookie called domain",
        ),
        pytest.param(
            "a=1; X-Domain=legacy.internal", "a=1; X-Domain=legacy.internal", id="another attribute"
        ),
    ],
)
def test_cookie_domain(cookie, expected):
    assert ("set-cookie", expected) in answered(
        ("Set-Cookie", cookie), private="http://legacy.internal:9000"
    )


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000"])
def test_cookie_domain_goes_where_the_public_host_has_none_to_share(host):
    """RFC 6265 5.1.3."""
    cookie = ("Set-Cookie", "a=1; Domain=legacy.internal; HttpOnly")

    assert ("set-cookie", "a=1; HttpOnly") in answered(
        cookie, private="http://legacy.internal", request=head(host=host)
    )


def test_trailers_may_not_frame_route_or_speak_for_us():
    """RFC 9110 6.5.1."""
    told = [
        (b"X-Sum", b"1"),
        (b"X-Overgrow-Error", b"gone"),
        (b"Location", b"/"),
        (b"Set-Cookie", b"a"),
    ]

    assert [(b"x-sum", b"1")] == trailers_for_client(told)


def test_a_trailer_that_connection_names_stays_behind():
    """RFC 9110 7.6.1."""
    headers = [(b"Connection", b"X-Hop")]

    assert [(b"x-sum", b"1")] == trailers_for_client([(b"X-Hop", b"1"), (b"X-Sum", b"1")], headers)


def test_a_unix_socket_has_no_address_to_hide():
    assert ("location", "http://127.0.0.1:9000/") in answered(
        ("Location", "http://127.0.0.1:9000/"), private="unix:/run/legacy.sock"
    )


def test_a_port_that_a_trusted_peer_says_alone_is_believed():
    pairs = sent(head(("host", "a"), ("x-forwarded-port", "8443"), peer_trusted=True))

    assert ("x-forwarded-port", "8443") in pairs


def test_a_trusted_peers_user_is_told_beside_its_forwarded():
    told = [("forwarded", "for=203.0.113.9"), ("x-forwarded-user", "alice")]
    pairs = sent(head(("host", "a"), *told, peer_trusted=True, client="203.0.113.9"))

    assert set(told) <= set(pairs)


@pytest.mark.parametrize(
    ("refresh", "expected"),
    [
        pytest.param("5", "5", id="no url"),
        pytest.param("5; url=/a", "5; url=/a", id="relative"),
        pytest.param(
            "5; url=http://127.0.0.1:9000/a", "5; url=http://shop.example:8000/a", id="url"
        ),
        pytest.param(
            "0;URL=http://127.0.0.1:9000/a", "0;URL=http://shop.example:8000/a", id="case"
        ),
        pytest.param(
            "0 ; Url = 'http://127.0.0.1:9000/a'",
            "0 ; Url = 'http://shop.example:8000/a'",
            id="blanks and single quotes",
        ),
        pytest.param(
            '3;url="http://127.0.0.1:9000/a?b;c" x',
            '3;url="http://shop.example:8000/a?b;c" x',
            id="double quotes and more behind",
        ),
        pytest.param(
            '3;url="http://127.0.0.1:9000/a', '3;url="http://shop.example:8000/a', id="open quotes"
        ),
        pytest.param("1.5,http://127.0.0.1:9000/", "1.5,http://shop.example:8000/", id="no url="),
        pytest.param("1 http://127.0.0.1:9000/", "1 http://shop.example:8000/", id="a blank alone"),
        pytest.param("; //127.0.0.1:9000/", "; //shop.example:8000/", id="no time, network path"),
        pytest.param("5; url=https://pay.example/", "5; url=https://pay.example/", id="elsewhere"),
    ],
)
def test_refresh(refresh, expected):
    assert ("refresh", expected) in answered(("Refresh", refresh))


@pytest.mark.parametrize(
    "name",
    [
        "Age", "Authentication-Info", "Authorization", "Cache-Control", "Connection", "Content-Encoding",
        "Content-Length", "Content-Location", "Content-Range", "Content-Type", "Cookie", "Date", "Expect",
        "Expires", "Forwarded", "Host", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range",
        "If-Unmodified-Since", "Keep-Alive", "Location", "Max-Forwards", "Persistent-Auth", "Pragma",
        "Proxy", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization",
        "Proxy-Connection", "Proxy-Support", "Range", "Refresh", "Retry-After", "Set-Cookie", "TE",
        "Trailer", "Transfer-Encoding", "Upgrade", "Vary", "Via", "WWW-Authenticate",
    ],
)  # fmt: skip
def test_a_trailer_that_would_come_too_late_stays_behind(name):
    """RFC 9110 6.5.1."""
    told = [(name.encode(), b"1"), (b"X-Sum", b"1"), (b"ETag", b"1"), (b"Server-Timing", b"a")]

    kept = [pair[0] for pair in trailers_for_client(told)]
    assert kept == [b"x-sum", b"etag", b"server-timing"]
