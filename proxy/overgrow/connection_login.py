"""Recognises logins that are valid for a whole connection: which headers carry such a login, and whose login it is.

Pure. NTLM and Negotiate (RFC 4559) authenticate a connection once. Every later request on that connection
counts as a request of the same user, without credentials, so that the connection must not serve anybody else.
Rule: in doubt, a header carries a login. A wrong guess costs a connection; a missed login would show a user the
data of another user.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from overgrow.http import TCHAR

_LOGIN_SCHEMES = (b"ntlm", b"negotiate", b"nego2", b"kerberos", b"credssp")
# Up to the closing quote, or to the end. It scans the text once, however many quotes and backslashes there are.
_QUOTED = re.compile(rb'"(?:[^"\\]++|\\.)*("|\\?\Z)', re.DOTALL)
# One of the schemes, at a place where a challenge or credentials may begin.
_SCHEME = re.compile(
    rb"(?:^|[\s,;])(?:" + b"|".join(_LOGIN_SCHEMES) + rb")(?!" + TCHAR.encode() + rb")"
)

_MAX_QUOTES = 200

# Headers of a response that challenge, authenticate the server, or say how long a login is valid.
LOGIN_RESPONSE_NAMES = frozenset(
    {
        b"www-authenticate",
        b"proxy-authenticate",
        b"authentication-info",
        b"proxy-authentication-info",
        b"persistent-auth",
        b"proxy-support",
    }
)
# These are always about the connection, whatever their value (IIS; RFC 4559 6).
_LOGIN_WHATEVER_VALUE = frozenset({b"persistent-auth", b"proxy-support"})
# Headers that reverse proxies add. With one of them, several users may share the client's connection.
_PROXY_NAMES = frozenset({b"x-forwarded-for", b"x-real-ip", b"forwarded"})


class AttachedLogin(Protocol):
    """A login that belongs to one client's connection and ends with it."""

    def end_connection_to_legacy(self) -> None:
        """End the login, because the client's connection has ended."""
        ...


class ClientConnection(Protocol):
    """A client's connection, as forwarding and the waiting queues see it."""

    attached_login: AttachedLogin | None  # stays after it has ended

    has_taken_response: bool  # it has received a whole response before this request

    @property
    def has_received_whole_body(self) -> bool:
        """Whether the body of the connection's request has arrived completely."""
        ...

    @property
    def rate_if_too_slow(self) -> float | None:
        """The client's rate in bytes per second if the rate is below the minimum, else None."""
        ...

    def end_slow_request(self) -> None:
        """End the request of this connection because others wait.

        Before the response's head, send 408; later, break the response off.
        """
        ...

    def close_after_response(self) -> None:
        """Close the connection after the current response. If there is no current response, close it now."""
        ...


def names_login(value: bytes) -> bool:
    """Whether a challenge or credentials use a scheme that authenticates the whole connection."""
    lowered = value.lower()
    if not any(word in lowered for word in _LOGIN_SCHEMES):
        return False
    if lowered.count(b'"') > _MAX_QUOTES:  # no challenge is; in doubt it is a login
        return True
    return _SCHEME.search(_QUOTED.sub(_hide_quoted, lowered)) is not None


def _hide_quoted(quoted: re.Match[bytes]) -> bytes:
    """Return a blank in place of a quoted string.

    If the quote is still open at the end, keep its text, so that it hides no scheme.
    """
    return b" " if quoted[1] == b'"' else b" " + quoted[0][1:]


def response_carries_login(pairs: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether one of these response headers belongs to a login that is valid for the connection."""
    for name, value in pairs:
        lowered = name.lower()
        if lowered in LOGIN_RESPONSE_NAMES and (
            lowered in _LOGIN_WHATEVER_VALUE or names_login(value)
        ):
            return True
    return False


def request_carries_login(pairs: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request carries credentials that log its connection in. Header names must be in lower case."""
    return any(name == b"authorization" and names_login(value) for name, value in pairs)


def comes_through_a_proxy(pairs: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request came through a reverse proxy. Header names must be in lower case."""
    return any(name in _PROXY_NAMES for name, _ in pairs)
