"""Rules of access to the admin listener. Pure.

A page of any web site can make its visitor's browser send requests to this port. Three checks stop such
requests. Host must be a known name, because a site could point its own name at 127.0.0.1 (DNS rebinding). Every
change must have the Origin of this listener. If a token is set, the request must have the right token.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address


def is_known_host(host: str, names: Sequence[str]) -> bool:
    """Whether a Host header names an IP address, localhost or one of `names`; any port is accepted."""
    if host.startswith("["):
        literal, bracket, port = host[1:].partition("]")
        return bool(bracket) and _is_port(port.removeprefix(":")) and _is_ip(literal, version=6)
    name, _, port = host.lower().partition(":")
    return _is_port(port) and (name == "localhost" or name in names or _is_ip(name, version=4))


def _is_port(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit())


def _is_ip(text: str, version: int) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return address.version == version and not (
        isinstance(address, IPv6Address) and address.scope_id is not None
    )


def is_own_origin(origin: str | None, host: str) -> bool:
    """Whether a request comes from a page of this listener, or from no page at all (no Origin).

    The scheme is not compared, since TLS may end at a proxy before this listener.
    """
    return origin is None or origin.partition("://")[2].lower() == host.lower()


def is_right_token(given: str, token: str) -> bool:
    """Whether the given token is right. The comparison takes the same time for every wrong token."""
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())


def bearer_of(authorization: str | None) -> str | None:
    """Return the token of an `Authorization: Bearer` header."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
