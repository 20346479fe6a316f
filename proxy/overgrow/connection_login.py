"""Logins that hold for a connection instead of a request: which headers carry one, and whose it is.

Pure. NTLM and Negotiate (RFC 4559) prove once who is at the other end; whatever comes on that
connection afterwards is taken for the same user, without credentials. So such a connection may serve
nobody else. Rule: in doubt a header carries a login. One taken wrongly costs a connection, one missed
shows a user what is another's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from overgrow.http import TCHAR

_LOGIN_SCHEMES = (b"ntlm", b"negotiate", b"nego2", b"kerberos", b"credssp")
# To the closing quote, or to the end: looked through once, however many quotes and backslashes there are.
_QUOTED = re.compile(rb'"(?:[^"\\]++|\\.)*("|\\?\Z)', re.DOTALL)
# One of the schemes where a challenge or credentials may begin: in a list, behind others, or alone.
_SCHEME = re.compile(
    rb"(?:^|[\s,;])(?:" + b"|".join(_LOGIN_SCHEMES) + rb")(?!" + TCHAR.encode() + rb")"
)

_MAX_QUOTES = 200

# Headers of an answer that challenge, prove the server, or tell how long a login holds.
ANSWER_NAMES = frozenset(
    {
        b"www-authenticate",
        b"proxy-authenticate",
        b"authentication-info",
        b"proxy-authentication-info",
        b"persistent-auth",
        b"proxy-support",
    }
)
# Said of connections alone, whatever the value (IIS; RFC 4559 6).
_LOGIN_WHATEVER_VALUE = frozenset({b"persistent-auth", b"proxy-support"})
# What reverse proxies add: where one stands, users may share the client's connection.
_PROXY_NAMES = frozenset({b"x-forwarded-for", b"x-real-ip", b"forwarded"})


class AttachedLogin(Protocol):
    """What belongs to one client's connection and ends with it."""

    def end(self) -> None:
        """End it: the client's connection is over."""
        ...


class ClientConnection(Protocol):
    """A client's connection, to which something may belong that must serve nobody else."""

    attached_login: AttachedLogin | None  # stays when it has ended: then it has been there

    has_taken_answer: bool  # the whole of one, before this request

    @property
    def has_whole_body(self) -> bool:
        """Whether all of its request's body has come."""
        ...

    @property
    def slow_rate(self) -> float | None:
        """The pace of a client that is slower than it may be, in bytes a second; else None."""
        ...

    def end_slow_request(self) -> None:
        """End its request because others wait: 408 before the answer's head, else a broken one."""
        ...

    def close_after_response(self) -> None:
        """Close it behind the answer under way, or now if there is none."""
        ...


def names_login(value: bytes) -> bool:
    """Whether a challenge, or credentials, are of a scheme that logs the connection in."""
    lowered = value.lower()
    if not any(word in lowered for word in _LOGIN_SCHEMES):
        return False
    if lowered.count(b'"') > _MAX_QUOTES:  # no challenge is; in doubt it is a login
        return True
    return _SCHEME.search(_QUOTED.sub(_hide_quoted, lowered)) is not None


def _hide_quoted(quoted: re.Match[bytes]) -> bytes:
    """Nothing in the place of a quoted string; one that is never closed hides nothing."""
    return b" " if quoted[1] == b'"' else b" " + quoted[0][1:]


def answer_carries_login(pairs: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether one of these headers of an answer speaks of a login of its connection."""
    for name, value in pairs:
        lowered = name.lower()
        if lowered in ANSWER_NAMES and (lowered in _LOGIN_WHATEVER_VALUE or names_login(value)):
            return True
    return False


def request_carries_login(pairs: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request, names in lower case, has credentials that log its connection in."""
    return any(name == b"authorization" and names_login(value) for name, value in pairs)


def comes_through_a_proxy(pairs: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request, names in lower case, says that a reverse proxy passed it on."""
    return any(name in _PROXY_NAMES for name, _ in pairs)
