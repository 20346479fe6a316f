"""Who counts as signed in: a request with credentials, or with a session cookie that matters.

Rule: a cookie that a table names (`shadow: {session: NAME}`) counts alone. Else those count whose name reads
like a session's, and those that were seen to be set by a login. Cookies of statistics, of consent, against
forgery and our own say nothing of who asks.
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


class Sessions:
    """The names of session cookies, as far as they are known. One for each worker."""

    def __init__(self) -> None:
        self._learned: set[bytes] = set()

    def is_signed_in(self, headers: Headers, named: str | None = None) -> bool:
        """Whether a request carries credentials; `named` is the only cookie that is some."""
        return any(
            name == b"authorization" or (name == b"cookie" and self._has_session(value, named))
            for name, value in headers
        )

    def _has_session(self, cookie_header: bytes, named: str | None) -> bool:
        pairs = (pair.partition(b"=") for pair in cookie_header.split(b";"))
        names = (name.strip() for name, _, value in pairs if value.strip())
        if named is not None:
            return named.encode() in names
        return any(name in self._learned or _is_session_name(name) for name in names)

    def learn(self, head: Head, status: int, headers: Headers) -> None:
        """Take note of the cookies that an answer to a login sets."""
        if not is_login(head) or status >= 400 or len(self._learned) >= MAX_LEARNED:
            return
        for cookies in cookies_of(ResponseSnapshot(status, tuple(headers))).values():
            self._learned |= {
                each.name.encode("latin-1") for each in cookies if _may_be_session_cookie(each)
            }


def is_login(head: Head) -> bool:
    """Whether a request looks like a login: a POST to a path that says so."""
    return head.method == "POST" and _LOGIN_PATH.search(head.target.partition(b"?")[0]) is not None


def _may_be_session_cookie(cookie: Cookie) -> bool:
    """Whether a cookie may be a session: no script may read it, and it is not being deleted."""
    name = cookie.name.encode("latin-1")
    is_kept = cookie.value not in {"", "deleted"} and cookie.attributes.get("max-age") != "0"
    return is_kept and "httponly" in cookie.attributes and not _is_no_session_name(name)


def _is_session_name(name: bytes) -> bool:
    return _SESSION_NAME.search(name) is not None and not _is_no_session_name(name)


def _is_no_session_name(name: bytes) -> bool:
    return (
        not name
        or _OWN_COOKIE.fullmatch(name) is not None
        or _FORGERY_TOKEN_NAME.search(name) is not None
    )
