"""Decides which requests are copied, and builds the copies.

Pure. A copy is the user's own request with a mark, and without headers that ask for less than the whole
response. User, address and host are exactly those of the user's request.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from overgrow.connection_login import request_carries_login
from overgrow.evidence import Served, Shape
from overgrow.exchange import Inbound
from overgrow.http import SAFE_METHODS, SHADOW_MARK
from overgrow.routing.facts import Head, Headers
from overgrow.routing.model import Decision, Route
from overgrow.shadow.redact.redact import redact_query_keys
from overgrow.shadow.sessions import SessionCookieNames
from overgrow.shadow.values.snapshot import ResponseSnapshot, drop_conditions_and_ranges

MARKER = (SHADOW_MARK, b"1")
# Killed, gone, ambiguous, refused and default requests have no other side to compare with; an open breaker
# says that migrated fails; an override belongs to a tester, whose requests prove nothing about users'.
SHADOWED_REASONS = frozenset({"target", "canary"})
# Statuses of a response to a condition or a range; any other status comes with the whole response.
PARTIAL_STATUS = frozenset({206, 304, 416})


@dataclass(frozen=True, slots=True)
class Copy:
    """One request to send to the other side, with the response that the user got.

    `head` is the head of the user's request; build_copy_head makes the head of the copy from it. `served` is
    the redacted record of the user's request and response. `response` is the response that the user got. If it
    was incomplete, it is None, and its side must be asked again. `since_s` is the time, on the stopwatch, at
    which the copy began to wait.
    """

    head: Head
    body: bytes | None
    decision: Decision
    route: Route
    served: Served
    response: ResponseSnapshot | None
    since_s: float
    is_asked_twice: bool  # legacy is asked twice
    held_bytes: int
    trace: object = None  # of the request that is copied; CopyTraces knows what it is


def may_be_copied(inbound: Inbound, decision: Decision, route: Route) -> bool:
    """Return whether a request of a route with a shadow may be copied."""
    if decision.reason not in SHADOWED_REASONS or not route.reversible or not route.servable:
        return False
    if route.asgi:  # copies go to migrated's Flask app, which does not serve this path
        return False
    if inbound.head.upgrade or inbound.is_copy or _has_connection_login(inbound):
        return False
    return route.shadow_unsafe or inbound.head.method in SAFE_METHODS


def _has_connection_login(inbound: Inbound) -> bool:
    """Return whether a login of the connection identifies the user. A copy on another connection would be anonymous.

    If credentials of such a login are sent again, they count as a replay or as a failed attempt.
    """
    client = inbound.client_connection
    is_bound = client is not None and client.attached_login is not None
    return is_bound or request_carries_login(inbound.head.headers)


def build_copy_head(head: Head) -> Head:
    """Return the head of the copy: it has the mark, but no conditions, ranges or Expect.

    Its Accept-Encoding lists only content codings that the comparison can decode.
    """
    headers = drop_conditions_and_ranges(head.headers)
    kept = [_limit_accepted_codings(*pair) for pair in headers if pair[0].lower() != b"expect"]
    return head._replace(headers=[*kept, MARKER])


# The content codings that a comparison can decode.
_READABLE = frozenset({b"gzip", b"x-gzip", b"deflate", b"identity"})


def _limit_accepted_codings(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Return the header line without content codings that cannot be decoded."""
    if name.lower() != b"accept-encoding":
        return name, value
    asked = [each.strip() for each in value.split(b",") if each.strip()]
    kept = [each for each in asked if each.partition(b";")[0].strip().lower() in _READABLE]
    return (name, value) if len(kept) == len(asked) else (name, b", ".join(kept) or b"identity")


def has_undecodable_coding(headers: Headers) -> bool:
    """Return whether a response is in a coding that cannot be decoded, such as Brotli."""
    codings = (
        each.strip().lower()
        for name, value in headers
        if name.lower() == b"content-encoding"
        for each in value.split(b",")
    )
    return any(each and each not in _READABLE for each in codings)


def url_of(head: Head) -> str:
    """Return the URL that the user asked for."""
    path = head.target.partition(b"?")[0].decode("latin-1")
    return f"{head.scheme}://{head.host}{path}" if head.host and path.startswith("/") else ""


def shape_of_request(
    head: Head, decision: Decision, sessions: SessionCookieNames, status: int = 0
) -> Shape:
    """Return the redacted shape of a request. `status` is that of the user's response; 0 if unknown."""
    query = head.target.partition(b"?")[2]
    keys = _redacted_query_keys(query.decode("latin-1")) if query else ()
    route = decision.route
    template = "" if route is None else route.path or route.prefix or ""
    return Shape(head.method, template, keys, status, _is_signed_in(head, decision, sessions))


def _is_signed_in(head: Head, decision: Decision, sessions: SessionCookieNames) -> bool:
    """Return whether somebody is signed in: as `identity` of the table says, else by the looks of the request."""
    route = decision.route
    if route is None or route.asks_identity:
        return decision.identity is not None
    signed_in = sessions.is_signed_in(head.headers, route.shadow_session)
    if not signed_in and head.peer_trusted and route.shadow_session is None:
        signed_in = _has_identity_header(head.headers)
    return signed_in


# In these a trusted proxy names the user whom its single sign-on let in.
_IDENTITY_HEADERS = frozenset(
    {
        b"x-forwarded-user",
        b"x-forwarded-email",
        b"x-forwarded-preferred-username",
        b"x-forwarded-access-token",
        b"x-forwarded-client-cert",
    }
)


def _has_identity_header(headers: Headers) -> bool:
    return any(name in _IDENTITY_HEADERS and value for name, value in headers)


def _redacted_query_keys(query: str) -> tuple[str, ...]:
    """Return the redacted parameter names of a query. Short queries are cached, because users repeat the same few."""
    names = "&".join([part.partition("=")[0] for part in query.split("&")])
    return _cached_query_keys(names) if len(names) <= 200 else redact_query_keys(names)


@lru_cache(maxsize=512)
def _cached_query_keys(names: str) -> tuple[str, ...]:
    return redact_query_keys(names)
