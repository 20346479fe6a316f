"""Who may use the admin listener.

A page on any web site can make its visitor's browser talk to this port. Three walls: Host must be a
name we know, or a site could point its own name at 127.0.0.1 (DNS rebinding); Origin must be ours
on whatever changes something; and the token, where one is set. Pure but for `signing_key`; time
comes in.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path

SESSION_COOKIE = "overgrow_admin"
SESSION_S = 12 * 3600


def is_known_host(host: str, names: Sequence[str]) -> bool:
    """Whether a Host header is an IP literal, localhost or one of the names; any port."""
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
    """Whether a request comes from a page of ours, or from no page at all (no Origin).

    The scheme is not compared: whatever ends TLS before us is not known here.
    """
    return origin is None or origin.partition("://")[2].lower() == host.lower()


def is_token(given: str, token: str) -> bool:
    """Whether somebody gave the token; takes equally long for any wrong one."""
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())


def bearer_of(authorization: str | None) -> str | None:
    """The token of an `Authorization: Bearer` header."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def session(token: str, key: bytes, expiry_s: int) -> str:
    """The cookie for the token: `v1.<unix expiry>.<signature>`; a new token ends it."""
    text = f"v1.{expiry_s}"
    digest = hashlib.sha256(token.encode()).hexdigest()
    return f"{text}.{hmac.new(key, f'admin.{text}.{digest}'.encode(), 'sha256').hexdigest()}"


def is_session(cookie: str, token: str, key: bytes, now_s: float) -> bool:
    """Whether a cookie is one that `session` made and that has not run out."""
    expiry = cookie.removeprefix("v1.").partition(".")[0]
    if not (expiry.isascii() and expiry.isdigit() and len(expiry) <= 12) or int(expiry) <= now_s:
        return False
    return hmac.compare_digest(
        cookie.encode(errors="replace"), session(token, key, int(expiry)).encode()
    )


def form_token(key: bytes, session_cookie: str) -> str:
    """What our own forms carry, so that no other page can post them (CSRF); as old as the session."""
    return hmac.new(key, f"form.{session_cookie}".encode(errors="replace"), "sha256").hexdigest()


def is_form_token(given: str, key: bytes, session_cookie: str) -> bool:
    """Whether a form is one of ours, made for the same session."""
    return hmac.compare_digest(
        given.encode(errors="replace"), form_token(key, session_cookie).encode()
    )


def signing_key(state: Path) -> bytes:
    """The key in `<state>/secret`, made (0600) by whichever worker needs it first.

    An empty file, as a power cut can leave it, is no key: anybody could sign with it.
    """
    path = state / "secret"
    with suppress(FileNotFoundError):
        if key := path.read_bytes():
            return key
        _drafted(path).replace(path)
        return path.read_bytes()
    draft = _drafted(path)
    with suppress(FileExistsError):  # another worker was first: its key counts
        os.link(draft, path)
    draft.unlink()
    return path.read_bytes()


def _drafted(path: Path) -> Path:
    """A new key in a file of its own, on disk."""
    draft = path.with_name(f"secret.{os.getpid()}.{secrets.token_hex(4)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_hex(32).encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        draft.unlink()
        raise
    return draft
