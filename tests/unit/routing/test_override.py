"""Override tokens: who they are for, how long, and what makes them void."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from overgrow.routing.facts import Facts, head_of
from overgrow.routing.model import Route
from overgrow.routing.override import MAX_LIFETIME_S, create_override, override_side

SECRET = b"a secret"
NOW_S = 1_700_000_000
SOON_S = NOW_S + 3600
ROUTE = Route("shop.order-1", path="/x")


def asked(*headers, secret=SECRET, now_s=NOW_S, route=ROUTE):
    head = head_of("GET", b"/x", headers, peer="", scheme="http")
    return override_side(head, Facts(secret=secret, now_s=now_s), route)


def header(token):
    return (b"x-overgrow-override", token.encode())


def test_a_token_is_signed_over_the_text_before_its_last_dot():
    mac = hmac.new(SECRET, b"v1.migrated.*.1700003600", hashlib.sha256).hexdigest()

    assert create_override("migrated", "*", SOON_S, SECRET) == f"v1.migrated.*.1700003600.{mac}"


@pytest.mark.parametrize("route", ["*", "shop.order-1"])
@pytest.mark.parametrize("side", ["legacy", "migrated"])
def test_a_valid_token_names_the_side(side, route):
    token = create_override(side, route, SOON_S, SECRET)

    assert asked(header(token)) == side
    assert asked((b"cookie", f"a=b; overgrow_override={token}".encode())) == side


def test_the_header_comes_before_the_cookie():
    cookie = (
        b"cookie",
        b"overgrow_override=" + create_override("legacy", "*", SOON_S, SECRET).encode(),
    )

    assert asked(cookie, header(create_override("migrated", "*", SOON_S, SECRET))) == "migrated"


def test_a_void_header_leaves_the_word_to_the_cookie():
    cookie = (
        b"cookie",
        b"overgrow_override=" + create_override("legacy", "*", SOON_S, SECRET).encode(),
    )

    assert asked(header("v1.nonsense"), cookie) == "legacy"


VALID = create_override("migrated", "*", SOON_S, SECRET)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param(VALID[:-1], id="cut"),
        pytest.param(VALID.replace("v1", "v2", 1), id="another version"),
        pytest.param(VALID.replace("migrated", "legacy", 1), id="another side"),
        pytest.param(VALID.upper(), id="another case"),
        pytest.param(VALID + " ", id="trailing space"),
        pytest.param(create_override("migrated", "*", SOON_S, b"other"), id="another secret"),
        pytest.param(create_override("migrated", "shop", SOON_S, SECRET), id="another route"),
        pytest.param(
            create_override("migrated", "shop.order-1.x", SOON_S, SECRET), id="a longer name"
        ),
        pytest.param(create_override("migrated", "*", NOW_S - 60, SECRET), id="expired 60 s ago"),
        pytest.param(
            create_override("migrated", "*", NOW_S + MAX_LIFETIME_S + 61, SECRET),
            id="lives 61 s too long",
        ),
        pytest.param(create_override("gone", "*", SOON_S, SECRET), id="gone is no side to ask for"),
    ],
)
def test_a_void_token_is_ignored(token):
    assert asked(header(token)) is None


@pytest.mark.parametrize(
    "expiry_s",
    [
        pytest.param(NOW_S - 59, id="expired 59 s ago"),
        pytest.param(NOW_S, id="expires now"),
        pytest.param(NOW_S + MAX_LIFETIME_S, id="seven days"),
        pytest.param(NOW_S + MAX_LIFETIME_S + 60, id="seven days and 60 s"),
    ],
)
def test_the_clocks_of_signer_and_front_door_may_differ_by_a_minute(expiry_s):
    assert asked(header(create_override("legacy", "*", expiry_s, SECRET))) == "legacy"


def test_the_minute_counts_parts_of_a_second():
    token = header(create_override("legacy", "*", NOW_S, SECRET))

    assert (asked(token, now_s=NOW_S + 59.9), asked(token, now_s=NOW_S + 60.0)) == ("legacy", None)


@pytest.mark.parametrize("secret", [None, b""])
def test_without_a_secret_there_are_no_overrides(secret):
    token = create_override("migrated", "*", SOON_S, b"")

    assert asked(header(token), secret=secret) is None
