"""Decides whether a request is signed in, which means that it carries credentials or a session cookie.

Rule: if the table names a cookie (`shadow: {session: NAME}`), only this cookie counts. Otherwise a cookie
counts if its name looks like that of a session, or if a login has set it. Cookies for statistics, consent and
CSRF protection, and our own cookies, do not identify anybody.
"""

from __future__ import annotations

import re

from overgrow.routing.facts import Head, Headers
from overgrow.shadow.compare.cookies import Cookie, cookies_of
from overgrow.shadow.values.snapshot import ResponseSnapshot

MAX_LEARNED = 20
_OWN_COOKIE = re.compile(rb"overgrow_(?:id|override|admin)")
_SESSION_NAME = re.compile(
    rb"sess|auth|jwt|token|login|logged[_-]?in|remember|identity|(?:^|[._-])sid$", re.IGNORECASE
)
_FORGERY_TOKEN_NAME = re.compile(rb"csrf|xsrf|forgery", re.IGNORECASE)
_LOGIN_PATH = re.compile(
    rb"(?:^|[/_.-])(?:log-?_?in|sign-?_?in|sessions?|auth\w*|logon)(?:$|[/_.?-])", re.IGNORECASE
)


class SessionCookieNames:
    """The names of session cookies that one worker knows."""

    def __init__(self) -> None:
        self._learned: set[bytes] = set()

    def is_signed_in(self, headers: Headers, named: str | None = None) -> bool:
        """Return whether a request carries an Authorization header or a session cookie.

        If `named` is given, only the cookie of that name is a session cookie.
        """
        return any(
            name == b"authorization"
            or (name == b"cookie" and self._has_session_cookie(value, named))
            for name, value in headers
        )

    def _has_session_cookie(self, cookie_header: bytes, named: str | None) -> bool:
        pairs = (pair.partition(b"=") for pair in cookie_header.split(b";"))
        names = (name.strip() for name, _, value in pairs if value.strip())
        if named is not None:
            return named.encode() in names
        return any(name in self._learned or _is_session_cookie_name(name) for name in names)

    def learn_from_login(self, head: Head, status: int, headers: Headers) -> None:
        """Remember the cookies that the response to a login sets."""
        if not is_login_request(head) or status >= 400 or len(self._learned) >= MAX_LEARNED:
            return
        for cookies in cookies_of(ResponseSnapshot(status, tuple(headers))).values():
            self._learned |= {
                each.name.encode("latin-1") for each in cookies if _may_be_session_cookie(each)
            }


def is_login_request(head: Head) -> bool:
    """Return whether a request looks like a login: a POST to a path with a typical name."""
    return head.method == "POST" and _LOGIN_PATH.search(head.target.partition(b"?")[0]) is not None


def _may_be_session_cookie(cookie: Cookie) -> bool:
    """Return whether a cookie may be a session cookie: it is hidden from scripts, and it is not being deleted."""
    name = cookie.name.encode("latin-1")
    is_kept = cookie.value not in {"", "deleted"} and cookie.attributes.get("max-age") != "0"
    return is_kept and "httponly" in cookie.attributes and not _is_excluded_cookie_name(name)


def _is_session_cookie_name(name: bytes) -> bool:
    return _SESSION_NAME.search(name) is not None and not _is_excluded_cookie_name(name)


def _is_excluded_cookie_name(name: bytes) -> bool:
    return (
        not name
        or _OWN_COOKIE.fullmatch(name) is not None
        or _FORGERY_TOKEN_NAME.search(name) is not None
    )
