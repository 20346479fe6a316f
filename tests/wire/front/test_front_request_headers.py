"""What legacy sees of a client's headers (docs/wire.md#changed-because-an-intermediary-must; RFC 9110 7.6, RFC 7239)."""

from __future__ import annotations

import json
import time

import pytest

from overgrow.routing.override import create_override
from tests.wire.front.conftest import SECRET
from tests.wire.front.ends import HOST, request

CLAIMS = [
    ("x-forwarded-for", "127.0.0.1"),
    ("x-forwarded-proto", "http"),
    ("x-forwarded-host", HOST),
    ("x-forwarded-port", "80"),
    ("via", "1.1 door-a"),
]


def test_nothing_is_added_but_the_forwarding_headers_and_via(wire):
    """RFC 9110 7.6.3, and docs/wire.md#passed-on-as-it-is: no User-Agent, Accept or Accept-Encoding is invented."""
    seen = wire.seen("GET", "/")

    assert [("host", HOST), *CLAIMS] == seen.headers


def test_order_duplicates_and_values_are_kept(wire):
    """RFC 9110 5.3."""
    fields = ["X-B: 2", "Cookie: a=1", "X-A: 1", "X-B: 1", 'Cookie: b="2"', "X-Empty:", "X-A: 1"]
    seen = wire.seen("GET", "/", *fields)

    assert [
        ("host", HOST),
        ("x-b", "2"),
        ("cookie", "a=1"),
        ("x-a", "1"),
        ("x-b", "1"),
        ("cookie", 'b="2"'),
        ("x-empty", ""),
        ("x-a", "1"),
        *CLAIMS,
    ] == seen.headers


def test_a_value_may_hold_any_byte_above_ascii(wire):
    """RFC 9110 5.5: obs-text is opaque."""
    seen = wire.seen("GET", "/", "X-Raw: \xe9\xff\x80")

    assert "\xe9\xff\x80" == seen["x-raw"]


@pytest.mark.parametrize(
    ("field", "name"),
    [
        pytest.param("Connection: keep-alive", "connection", id="RFC 9110 7.6.1 Connection"),
        pytest.param("Keep-Alive: timeout=5", "keep-alive", id="RFC 9110 7.6.1 Keep-Alive"),
        pytest.param("Proxy-Connection: close", "proxy-connection", id="RFC 9110 7.6.1 its twin"),
        pytest.param("Upgrade: h2c", "upgrade", id="RFC 9110 7.8 an upgrade to h2c"),
        pytest.param("TE: gzip", "te", id="RFC 9110 10.1.4 a coding this hop does not undo"),
        pytest.param(
            "Proxy-Authorization: Basic YTpi", "proxy-authorization", id="RFC 9110 11.7.2 for us"
        ),
    ],
)
def test_a_hop_by_hop_header_stays_behind(wire, field, name):
    seen = wire.seen("GET", "/", field)

    assert [] == seen.all(name)


def test_headers_that_connection_names_stay_behind(wire):
    """RFC 9110 7.6.1: in any case, in several lines, with empty members."""
    fields = [
        "Connection: X-Hop, ,close",
        "connection: x-other",
        "X-Hop: 1",
        "X-OTHER: 2",
        "X-C: 3",
    ]
    seen = wire.seen("GET", "/", *fields)

    assert [("host", HOST), ("x-c", "3"), *CLAIMS] == seen.headers


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Host", "Via", "X-Forwarded-Proto"])
def test_connection_cannot_take_away_what_legacy_relies_on(wire, name):
    """RFC 9110 7.6.1 read with care: a client could strip what the front door vouches for."""
    seen = wire.seen("GET", "/", f"Connection: {name}")

    assert [("host", HOST), *CLAIMS] == seen.headers


def test_connection_cannot_take_away_the_framing(wire):
    """RFC 9110 7.6.1, RFC 9112 6: a body without its length would be the next request."""
    seen = wire.seen("POST", "/", "Connection: Content-Length", body=b"GET /inner HTTP/1.1\r\n\r\n")

    assert b"GET /inner HTTP/1.1\r\n\r\n" == seen.body


@pytest.mark.parametrize(
    "field",
    [
        pytest.param("X-Forwarded-For: 6.6.6.6", id="RFC 7239 8.1 another address"),
        pytest.param("x-FORWARDED-for: 6.6.6.6", id="RFC 9110 5.1 in another case"),
        pytest.param("X-Forwarded-Proto: https", id="RFC 7239 8.1 another scheme"),
        pytest.param("X-Forwarded-Host: evil.example", id="RFC 7239 8.1 another host"),
        pytest.param("X-Forwarded-Port: 443", id="RFC 7239 8.1 another port"),
        pytest.param("X-Forwarded-Prefix: /evil", id="RFC 7239 8.1 a prefix"),
        pytest.param("X-Forwarded-Anything: x", id="RFC 7239 8.1 any other of the family"),
        pytest.param("Forwarded: for=6.6.6.6;proto=https", id="RFC 7239 8.1 the standard one"),
        pytest.param("X_Forwarded_For: 6.6.6.6", id="RFC 3875 4.1.18 an underscore twin"),
        pytest.param("X-Forwarded_Proto: https", id="RFC 3875 4.1.18 half a twin"),
        pytest.param("Any_Name: 1", id="RFC 3875 4.1.18 any underscore"),
        pytest.param("X-Overgrow-Override: v1.x", id="X-Overgrow-*"),
        pytest.param("x-oVERGROW-Other: 1", id="X-Overgrow-* in another case"),
        pytest.param("X-Overgrow: route=x", id="X-Overgrow itself"),
    ],
)
def test_what_an_untrusted_client_claims_reaches_nobody(wire, field):
    seen = wire.seen("GET", "/", field)

    assert [("host", HOST), *CLAIMS] == seen.headers


def test_a_claim_hidden_behind_connection_is_still_ours_to_make(wire):
    """RFC 9110 7.6.1: naming a claim in Connection neither keeps nor strips it."""
    seen = wire.seen("GET", "/", "Connection: X-Forwarded-For", "X-Forwarded-For: 6.6.6.6")

    assert "127.0.0.1" == seen["x-forwarded-for"]


@pytest.mark.parametrize(
    ("cookie", "left"),
    [
        pytest.param("overgrow_override=v1.x", [], id="RFC 6265 5.4 alone"),
        pytest.param("a=1; overgrow_override=v1.x; b=2", ["a=1; b=2"], id="RFC 6265 5.4 between"),
        pytest.param(
            "a=1; overgrow_admin=s; b=2", ["a=1; b=2"], id="RFC 6265 8.5 the admin port's own"
        ),
        pytest.param(
            "overgrow_override=1;overgrow_override=2; c=3", ["c=3"], id="RFC 6265 5.4 twice"
        ),
        pytest.param(
            "my_overgrow_override=1", ["my_overgrow_override=1"], id="RFC 6265 4.1.1 a namesake"
        ),
        pytest.param(
            "a=overgrow_override=1", ["a=overgrow_override=1"], id="RFC 6265 4.1.1 a value"
        ),
    ],
)
def test_the_override_cookie_is_taken_out(wire, cookie, left):
    assert left == wire.seen("GET", "/", f"Cookie: {cookie}").all("cookie")


@pytest.mark.parametrize(
    "carrier", ["X-Overgrow-Override: {}", "Cookie: a=1; overgrow_override={}"]
)
def test_a_valid_override_reaches_neither_side(trusting, carrier):
    """docs/wire.md#changed-because-an-intermediary-must: X-Overgrow-* reach neither side, and an override is never forwarded."""
    token = create_override("legacy", "environ", int(time.time()) + 60, SECRET.encode())
    seen, shown = trusting.exchange(request("GET", "/environ", carrier.format(token)))
    told = environ(
        trusting, "X-Overgrow-Override: v1.migrated", f"Cookie: overgrow_override={token}x"
    )

    assert "side=legacy; reason=override" in shown["x-overgrow"]
    assert token.encode() not in seen.raw
    assert b"overgrow-override" not in seen.raw.lower()
    assert not {"X-Overgrow-Override", "Cookie"} & {name for name, _ in told["headers"]}


def test_a_name_that_only_begins_like_ours_is_passed_on(wire):
    """RFC 9110 5.1: X-Overgrowth is somebody else's."""
    assert "1" == wire.seen("GET", "/", "X-Overgrowth: 1")["x-overgrowth"]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("v1.legacy.*.{later}.00", id="a wrong signature"),
        pytest.param("v1.legacy.*." + "1" * 5_000 + ".00", id="an expiry of 5,000 digits"),
        pytest.param("v1.legacy.*.\xb2.\xe9", id="digits and a signature that are not ASCII"),
        pytest.param("", id="nothing"),
    ],
)
def test_an_invalid_override_changes_nothing(trusting, value):
    """docs/cli.md#overgrow-override: ignored; the answer says nothing of the front door."""
    token = value.format(later=int(time.time()) + 60)
    for carrier in ("X-Overgrow-Override: ", "Cookie: overgrow_override="):
        found = trusting.refused(request("GET", "/environ", carrier + token))

        assert (200, None) == (found.status, found["x-overgrow"])


def test_a_request_without_host_gets_one(wire):
    """RFC 9112 3.2: HTTP/1.0 needs no Host, the HTTP/1.1 request that legacy gets does."""
    seen, _ = wire.exchange(b"GET / HTTP/1.0\r\n\r\n")

    assert 1 == len(seen.all("host"))


def test_an_empty_host_stays_empty(wire):
    """RFC 9110 7.2: a target without authority is sent with an empty Host."""
    assert "" == wire.seen("GET", "/", "Host:")["host"]


def test_host_is_the_public_one(wire):
    """RFC 9110 7.2, `host: preserve`."""
    seen = wire.seen("GET", "/", "Host: Shop.Example:8080")

    assert "Shop.Example:8080" == seen["host"]
    assert "8080" == seen["x-forwarded-port"]


def test_host_is_legacys_own_where_the_table_says_so(trusting):
    """RFC 9110 7.2, `host: upstream`: the public one is in X-Forwarded-Host."""
    seen = trusting.seen("GET", "/")

    assert f"127.0.0.1:{trusting.legacy.port}" == seen["host"]
    assert HOST == seen["x-forwarded-host"]


# What a trusted proxy says.


def claims_seen(trusting, *fields):
    seen = trusting.seen("GET", "/", *fields)
    names = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port")
    return tuple(seen[name] for name in names)


def test_a_trusted_peers_claims_are_kept_and_extended(trusting):
    """RFC 7239 5, de facto X-Forwarded-*."""
    fields = [
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: pub.example",
    ]

    assert ("6.6.6.6, 127.0.0.1", "https", "pub.example", "443") == claims_seen(trusting, *fields)


def test_a_chain_is_extended_whole_whoever_began_it(trusting):
    """RFC 7239 5.2: in several lines too; the address believed is another matter."""
    fields = ["X-Forwarded-For: 1.1.1.1, 6.6.6.6", "X-Forwarded-For: 10.0.0.7"]

    assert "1.1.1.1, 6.6.6.6, 10.0.0.7, 127.0.0.1" == claims_seen(trusting, *fields)[0]


def test_forwarded_is_kept_and_extended_where_the_table_asks_for_it(trusting):
    """RFC 7239 4."""
    seen = trusting.seen("GET", "/", 'Forwarded: for="[2001:db8::1]";proto=https;host=pub.example')

    assert [
        'for="[2001:db8::1]";proto=https;host=pub.example',
        'for=127.0.0.1;host="pub.example";proto=https',
    ] == seen.all("forwarded")


@pytest.mark.parametrize("field", ["X_Forwarded_For: 6.6.6.6", "X-Overgrow-Override: 1"])
def test_a_trusted_peer_may_not_say_everything(trusting, field):
    """RFC 3875 4.1.18, docs/wire.md#changed-because-an-intermediary-must."""
    assert b"6.6.6.6" not in (seen := trusting.seen("GET", "/", field)).raw
    assert b"overgrow" not in seen.raw.lower()


def environ(trusting, *fields):
    """What a migrated view sees."""
    return json.loads(trusting.refused(request("GET", "/environ", *fields)).body)


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        pytest.param([], "127.0.0.1", id="RFC 7239 7.4 nobody claims"),
        pytest.param(["X-Forwarded-For: 6.6.6.6"], "6.6.6.6", id="RFC 7239 7.4 one hop"),
        pytest.param(
            ["X-Forwarded-For: 1.1.1.1, 6.6.6.6, 10.0.0.7"], "6.6.6.6", id="RFC 7239 7.4 a chain"
        ),
        pytest.param(
            ["X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 6.6.6.6, 10.0.0.7"],
            "6.6.6.6",
            id="RFC 9110 5.3 a chain in two lines",
        ),
        pytest.param(["X-Forwarded-For: evil, 10.0.0.7"], "10.0.0.7", id="RFC 7239 6 no address"),
        pytest.param(["Forwarded: for=6.6.6.6"], "6.6.6.6", id="RFC 7239 5.2 the standard one"),
        pytest.param(
            ["X-Forwarded-For: 6.6.6.6", "Forwarded: for=1.1.1.1"],
            "6.6.6.6",
            id="RFC 7239 7.4 one kind counts",
        ),
    ],
)
def test_migrated_sees_the_client_that_the_chain_vouches_for(trusting, fields, address):
    assert address == environ(trusting, *fields)["REMOTE_ADDR"]


def test_migrated_sees_the_scheme_and_host_that_a_trusted_peer_claims(trusting):
    """RFC 7239 5.3 and 5.4."""
    told = environ(trusting, "X-Forwarded-Proto: https", "X-Forwarded-Host: pub.example")

    assert ("https", "pub.example") == (told["wsgi.url_scheme"], told["HTTP_HOST"])


def test_the_host_predicate_asks_the_host_that_a_trusted_peer_claims(trusting):
    """RFC 7239 5.3, docs/wire.md#changed-because-an-intermediary-must."""
    gone = trusting.refused(request("GET", "/of-a-host", "X-Forwarded-Host: Retired.example:443"))

    assert (410, "gone") == (gone.status, gone.code)


@pytest.mark.parametrize("field", ["Any_Name: 1", "X_Forwarded_For: 6.6.6.6", "X-Overgrow-A: 1"])
def test_migrated_sees_no_underscore_names_and_none_of_ours(trusting, field):
    """RFC 3875 4.1.18, docs/wire.md#changed-because-an-intermediary-must."""
    told = environ(trusting, field)

    assert [["Host", HOST]] == [
        pair for pair in told["headers"] if not pair[0].startswith("X-Forwarded-")
    ]
    assert "127.0.0.1" == told["REMOTE_ADDR"]


# What a trusted peer says beside address, scheme, host and port.

SAID = [
    pytest.param("X-Forwarded-User", id="who a single sign-on let in"),
    pytest.param("X-Forwarded-Email", id="their address"),
    pytest.param("X-Forwarded-Groups", id="their groups"),
    pytest.param("X-Forwarded-Prefix", id="a prefix"),
    pytest.param("X-Forwarded-Client-Cert", id="a certificate"),
    pytest.param("X-FORWARDED-Anything", id="any other, in any case"),
    pytest.param("X-Forwarded", id="the bare name"),
]


@pytest.mark.parametrize("name", SAID)
def test_what_a_trusted_peer_says_of_the_user_reaches_both_sides(trusting, name):
    """docs/wire.md#changed-because-an-intermediary-must: a flip must not log users out. Connection cannot take it away (RFC 9110 7.6.1)."""
    fields = ["X-Forwarded-For: 6.6.6.6", f"{name}: one", f"Connection: {name}", f"{name}: two"]
    seen = trusting.seen("GET", "/", *fields)
    told = {key.lower(): value for key, value in environ(trusting, *fields)["headers"]}

    assert ["one", "two"] == seen.all(name.lower())
    assert "one,two" == told[name.lower()]


@pytest.mark.parametrize("name", SAID)
def test_what_others_say_of_the_user_reaches_neither_side(wire, name):
    """docs/wire.md#changed-because-an-intermediary-must: they would be whom they like."""
    assert [] == wire.seen("GET", "/", f"{name}: admin").all(name.lower())


def test_a_trusted_peer_that_speaks_forwarded_alone_may_name_the_user(trusting):
    """RFC 7239 7.4: of two kinds of one claim one counts, and a user has but one kind."""
    fields = ["Forwarded: for=6.6.6.6", "X-Forwarded-User: alice"]
    told = environ(trusting, *fields)

    assert "alice" == trusting.seen("GET", "/", *fields)["x-forwarded-user"]
    assert ["X-Forwarded-User", "alice"] in told["headers"]
    assert "6.6.6.6" == told["REMOTE_ADDR"]


def test_an_underscore_twin_of_a_trusted_header_reaches_neither_side(trusting):
    """RFC 3875 4.1.18."""
    fields = ["X_Forwarded_User: admin", "X-Forwarded_User: admin", "X-Forwarded-User: alice"]

    assert b"admin" not in trusting.seen("GET", "/", *fields).raw
    assert ["X-Forwarded-User", "alice"] in environ(trusting, *fields)["headers"]


def test_a_header_by_which_some_apps_learn_the_address_is_passed_on(wire):
    """docs/wire.md#changed-because-an-intermediary-must: only the named families are ours; docs/wire.md says what to do about the others."""
    assert "6.6.6.6" == wire.seen("GET", "/", "X-Real-IP: 6.6.6.6")["x-real-ip"]


REWRITING = [pytest.param("X-Original-URL", id="of IIS"), pytest.param("X-Rewrite-URL", id="ISAPI")]


@pytest.mark.parametrize("name", REWRITING)
def test_a_header_that_names_another_path_does_not_reach_legacy(wire, name):
    """docs/wire.md#changed-because-an-intermediary-must: some apps would serve that path instead of the one that was decided on."""
    assert [] == wire.seen("GET", "/", f"{name}: /admin").all(name.lower())


@pytest.mark.parametrize("name", REWRITING)
def test_a_rewriting_header_reaches_legacy_only_if_asked_for(trusting, name):
    told = environ(trusting, f"{name}: /admin")

    assert "/admin" == trusting.seen("GET", "/", f"{name}: /admin")[name.lower()]
    assert name.lower() not in {key.lower() for key, _ in told["headers"]}


def test_a_header_or_spelling_that_means_a_gone_path_is_refused(trusting):
    asked = [
        request("GET", "/", "X-Original-URL: /of-a-host", "X-Forwarded-Host: retired.example"),
        request("GET", "/OF-a-host;x=1", "X-Forwarded-Host: retired.example"),
    ]

    assert ["ambiguous-path"] * 2 == [trusting.refused(one).code for one in asked]


@pytest.mark.parametrize("fields", [(), ("Connection: Upgrade", "Upgrade: websocket")])
def test_proxy_never_reaches_legacy(wire, fields):
    """CGI programs take it for HTTP_PROXY, and would send their own requests through a stranger."""
    seen = wire.seen("GET", "/", "PROXY: http://evil.example", "Proxy-Not: 1", *fields)

    assert (seen["proxy"], seen["proxy-not"]) == (None, "1")


def test_proxy_never_reaches_migrated(trusting):
    told = environ(trusting, "Proxy: http://evil.example", "Proxy-Not: 1")

    assert "Proxy-Not" in dict(told["headers"])
    assert "Proxy" not in dict(told["headers"])
