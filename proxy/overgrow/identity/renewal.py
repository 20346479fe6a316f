"""Learns from legacy's responses how legacy renews its session's cookie, so that the front door can do the same.

A browser drops a cookie at its expiry, whatever the store says. The front door must not invent attributes: a
cookie with another Domain or Path would not replace that of legacy. Therefore the attributes come from a
response in which legacy set the cookie for a user who had it already. If no such response was seen, legacy does
not renew its cookie, and the front door does not either.

Legacy may give some users a cookie that lasts, and others one that ends with their browser ("remember me"). If it was
seen to differ, a session is renewed only as legacy set this very cookie.
"""

from __future__ import annotations

import hashlib
from email.utils import formatdate, parsedate_to_datetime
from typing import NamedTuple

from overgrow.routing.facts import Head, cookie_values

MAX_ATTRIBUTES_BYTES = 1024
MAX_SESSIONS = 10_000
_SAME_WITHIN = 0.1  # of a lifetime: it may be counted from the login, or from this response


class CookieAttributes(NamedTuple):
    """The attributes of a cookie as legacy sends them, and its lifetime in seconds.

    It is None if it lasts until the browser ends.
    """

    kept: tuple[bytes, ...]
    lifetime_s: int | None

    def is_like(self, other: CookieAttributes) -> bool:
        """Return whether two cookies are for the same place and last about equally long."""
        mine, theirs = self.lifetime_s, other.lifetime_s
        if self.kept != other.kept or mine is None or theirs is None:
            return self == other
        return abs(mine - theirs) <= _SAME_WITHIN * max(mine, theirs)


class CookieRenewals:
    """The attributes by which legacy renews its session cookies, by the name of the cookie."""

    def __init__(self) -> None:
        self._attributes: dict[bytes, CookieAttributes] = {}  # of the last renewal
        self._set: dict[bytes, CookieAttributes] = {}  # of the last cookie, also at a login
        self._differing: set[bytes] = set()  # the names whose cookies are not all alike
        self._of_session: dict[bytes, CookieAttributes] = {}

    def learn(self, head: Head, line: bytes, now_s: float) -> None:
        """Note how the response to a request sets a cookie. `line` is the value of Set-Cookie."""
        pair, _, attributes = line.partition(b";")
        name, _, value = pair.partition(b"=")
        had = any(cookie_values(head.headers, name.strip()))
        if value.strip() and len(attributes) <= MAX_ATTRIBUTES_BYTES:
            found = parse_attributes(attributes, now_s)
            if found.lifetime_s is None or found.lifetime_s > 0:  # else it is being deleted
                self._note(name.strip(), value.strip(), found)
                if had:  # else it is a login
                    self._attributes[name.strip()] = found

    def _note(self, name: bytes, value: bytes, found: CookieAttributes) -> None:
        if not found.is_like(self._set.setdefault(name, found)):
            self._differing.add(name)
        self._set[name] = found
        self._keep(name, value, found)

    def _keep(self, name: bytes, value: bytes, found: CookieAttributes) -> None:
        if len(self._of_session) >= MAX_SESSIONS:
            self._of_session.clear()
        self._of_session[_digest(name, value)] = found

    def line_for(
        self, name: bytes, value: bytes, now_s: float, *, new: bytes | None
    ) -> bytes | None:
        """Return the value of Set-Cookie that renews the cookie of a request; `new` is its new value, if it changes.

        Return None if legacy was never seen to renew it. None also if nothing needs renewal: the value is the same,
        and the cookie lasts until the browser ends.
        """
        if name not in self._attributes:
            return None
        known = self._of_session.get(_digest(name, value))
        if known is None and name not in self._differing:
            known = self._attributes[name]
        if known is None or (known.lifetime_s is None and new is None):
            return None
        if new is not None:
            self._keep(name, new, known)
        parts = [name + b"=" + (new or value), *known.kept]
        if known.lifetime_s is not None:
            parts.append(b"Expires=" + formatdate(now_s + known.lifetime_s, usegmt=True).encode())
            parts.append(b"Max-Age=%d" % known.lifetime_s)
        return b"; ".join(parts)


def _digest(name: bytes, value: bytes) -> bytes:
    return hashlib.sha256(name + b"=" + value).digest()


def parse_attributes(text: bytes, now_s: float) -> CookieAttributes:
    """Return the attributes of a Set-Cookie line. Max-Age has precedence over Expires (RFC 6265 5.3)."""
    kept, by_date_s, by_age_s = [], None, None
    for attribute in text.split(b";"):
        name, _, value = attribute.strip().partition(b"=")
        match name.lower().strip():
            case b"max-age":
                by_age_s = _number(value)
            case b"expires":
                by_date_s = _seconds_until(value, now_s)
            case b"":
                pass
            case _:
                kept.append(attribute.strip())
    return CookieAttributes(tuple(kept), by_date_s if by_age_s is None else by_age_s)


def _number(text: bytes) -> int | None:
    digits = text.strip()
    return int(digits) if digits.removeprefix(b"-").isdigit() and len(digits) < 12 else None


def _seconds_until(date: bytes, now_s: float) -> int | None:
    try:
        return round(parsedate_to_datetime(date.decode("latin-1").strip()).timestamp() - now_s)
    except (ValueError, OverflowError, IndexError):
        return None
