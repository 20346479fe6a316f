"""IPv4 clients of a listener on [::] look as they do on 0.0.0.0 (RFC 4291 2.5.5.2)."""

from __future__ import annotations

import json

import pytest

from tests.wire.front.ends import request


def told(wire, *fields):
    return json.loads(wire.refused(request("GET", "/environ", *fields)).body)


def test_legacy_is_told_the_ipv4_address(dual):
    seen = dual.seen("GET", "/", "X-Forwarded-For: 6.6.6.6")

    assert "6.6.6.6, 127.0.0.1" == seen["x-forwarded-for"]
    assert ["for=127.0.0.1"] == [line.partition(";")[0] for line in seen.all("forwarded")]


def test_migrated_is_told_the_ipv4_address(dual):
    assert "127.0.0.1" == told(dual)["REMOTE_ADDR"]


@pytest.mark.parametrize(
    ("field", "chain"),
    [
        pytest.param("X-Forwarded-For: ::ffff:6.6.6.6", "6.6.6.6, 127.0.0.1", id="bare"),
        pytest.param("X-Forwarded-For: ::FFFF:606:606", "6.6.6.6, 127.0.0.1", id="in hexadecimal"),
        pytest.param(
            "X-Forwarded-For: [::ffff:6.6.6.6]:80", "6.6.6.6:80, 127.0.0.1", id="with a port"
        ),
        pytest.param(
            "X-Forwarded-For: 0:0:0:0:0:ffff:6.6.6.6, ::ffff:10.0.0.7",
            "6.6.6.6, 10.0.0.7, 127.0.0.1",
            id="a chain",
        ),
    ],
)
def test_a_proxy_that_writes_the_long_form_is_told_on_in_the_short_one(dual, field, chain):
    seen = dual.seen("GET", "/", field)["x-forwarded-for"]

    assert chain == seen
    assert "6.6.6.6" == told(dual, field)["REMOTE_ADDR"]


def test_an_ipv6_address_that_only_looks_alike_is_told_on_as_it_came(dual):
    seen = dual.seen("GET", "/", "X-Forwarded-For: 2001:db8::ffff:6.6.6.6")

    assert "2001:db8::ffff:6.6.6.6, 127.0.0.1" == seen["x-forwarded-for"]


def test_forwarded_is_told_on_in_the_short_form_too(dual):
    field = 'Forwarded: for="[::ffff:6.6.6.6]:80";proto=https, for="[2001:db8::1]"'
    seen = dual.seen("GET", "/", field)

    assert 'for="6.6.6.6:80";proto=https, for="[2001:db8::1]"' == seen.all("forwarded")[0]
