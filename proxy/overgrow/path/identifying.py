"""The Server for undecided requests: it identifies the user, decides, and asks the side that the decision names.

Band 2, beside the front door. Only requests of routes that may use migrated, and that carry a cookie or header of
`identity:`, come here; all others pay nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from overgrow.exchange import Inbound, Reply, Server
from overgrow.routing.facts import Head, Headers
from overgrow.routing.identity import Identity, Subject
from overgrow.routing.model import Decision


class IdentityResolver(Protocol):
    """What identifies the users of requests."""

    async def resolve(self, head: Head) -> Subject:
        """Return the user; None if nobody is signed in; Unavailable if that cannot be known now."""
        ...

    def touch(self, head: Head) -> None:
        """Renew the session of a request whose user is at work on migrated."""
        ...

    def note_response(self, head: Head, headers: Headers) -> None:
        """Note that a response with these headers was sent for a request."""
        ...


class IdentifyingServer:
    """A Server around all sides, for requests that are decided when their user is known."""

    def __init__(self, servers: Mapping[str, Server], resolver: IdentityResolver) -> None:
        self._servers = servers
        self._resolver = resolver

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Identify the user and answer the request as decided then; the reply carries that decision."""
        head = inbound.head
        decided = await decide_for_user(self._resolver, head, decision)
        reply = await self._servers[decided.side].serve(inbound, decided)
        reply.decision = reply.decision or decided
        self._resolver.note_response(head, reply.headers)
        return reply


async def decide_for_user(resolver: IdentityResolver, head: Head, decision: Decision) -> Decision:
    """Return the decision for an undecided request; renew the session of a user who goes to migrated."""
    if decision.resume is None:
        return decision
    decided = decision.resume(await resolver.resolve(head))
    if isinstance(decided.identity, Identity) and decided.side == "migrated":
        resolver.touch(head)
    return decided
