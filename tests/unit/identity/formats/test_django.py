"""Django's signed values: genuine ones by Django 5.2.19 with SECRET_KEY `legacy-secret`, and false ones."""

from __future__ import annotations

import hmac
import tracemalloc
import zlib
from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overgrow.identity.formats import django
from overgrow.identity.formats.signed_text import encode_base64url, inflate
from overgrow.routing.identity import Refusal

SIGNED_AT = 1_800_000_000
DAY = 86_400.0
SECRETS = [b"legacy-secret"]
PASSWORD = "md5$x$abc"
BODY = (
    b".eJxVjEEOgjAQRe_StWmYaQeLS_ecgUynU0FNSSisjHdXEha6_e-9_zIDb-s4bFWXYUrmYsCcfrfI8tCyg3TncputzGVdpmh3xR6"
    b"02n5O-rwe7t_ByHX81iwRMYfGuZYCCUgjdE5dTopBQLXJ6tUzUEYIzgO0AZwIdYgIHMm8P-aGN4s:1xocE4:"
)
COOKIE = BODY + b"boFcANyWrz-z-I2erl9Jc576aEcrAMMuoHTd3F0dcPE"
ROW = BODY + b"zpPlB70sKfO95vc8pWtkeBxAQuktS_56vOcjfqajCDo"
PLAIN = b"eyJfYXV0aF91c2VyX2lkIjoiMSJ9:1xocE4:5snHqo9MoY-TIEkGDvMfBji9J7emkzYBSZqKFVHxizo"
TODAY = b"1:x:1xocE4:18qqSROfZ3zU3RgqaZrsMBF8cvlneJDmROaI3XzN-fE"
BEFORE = b"1:1xocE4:v07s7-2Xza1JfNuJvGXkqjJInKDYyD0I7OjSG4NhBng"
USER = {
    "_auth_user_id": "1",
    "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
}


def read(value, secrets=SECRETS, now_s=SIGNED_AT + 1, lifetime_s=DAY):
    return django.read_cookie_session(value, secrets, now_s, lifetime_s)


def signed(payload: bytes, secret=SECRETS[0], now_s=SIGNED_AT) -> bytes:
    return django.sign(payload, django.COOKIE_SALT, secret, now_s)


def test_a_packed_session_cookie_of_django_is_read():
    session = read(COOKIE)

    assert ("1", USER["_auth_user_backend"]) == (
        session["_auth_user_id"],
        session["_auth_user_backend"],
    )


def test_a_session_cookie_that_is_not_packed_is_read():
    assert read(PLAIN) == {"_auth_user_id": "1"}


def test_a_session_row_of_django_is_read():
    assert django.read_row_session(ROW, SECRETS) == read(COOKIE)


def test_a_value_under_a_former_secret_is_read():
    assert read(PLAIN, [b"today", *SECRETS]) == {"_auth_user_id": "1"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(COOKIE[:-1] + b"F", "bad-signature", id="last character changed"),
        pytest.param(b"X" + COOKIE[1:], "bad-signature", id="first character changed"),
        pytest.param(COOKIE.replace(b"1xocE4", b"1xocE5"), "bad-signature", id="a later time"),
        pytest.param(ROW, "bad-signature", id="a row is no cookie: another salt"),
        pytest.param(TODAY, "bad-signature", id="a plain signed cookie is no session"),
        pytest.param(COOKIE + b"=", "bad-signature", id="padding: another spelling"),
        pytest.param(COOKIE[:-43], "bad-signature", id="no signature"),
        pytest.param(b"", "malformed", id="empty"),
        pytest.param(b"abc", "malformed", id="no colon"),
        pytest.param(b":::", "malformed", id="colons alone"),
        pytest.param(b"\xff\xfe:1xocE4:x", "bad-signature", id="not UTF-8"),
        pytest.param(PLAIN.replace(b":1xocE4:", b":-1:"), "malformed", id="a time before 1970"),
        pytest.param(b"x" * 20_000, "too-large", id="larger than a cookie may be"),
        pytest.param(signed(b"e30", b""), "bad-signature", id="signed by the empty secret"),
        pytest.param(signed(b"W10"), "malformed", id="a list"),
        pytest.param(signed(b"!!!"), "malformed", id="signed, but not base64"),
        pytest.param(signed(b".e30"), "malformed", id="signed, but not packed"),
        pytest.param(
            signed(encode_base64url(b"[" * 9000)), "malformed", id="nested without an end"
        ),
        pytest.param(signed(encode_base64url(b"\xff{}")), "malformed", id="signed, but not UTF-8"),
    ],
)
def test_a_false_session_cookie_is_refused(value, reason):
    assert read(value) == Refusal(reason)


def test_a_cookie_of_another_site_is_refused():
    assert read(COOKIE, [b"another secret"]) == Refusal("bad-signature")


def test_a_cookie_is_read_until_its_age_and_no_longer():
    ages = (DAY, DAY + 1)

    found = [read(PLAIN, now_s=SIGNED_AT + age) for age in ages]

    assert found == [{"_auth_user_id": "1"}, Refusal("expired")]


def test_a_packed_bomb_is_refused_before_it_unfolds():
    bomb = zlib.compress(b" " * 50_000_000)
    tracemalloc.start()

    found = inflate(bomb)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (Refusal("too-large"), True) == (found, peak < 10_000_000)


def test_a_renewed_cookie_lives_from_the_new_time():
    renewed = signed(PLAIN.partition(b":")[0], now_s=SIGNED_AT + 1000)

    assert read(renewed, now_s=SIGNED_AT + 1000 + DAY) == {"_auth_user_id": "1"}


def test_a_plain_signed_cookie_is_read_by_either_salt():
    found = [
        django.read_signed_cookie(value, b"who", SECRETS, SIGNED_AT, DAY)
        for value in (TODAY, BEFORE)
    ]

    assert found == ["1:x", "1"]


@pytest.mark.parametrize("text", ["ann@example.com:1xocE4:x", 'a "b"; \\x', "Zo\u00eb, x", "plain"])
def test_a_cookie_that_django_quoted_is_unquoted(text):
    sent = SimpleCookie({"who": text})["who"].coded_value  # what Django uses

    assert text == django.unquote(sent.encode()).decode()


@pytest.mark.parametrize("value", [b"", b'"', b'""', b'"\\"', b'"\\400"', b'a"', b'"\\1"'])
def test_no_quoting_makes_the_django_reader_raise(value):
    assert isinstance(django.unquote(value), bytes)


@pytest.mark.parametrize(
    ("value", "name", "now_s", "reason"),
    [
        pytest.param(TODAY, b"other", SIGNED_AT, "bad-signature", id="under another name"),
        pytest.param(PLAIN, b"who", SIGNED_AT, "bad-signature", id="a session is no plain cookie"),
        pytest.param(TODAY, b"who", SIGNED_AT + 2 * DAY, "expired", id="too old"),
        pytest.param(BEFORE, b"who", SIGNED_AT + 2 * DAY, "expired", id="too old, by the old salt"),
        pytest.param(b"1", b"who", SIGNED_AT, "malformed", id="not signed"),
        pytest.param(b"1" * 20_000, b"who", SIGNED_AT, "too-large", id="too large"),
    ],
)
def test_a_false_plain_cookie_is_refused(value, name, now_s, reason):
    assert django.read_signed_cookie(value, name, SECRETS, now_s, DAY) == Refusal(reason)


def test_a_session_ends_with_the_password_that_began_it():
    session = read(COOKIE)

    found = [
        django.is_current_password(session, password, secrets)
        for password, secrets in (
            (PASSWORD, SECRETS),
            (PASSWORD, [b"today", *SECRETS]),
            ("md5$x$new", SECRETS),
            (PASSWORD, [b"another"]),
        )
    ]

    assert found == [True, True, False, False]


@pytest.mark.parametrize("given_hash", [None, 7, "", "é", ["x"]])
def test_a_session_without_a_usable_hash_is_not_of_the_password(given_hash):
    assert not django.is_current_password({django.USER_HASH: given_hash}, PASSWORD, SECRETS)


@given(st.binary(max_size=300))
def test_no_bytes_make_django_readers_raise(value):
    found = (read(value), django.read_row_session(value, SECRETS))

    assert all(isinstance(each, Refusal) for each in found)


@given(st.binary(max_size=200))
def test_no_signed_payload_makes_the_django_reader_raise(payload):
    assert isinstance(read(signed(payload)), Refusal | dict)


@given(st.integers(0, len(COOKIE) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_session_cookie_is_accepted(at, change):
    changed = bytearray(COOKIE)
    changed[at] ^= change

    assert isinstance(read(bytes(changed)), Refusal)


def test_signatures_are_compared_in_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr(hmac, "compare_digest", lambda *pair: compared.append(pair) or False)

    read(COOKIE, [b"first", b"second"])

    assert [len(pair[0]) for pair in compared] == [43, 43]
