"""Django's signed values: sessions in cookies, sessions in the database, plain signed cookies. Pure.

A signed value is `payload:time:signature`; the time is in base 62, and the key is the SHA-256 of a salt and
SECRET_KEY. Seen on Django 5.2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from overgrow.identity.formats.signed_text import (
    MAX_COOKIE_BYTES,
    MAX_SESSION_BYTES,
    Session,
    encode_base64url,
    hmac_of,
    is_signed_by,
    read_payload,
    salted_key,
)
from overgrow.routing.identity import Refusal

COOKIE_SALT = b"django.contrib.sessions.backends.signed_cookies"
ROW_SALT = b"django.contrib.sessions.SessionStore"
USER_ID = "_auth_user_id"
USER_HASH = "_auth_user_hash"
_HASH_SALT = b"django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash"
_COOKIE_SECRET = b"django.http.cookies"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TIME = re.compile(rb"[0-9A-Za-z]{1,11}")
_ESCAPE = re.compile(rb"\\(?:([0-3][0-7][0-7])|(.))", re.DOTALL)
_SESSION_KEY = re.compile(r"[A-Za-z0-9]{8,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Signed:
    payload: bytes
    signed_at_s: int


def read_cookie_session(
    value: bytes, secrets: Sequence[bytes], now_s: float, lifetime_s: float
) -> Session | Refusal:
    """The session in a cookie of the engine `signed_cookies`, not older than SESSION_COOKIE_AGE."""
    if len(value) > MAX_COOKIE_BYTES:
        return Refusal("too-large")
    signed = _unsign(value, COOKIE_SALT, secrets)
    if isinstance(signed, Refusal):
        return signed
    if now_s - signed.signed_at_s > lifetime_s:
        return Refusal("expired")
    return read_payload(signed.payload)


def read_row_session(data: bytes, secrets: Sequence[bytes]) -> Session | Refusal:
    """The session in the column `session_data`. The column `expire_date` says how long it lives."""
    if len(data) > MAX_SESSION_BYTES:
        return Refusal("too-large")
    signed = _unsign(data, ROW_SALT, secrets)
    return signed if isinstance(signed, Refusal) else read_payload(signed.payload)


def read_signed_cookie(
    value: bytes, name: bytes, secrets: Sequence[bytes], now_s: float, lifetime_s: float
) -> str | Refusal:
    """The text of a cookie that `set_signed_cookie(name, text)` made, with the salt of today or of before 5.2.19."""
    if len(value) > MAX_COOKIE_BYTES:
        return Refusal("too-large")
    keys = [_COOKIE_SECRET + secret for secret in secrets]
    signed = _unsign(value, b"django.http.cookies.v2:0:" + name, keys)
    if signed == Refusal("bad-signature"):
        signed = _unsign(value, name, keys)
    if isinstance(signed, Refusal):
        return signed
    if now_s - signed.signed_at_s > lifetime_s:
        return Refusal("expired")
    try:
        return signed.payload.decode()
    except UnicodeDecodeError:
        return Refusal("malformed")


def is_current_password(session: Session, password: str, secrets: Sequence[bytes]) -> bool:
    """Whether the session began with the present password in the column `password`: a change ends all sessions."""
    given = session.get(USER_HASH)
    if not isinstance(given, str) or not given.isascii():
        return False
    return is_signed_by(given.encode(), secrets, lambda secret: _password_hash(password, secret))


def unquote(value: bytes) -> bytes:
    """A cookie as Django reads it: it quotes values with characters such as `@` when it sends them."""
    if len(value) < 2 or not (value.startswith(b'"') and value.endswith(b'"')):
        return value
    return _ESCAPE.sub(_unescape, value[1:-1])


def _unescape(found: re.Match[bytes]) -> bytes:
    octal = found[1]
    return chr(int(octal, 8)).encode() if octal else found[2]


def is_session_key(text: str) -> bool:
    """Whether a text may be a key of the table django_session."""
    return _SESSION_KEY.fullmatch(text) is not None


def sign(payload: bytes, salt: bytes, secret: bytes, now_s: float) -> bytes:
    """A signed value with a new time. This renews a cookie of the engine `signed_cookies`."""
    timed = payload + b":" + _base62(int(now_s))
    return timed + b":" + _signature(timed, salt, secret)


def _unsign(value: bytes, salt: bytes, secrets: Sequence[bytes]) -> _Signed | Refusal:
    timed, colon, signature = value.rpartition(b":")
    payload, second_colon, time = timed.rpartition(b":")
    if not (colon and second_colon and _TIME.fullmatch(time)):
        return Refusal("malformed")
    if not is_signed_by(signature, secrets, lambda secret: _signature(timed, salt, secret)):
        return Refusal("bad-signature")
    return _Signed(payload, _number(time))


def _signature(timed: bytes, salt: bytes, secret: bytes) -> bytes:
    return encode_base64url(hmac_of(salted_key(salt + b"signer", secret), timed))


def _password_hash(password: str, secret: bytes) -> bytes:
    key = salted_key(_HASH_SALT, secret)
    return hmac_of(key, password.encode("utf-8", "surrogatepass")).hex().encode()


def _number(base62: bytes) -> int:
    number = 0
    for digit in base62.decode("ascii"):
        number = number * 62 + _DIGITS.index(digit)
    return number


def _base62(number: int) -> bytes:
    digits = ""
    while number > 0:
        number, rest = divmod(number, 62)
        digits = _DIGITS[rest] + digits
    return (digits or "0").encode("ascii")
