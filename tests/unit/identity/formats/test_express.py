"""The cookie and the session of express-session: a genuine cookie by cookie-signature, and false ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overgrow.identity.formats import express
from overgrow.routing.identity import Refusal

SECRETS = [b"legacy-secret"]
ID = "aB3-_dEfGhIjKlMnOpQrStUvWxYz0123"
COOKIE = b"s%3AaB3-_dEfGhIjKlMnOpQrStUvWxYz0123.bKd5qDJ5vW7xnTqPVF5ODt3xXDXuy7Lkc1ndt5oy4LE"


def read(value, secrets=SECRETS):
    return express.read_session_id(value, secrets)


def signed(text: bytes) -> bytes:
    return b"s:" + text + b"." + express._signature(text, SECRETS[0])


@pytest.mark.parametrize("value", [COOKIE, COOKIE.replace(b"%3A", b":")])
def test_a_cookie_of_express_names_its_session(value):
    assert read(value) == ID


def test_a_cookie_under_a_former_secret_is_read():
    assert read(COOKIE, [b"today", *SECRETS]) == ID


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(COOKIE[4:], "malformed", id="not signed"),
        pytest.param(ID.encode(), "malformed", id="the id alone"),
        pytest.param(b"j%3A" + COOKIE[4:], "malformed", id="a JSON cookie"),
        pytest.param(b"", "malformed", id="empty"),
        pytest.param(b"s%3A", "malformed", id="nothing after s:"),
        pytest.param(b"s%3A" + ID.encode(), "malformed", id="no signature"),
        pytest.param(b"s%3A" + ID.encode() + b".", "bad-signature", id="an empty signature"),
        pytest.param(COOKIE[:-1] + b"F", "bad-signature", id="last character changed"),
        pytest.param(COOKIE.replace(b"aB3", b"aB4"), "bad-signature", id="another id"),
        pytest.param(COOKIE + b"%3D", "bad-signature", id="padding: another spelling"),
        pytest.param(signed(b""), "malformed", id="an empty id"),
        pytest.param(signed(b"\xff"), "malformed", id="not UTF-8"),
        pytest.param(signed(b"a\nb"), "malformed", id="a line end"),
        pytest.param(signed(b"a" * 300), "malformed", id="a long id"),
        pytest.param(b"x" * 20_000, "too-large", id="larger than a cookie may be"),
    ],
)
def test_a_false_cookie_is_refused(value, reason):
    assert read(value) == Refusal(reason)


def test_a_cookie_of_another_site_is_refused():
    assert read(COOKIE, [b"another secret"]) == Refusal("bad-signature")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "malformed", id="empty"),
        pytest.param(b"{}", "malformed", id="without its cookie"),
        pytest.param(b"[]", "malformed", id="a list"),
        pytest.param(b'{"cookie": 1}', "malformed", id="a cookie that is a number"),
        pytest.param(b'{"cookie": {}', "malformed", id="cut off"),
        pytest.param(b'{"cookie":{}}\xff', "malformed", id="not UTF-8"),
        pytest.param(b"[" * 100_000, "malformed", id="nested without an end"),
        pytest.param(b" " * (1 << 21), "too-large", id="too large"),
    ],
)
def test_a_false_stored_session_is_refused(data, reason):
    assert express.read_stored_session(data) == Refusal(reason)


@pytest.mark.parametrize(
    ("age", "lifetime_s"),
    [(60_000, 60.0), (None, 86_400.0), (-1, 86_400.0), (True, 86_400.0), (1e300, 86_400.0)],
)
def test_a_session_lives_as_long_as_its_cookie_else_a_day(age, lifetime_s):
    assert lifetime_s == express.lifetime_s({"cookie": {"originalMaxAge": age}})


@given(st.binary(max_size=300))
def test_no_bytes_make_the_express_reader_raise(value):
    found = (read(value), read(signed(value)), express.read_stored_session(value))

    assert all(isinstance(each, Refusal | str | dict) for each in found)


@given(st.integers(0, len(COOKIE) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_cookie_is_accepted(at, change):
    changed = bytearray(COOKIE)
    changed[at] ^= change

    assert read(bytes(changed)) in (ID, Refusal("malformed"), Refusal("bad-signature"))
