"""Flask's session cookies: genuine ones by Flask 3.1 with SECRET_KEY `legacy-secret`, and false ones."""

from __future__ import annotations

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer

from overgrow.identity.formats import flask
from overgrow.identity.formats.signed_text import encode_base64url, hmac_of
from overgrow.routing.identity import Refusal

SIGNED_AT = 1_800_000_000
DAY = 86_400.0
SECRETS = [b"legacy-secret"]
COOKIE = (
    b"eyJfdXNlcl9pZCI6IjEiLCJfZnJlc2giOnRydWUsIl9wZXJtYW5lbnQiOnRydWV9"
    b".a0nSAA.fJ0YJPlkPci1gea2iJiDmACnbiM"
)
PACKED = (
    b".eJyrVoovLU4tis9MUbKqVlIoVbJSMsAPzJVqdZSK8nNSi8E6SpSsopUSlXSUkpRigRIVQAMqhwlQqgUA6yh0DQ"
    b".a0nSAA.O4fDJm8CK8UbPu-TgS96cIctylc"
)


def read(value, secrets=SECRETS, now_s=SIGNED_AT + 1, lifetime_s=DAY):
    return flask.read_session(value, secrets, now_s, lifetime_s)


def signed(payload: bytes, secret=SECRETS[0], time=b"a0nSAA") -> bytes:
    timed = payload + b"." + time
    key = hmac_of(secret, b"cookie-session", "sha1")
    return timed + b"." + encode_base64url(hmac_of(key, timed, "sha1"))


def test_a_session_cookie_of_flask_is_read():
    assert read(COOKIE) == {"_user_id": "1", "_fresh": True, "_permanent": True}


def test_a_packed_cookie_keeps_the_types_that_flask_tagged():
    session = read(PACKED)

    found = (flask.untag(session["_user_id"]), flask.untag(session["roles"]))

    assert found == ("00000000-0000-0000-0000-000000000007", ["a", "b"])


def test_a_cookie_under_a_former_secret_is_read():
    assert read(COOKIE, [b"today", *SECRETS])["_user_id"] == "1"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(COOKIE[:-1] + b"N", "bad-signature", id="last character changed"),
        pytest.param(b"f" + COOKIE[1:], "bad-signature", id="first character changed"),
        pytest.param(COOKIE.replace(b"a0nSAA", b"a0nSAB"), "bad-signature", id="a later time"),
        pytest.param(COOKIE + b"=", "bad-signature", id="padding: another spelling"),
        pytest.param(signed(b"e30", b""), "bad-signature", id="signed by the empty secret"),
        pytest.param(b"", "malformed", id="empty"),
        pytest.param(b"abc", "malformed", id="no dot"),
        pytest.param(b"a.b", "malformed", id="one dot"),
        pytest.param(b"..", "bad-signature", id="dots alone"),
        pytest.param(b"\xff.\xff.\xff", "bad-signature", id="not UTF-8"),
        pytest.param(b"x" * 20_000, "too-large", id="larger than a cookie may be"),
        pytest.param(signed(b"W10"), "malformed", id="a list"),
        pytest.param(signed(b"!!"), "malformed", id="signed, but not base64"),
        pytest.param(signed(b".e30"), "malformed", id="signed, but not packed"),
        pytest.param(signed(b"e30", time=b"!"), "malformed", id="a time that is none"),
        pytest.param(signed(b"e30", time=b"A" * 40), "malformed", id="a time without bound"),
    ],
)
def test_a_false_cookie_is_refused(value, reason):
    assert read(value) == Refusal(reason)


def test_a_cookie_of_another_site_is_refused():
    assert read(COOKIE, [b"another secret"]) == Refusal("bad-signature")


def test_a_cookie_that_another_serializer_signed_is_refused():
    other = URLSafeTimedSerializer("legacy-secret", salt="password-reset").dumps({"_user_id": "1"})

    assert read(other.encode()) == Refusal("bad-signature")


def test_a_cookie_is_read_within_its_lifetime_alone():
    found = [read(COOKIE, now_s=SIGNED_AT + age) for age in (-2, DAY, DAY + 1)]

    assert found == [Refusal("expired"), read(COOKIE), Refusal("expired")]


def test_flask_itself_reads_a_renewed_cookie():
    app = Flask("legacy")
    app.secret_key = "legacy-secret"
    serializer = app.session_interface.get_signing_serializer(app)

    renewed = flask.renew(PACKED, SECRETS[0], SIGNED_AT + 1000)

    _, signed_at = serializer.loads(renewed.decode(), return_timestamp=True)
    assert (SIGNED_AT + 1000, read(PACKED)) == (
        signed_at.timestamp(),
        read(renewed, now_s=SIGNED_AT + 1001),
    )


@pytest.mark.parametrize(
    "value", [{" u": "no"}, {" u": None}, {" b": "eA=="}, {" t": "x"}, {}, None]
)
def test_a_tag_with_a_strange_content_is_no_text(value):
    assert not isinstance(flask.untag(value), str)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_flask_reader_raise(value):
    assert isinstance(read(value), Refusal)


@given(st.binary(max_size=200), st.from_regex(rb"[A-Za-z0-9_-]{0,12}", fullmatch=True))
def test_no_signed_payload_makes_the_flask_reader_raise(payload, time):
    assert isinstance(read(signed(payload, time=time)), Refusal | dict)


@given(st.integers(0, len(COOKIE) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_cookie_is_accepted(at, change):
    changed = bytearray(COOKIE)
    changed[at] ^= change

    assert isinstance(read(bytes(changed)), Refusal)
