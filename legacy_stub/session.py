"""Sessions: a signed cookie, and the CSRF token that belongs to it. Pure.

The cookie carries its own state (visitor, user, cart) as JSON, then a dot and an HMAC-SHA256.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field

from legacy_stub.message import Request

COOKIE = "shop_session"


@dataclass(frozen=True, slots=True)
class Session:
    """A visitor; `user` after a login; `cart` maps the numbers of products to quantities."""

    visitor: str
    user: str | None = None
    cart: dict[str, int] = field(default_factory=dict)


def signature(secret: bytes, text: str) -> str:
    """Return the HMAC of a text in hexadecimal."""
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def encode_session(session: Session, secret: bytes) -> str:
    """Return the cookie's value for a session."""
    state = {"visitor": session.visitor, "user": session.user, "cart": session.cart}
    text = base64.urlsafe_b64encode(json.dumps(state, sort_keys=True).encode()).decode().rstrip("=")
    return f"{text}.{signature(secret, text)}"


def decode_session(value: str, secret: bytes) -> Session | None:
    """Return the session a cookie's value holds; None when the signature is not ours."""
    text, _, mark = value.rpartition(".")
    if not hmac.compare_digest(mark.encode(), signature(secret, text).encode()):
        return None
    state = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return Session(state["visitor"], state["user"], state["cart"])


def session_of(request: Request, secret: bytes) -> Session | None:
    """Return the session of the first of our cookies that is in order."""
    for pair in request.header("cookie").replace(",", ";").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE and (session := decode_session(value, secret)):
            return session
    return None


def cookie(session: Session, secret: bytes) -> tuple[str, str]:
    """Return the header that stores a session in the browser."""
    return (
        "Set-Cookie",
        f"{COOKIE}={encode_session(session, secret)}; Path=/; HttpOnly; SameSite=Lax",
    )


def csrf_token(session: Session, secret: bytes) -> str:
    """Return the token that the visitor's forms must send back."""
    return signature(secret, f"csrf:{session.visitor}")[:32]


def is_genuine(form: dict[str, str], session: Session | None, secret: bytes) -> bool:
    """Whether a form was sent from a page of this visitor."""
    if session is None:
        return False
    sent = form.get("csrf_token", "").encode()
    return hmac.compare_digest(sent, csrf_token(session, secret).encode())
