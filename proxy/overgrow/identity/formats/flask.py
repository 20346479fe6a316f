"""Reads Flask's session cookie, `payload.time.signature`, with the user in the form of Flask-Login. Pure.

The key is the HMAC-SHA1 of the salt under SECRET_KEY. Like in Flask, a cookie older than
PERMANENT_SESSION_LIFETIME is refused, even if the session is not permanent. Seen on Flask 3.1 and Flask-Login
0.6.3.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from overgrow.identity.formats.signed_text import (
    MAX_COOKIE_BYTES,
    Session,
    decode_base64url,
    encode_base64url,
    hmac_of,
    is_signed_by,
    read_payload,
)
from overgrow.routing.identity import Refusal

USER_ID = "_user_id"
_SALT = b"cookie-session"
_LONGEST_TIME_BYTES = 8


def read_session(
    value: bytes, secrets: Sequence[bytes], now_s: float, lifetime_s: float
) -> Session | Refusal:
    """The session in a cookie, with values as Flask tagged them."""
    if len(value) > MAX_COOKIE_BYTES:
        return Refusal("too-large")
    timed, dot, signature = value.rpartition(b".")
    payload, second_dot, time = timed.rpartition(b".")
    if not (dot and second_dot):
        return Refusal("malformed")
    if not is_signed_by(signature, secrets, lambda secret: _signature(timed, secret)):
        return Refusal("bad-signature")
    signed_at = decode_base64url(time)
    if signed_at is None or len(signed_at) > _LONGEST_TIME_BYTES:
        return Refusal("malformed")
    age_s = int(now_s) - int.from_bytes(signed_at)
    if not 0 <= age_s <= int(lifetime_s):
        return Refusal("expired")
    return read_payload(payload)


def renew(value: bytes, secret: bytes, now_s: float) -> bytes:
    """The same session with a new time: what Flask sends for a permanent session at each request."""
    payload = value.rpartition(b".")[0].rpartition(b".")[0]
    timed = payload + b"." + encode_base64url(_time_bytes(int(now_s)))
    return timed + b"." + _signature(timed, secret)


def untag(value: object) -> object:
    """A value without the tag by which Flask marks types that JSON lacks.

    Only types that an id or a role may have are allowed.
    """
    if isinstance(value, list):
        return [untag(each) for each in value]
    if not isinstance(value, dict) or len(value) != 1:
        return value
    tag, content = next(iter(value.items()))
    if tag == " u" and isinstance(content, str):
        return _uuid_text(content)
    if tag in {" m", " d"}:
        return content
    if tag == " t" and isinstance(content, list):
        return [untag(each) for each in content]
    return value


def _uuid_text(digits: str) -> str | None:
    try:
        return str(uuid.UUID(digits))
    except ValueError:
        return None


def _signature(timed: bytes, secret: bytes) -> bytes:
    key = hmac_of(secret, _SALT, "sha1")
    return encode_base64url(hmac_of(key, timed, "sha1"))


def _time_bytes(seconds: int) -> bytes:
    return seconds.to_bytes((seconds.bit_length() + 7) // 8)
