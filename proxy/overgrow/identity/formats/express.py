"""Reads the cookie and the stored session of express-session, with the user in the form of passport. Pure.

The cookie is the URL-encoded `s:ID.SIGNATURE`, with the base64 of an HMAC-SHA256 without `=`; a value without `s:` is
not signed and is refused, as express-session does. Seen on express-session 1.19 and connect-redis 10.

A store's own deadline (the TTL in Redis, the column `expire`) says how long a session lives. `cookie.expires`
in the JSON does not say this: it is updated when the session is written, but not when the session is only
touched.
"""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Sequence

from overgrow.identity.formats.signed_text import (
    MAX_COOKIE_BYTES,
    Session,
    hmac_of,
    is_signed_by,
    read_json_object,
    value_at,
)
from overgrow.identity.formats.user_fields import MAX_TEXT
from overgrow.routing.identity import Refusal

USER_ID = "passport.user"
DAY_S = 86_400.0  # what the stores take when the cookie has no maxAge


def read_session_id(value: bytes, secrets: Sequence[bytes]) -> str | Refusal:
    """The id of the session that a cookie names."""
    if len(value) > MAX_COOKIE_BYTES:
        return Refusal("too-large")
    text = urllib.parse.unquote_to_bytes(value)
    signed, dot, signature = text.removeprefix(b"s:").rpartition(b".")
    if not (text.startswith(b"s:") and dot):
        return Refusal("malformed")
    if not is_signed_by(signature, secrets, lambda secret: _signature(signed, secret)):
        return Refusal("bad-signature")
    try:
        session_id = signed.decode()
    except UnicodeDecodeError:
        return Refusal("malformed")
    is_usable = 0 < len(session_id) <= MAX_TEXT and session_id.isprintable()
    return session_id if is_usable else Refusal("malformed")


def read_stored_session(data: bytes) -> Session | Refusal:
    """The session as the stores keep it: a JSON object in which `cookie` is an object too."""
    session = read_json_object(data)
    if isinstance(session, Refusal):
        return session
    return session if isinstance(session.get("cookie"), dict) else Refusal("malformed")


def lifetime_s(session: Session, default_s: float = DAY_S) -> float:
    """How long the owner lets the session live from its last use: the cookie's maxAge, or what the store takes."""
    milliseconds = value_at(session, ("cookie", "originalMaxAge"))
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return default_s
    return milliseconds / 1000 if 0 < milliseconds < 1e15 else default_s


def _signature(signed: bytes, secret: bytes) -> bytes:
    return base64.b64encode(hmac_of(secret, signed)).rstrip(b"=")
