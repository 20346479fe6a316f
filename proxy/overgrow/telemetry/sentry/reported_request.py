"""The running request of the migrated side, as reports show it: its route, side, reason and first bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from overgrow.exchange import Inbound
from overgrow.http import declared_length
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision
from overgrow.telemetry.sentry.request_values import RequestValues, values_of_request

KEPT_BYTES = 64 * 1024  # of a body, so that a report can hide what stood in it
_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)


@dataclass(slots=True)
class ReportedRequest:
    """One request of the migrated side. The beginning of its body is remembered while it passes.

    `body_is_known` is False if the body does not pass through this object.
    """

    head: Head
    decision: Decision
    is_copy: bool = False
    body_is_known: bool = True
    is_sampled: bool = False  # whether it becomes a transaction
    _body: bytearray = field(default_factory=bytearray)

    @property
    def template(self) -> str:
        """The path of the route in the table; empty if the request is unrouted."""
        route = self.decision.route
        if route is None:
            return ""
        return route.path if route.path is not None else f"{(route.prefix or '').rstrip('/')}/*"

    @property
    def name(self) -> str:
        """The method and the template. Sentry uses this text as the name of the transaction."""
        method = self.head.method if self.head.method in _METHODS else "HTTP"
        return f"{method} {self.template}".rstrip()

    def tags(self) -> dict[str, str]:
        """Return the tags of a report."""
        decision = self.decision
        facts = {
            "overgrow.route": decision.route_name,
            "overgrow.side": decision.side,
            "overgrow.reason": decision.reason,
        }
        return facts | {"overgrow.shadow": "true"} if self.is_copy else facts

    def as_request(self) -> dict[str, str]:
        """Return the request for a report: the method, and the address with the template in place of the path."""
        head = self.head
        return {"method": head.method, "url": f"{head.scheme}://{head.host}{self.template}"}

    def values(self) -> RequestValues:
        """Return the values that a report must not repeat."""
        return values_of_request(
            self.head,
            self.template,
            bytes(self._body),
            body_is_whole=self.body_is_known or not _has_body(self.head),
            identity=self._user(),
        )

    def attach(self, event: Any, hint: dict[str, Any]) -> Any:
        """Put this request into the hint of an event; threads of the app inherit the scope that calls this."""
        hint[_HINT] = self
        return event

    def _user(self) -> tuple[Any, ...]:
        """Return what is known of the user; empty if nobody is signed in."""
        user = self.decision.identity
        return () if user is None else (user.id, user.name, user.roles, dict(user.claims))

    def remember_body(self, inbound: Inbound) -> None:
        """Remember the first KEPT_BYTES of a body while it is read."""
        if inbound.body is not None:
            inbound.body = self._remember_chunks(inbound.body)

    async def _remember_chunks(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            room = KEPT_BYTES - len(self._body)
            self._body += chunk[:room]
            self.body_is_known = self.body_is_known and len(chunk) <= room
            yield chunk


def _has_body(head: Head) -> bool:
    names = {name for name, _ in head.headers}
    return b"transfer-encoding" in names or declared_length(head.headers) > 0


CURRENT: ContextVar[ReportedRequest | None] = ContextVar("overgrow_reported_request", default=None)
# The last requests: what a thread without a request reports may quote one of them.
RECENT: deque[ReportedRequest] = deque(maxlen=32)
_HINT = "overgrow.request"


def note_call(head: Head, decision: Decision) -> None:
    """Note the request that this thread serves from now on; its body, if it has one, does not pass here."""
    request = ReportedRequest(head, decision, body_is_known=False)
    RECENT.append(request)
    CURRENT.set(request)


def request_of(hint: Mapping[str, Any]) -> ReportedRequest | None:
    """Return the request that an event belongs to; None if it belongs to none."""
    attached = hint.get(_HINT)
    return attached if isinstance(attached, ReportedRequest) else CURRENT.get()


def values_to_hide(request: ReportedRequest | None) -> RequestValues:
    """Return the values that a report of this request must not repeat. Without a request, those of the last ones."""
    if request is not None:
        return request.values()
    recent = [each.values() for each in tuple(RECENT)]
    values = frozenset[str]().union(*(each.values for each in recent))
    return RequestValues(values, all(each.are_all for each in recent))
