"""Makes and checks overrides for testers: signed tokens that send their bearer's requests to one side for a while.

Pure: time and key come in as facts. The token is `v1.<side>.<route or *>.<unix expiry>.<hex HMAC>`;
route names may contain dots, so it is parsed from both ends. Without a secret there are no overrides.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator

from overgrow.routing.facts import Facts, Head, cookie_values, header_values
from overgrow.routing.model import Route, Side

HEADER = b"x-overgrow-override"
COOKIE = b"overgrow_override"
MAX_LIFETIME_S = 7 * 24 * 3600
LEEWAY_S = 60  # either way: the clocks of signer and checker differ

_TOKEN = re.compile(
    rb"(v1\.(?P<side>legacy|migrated)\.(?P<route>\*|[a-z0-9][a-z0-9._\-]*)\.(?P<expiry_s>[0-9]{1,12}))"
    rb"\.(?P<mac>[0-9a-f]{64})"
)


def create_override(side: Side, route: str, expiry_s: int, secret: bytes) -> str:
    """Return a token that sends its bearer's requests for `route` (`*` for all) to `side` until `expiry_s`."""
    text = f"v1.{side}.{route}.{expiry_s}"
    return f"{text}.{_mac(text.encode(), secret)}"


def override_side(head: Head, facts: Facts, route: Route) -> Side | None:
    """Return the side that the first valid token for this route names.

    Tokens in the header come before tokens in cookies.
    """
    if not facts.secret:
        return None
    for token in _tokens_in(head):
        side = _side_of_token(token, facts.secret, facts.now_s, route.name.encode())
        if side is not None:
            return side
    return None


def _tokens_in(head: Head) -> Iterator[bytes]:
    """Yield the tokens of a request: first those in the header, then those in cookies."""
    yield from header_values(head.headers, HEADER)
    yield from cookie_values(head.headers, COOKIE)


def _side_of_token(token: bytes, secret: bytes, now_s: float, route: bytes) -> Side | None:
    """Return the side that a token names.

    Return None if the token is forged, expired, valid for too long, or for another route.
    """
    parts = _TOKEN.fullmatch(token)
    if parts is None or parts["route"] not in (b"*", route):
        return None
    if not now_s - LEEWAY_S < int(parts["expiry_s"]) <= now_s + MAX_LIFETIME_S + LEEWAY_S:
        return None
    if not hmac.compare_digest(_mac(parts[1], secret), parts["mac"].decode()):
        return None
    return "legacy" if parts["side"] == b"legacy" else "migrated"


def _mac(text: bytes, secret: bytes) -> str:
    """Return the hex HMAC-SHA256 of a token's text."""
    return hmac.digest(secret, text, "sha256").hex()
