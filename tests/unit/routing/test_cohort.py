"""Buckets, limits and who a client is."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from overgrow.routing.cohort import bucket_of, canary_limit, identify_client, murmur2
from overgrow.routing.facts import head_of
from overgrow.routing.model import Cohort, TrustedProxies


def head(*headers, peer="192.0.2.1"):
    return head_of("GET", b"/", headers, peer=peer, scheme="http")


# test_cohort_nginx.py compares with nginx itself; these pin the answers where there is none.
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param(b"", 0, id="nothing"),
        pytest.param(b"a", 2456313694, id="one byte left over"),
        pytest.param(b"ab", 446775395, id="two bytes left over"),
        pytest.param(b"abc", 324500635, id="three bytes left over"),
        pytest.param(b"abcd", 646393889, id="whole words"),
    ],
)
def test_murmur2_is_pinned(key, expected):
    assert murmur2(key) == expected


def test_the_salt_is_appended_in_utf8():
    assert bucket_of(b"k", "\u00e9") == murmur2(b"k\xc3\xa9")


@pytest.mark.parametrize(
    ("hundredths", "limit"),
    [(0, 0), (1, 429496), (1234, 1234 * 0xFFFFFFFF // 10000), (10_000, 1 << 32)],
)
def test_a_limit_is_half_open_and_a_hundred_percent_serves_every_bucket(hundredths, limit):
    assert canary_limit(hundredths) == limit


def test_a_ten_percent_canary_takes_a_tenth_of_the_clients():
    taken = sum(bucket_of(f"id-{at}".encode(), "s") < canary_limit(1000) for at in range(20_000))

    assert abs(taken / 20_000 - 0.10) <= 0.007


def test_raising_a_canary_moves_nobody_back():
    buckets = [bucket_of(f"id-{at}".encode(), "") for at in range(5_000)]
    at_ten = {bucket for bucket in buckets if bucket < canary_limit(1000)}
    at_twenty = {bucket for bucket in buckets if bucket < canary_limit(2000)}

    assert at_ten < at_twenty


@pytest.mark.parametrize(
    ("by", "headers", "expected"),
    [
        pytest.param(("cookie:a",), [(b"cookie", b"b=1; a=2")], ("cookie:a", b"2"), id="cookie"),
        pytest.param(("cookie:a",), [(b"cookie", b'a="x%20"')], ("cookie:a", b'"x%20"'), id="raw"),
        pytest.param(
            ("header:X-Id",), [(b"x-id", b"7"), (b"x-id", b"8")], ("header:X-Id", b"7"), id="first"
        ),
        pytest.param(
            ("cookie:a", "ip"), [(b"cookie", b"a=")], ("ip", b"192.0.2.1"), id="empty is absent"
        ),
        pytest.param(
            ("header:x-id",), [(b"x-id", b""), (b"x-id", b"8")], None, id="first is empty"
        ),
        pytest.param(("cookie:a",), [], None, id="nobody"),
        pytest.param(("cookie:a",), [(b"cookie", b"ba=1; b=a; a")], None, id="no such cookie"),
        pytest.param(
            ("cookie:a",),
            [(b"cookie", b"b=2"), (b"cookie", b"ab=3; a = 4; a=5")],
            ("cookie:a", b"4"),
            id="on the second line",
        ),
    ],
)
def test_the_first_source_with_a_value_says_who_the_client_is(by, headers, expected):
    assert identify_client(head(*headers), Cohort(by)) == expected


@pytest.mark.parametrize("peer", ["", "unix"])
def test_a_peer_without_an_address_is_nobody(peer):
    assert identify_client(head(peer=peer), Cohort(("ip",))) is None


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        pytest.param("10.0.0.1", ("header:X-Forwarded-User", b"kim"), id="a trusted proxy says it"),
        pytest.param("192.0.2.1", None, id="a client says it of itself"),
    ],
)
def test_only_a_trusted_peer_says_who_a_client_is_in_x_forwarded_headers(peer, expected):
    trusted = TrustedProxies((ip_network("10.0.0.0/8"),))
    headers = [(b"x-forwarded-user", b"kim")]
    asked = head_of("GET", b"/", headers, peer=peer, scheme="http", trusted=trusted)

    assert expected == identify_client(asked, Cohort(("header:X-Forwarded-User",)))
