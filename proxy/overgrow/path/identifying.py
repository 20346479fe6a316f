"""The Server for undecided requests: it identifies the user, decides, and asks the side that the decision names.

Band 2, beside the front door. A request comes here only if its route may use migrated and it has a cookie or
header of `identity:`. All other requests have no extra cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from overgrow.exchange import Inbound, Reply, Server
from overgrow.routing.facts import Head, Headers
from overgrow.routing.identity import Subject
from overgrow.routing.model import Decision


class IdentityResolver(Protocol):
    """An object that identifies the users of requests."""

    async def resolve(self, head: Head) -> Subject:
        """Return the user; None if nobody is signed in; Unavailable if that cannot be known now."""
        ...

    async def touch(self, head: Head) -> Headers:
        """Renew the session of a request that migrated serves, and return the cookies to send with the response."""
        ...

    def note_cookie(self, head: Head, line: bytes) -> None:
        """Note that a response to a request sets a cookie; `line` is the value of Set-Cookie."""
        ...


class IdentifyingServer:
    """A Server around all sides, for requests that are decided when their user is known."""

    def __init__(self, servers: Mapping[str, Server], resolver: IdentityResolver) -> None:
        self._servers = servers
        self._resolver = resolver

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Identify the user, decide, and answer the request. The reply carries the decision."""
        head = inbound.head
        decided = await decide_for_user(self._resolver, head, decision)
        touching = None
        if decided.identity is not None and decided.side == "migrated":
            # Beside the request, which need not wait for a store that is slow to write.
            touching = asyncio.ensure_future(self._resolver.touch(head))
        reply = await self._servers[decided.side].serve(inbound, decided)
        reply.decision = reply.decision or decided
        if reply.decision.side == "migrated":
            self._note_cookies(head, reply.headers)
        if touching is not None and (cookies := await touching):
            reply.headers = [*reply.headers, *cookies]
        return reply

    def _note_cookies(self, head: Head, headers: Headers) -> None:
        """Note the cookies that migrated sets. Those of legacy are noted where its responses arrive."""
        for name, value in headers:
            if name.lower() == b"set-cookie":
                self._resolver.note_cookie(head, value)


async def decide_for_user(resolver: IdentityResolver, head: Head, decision: Decision) -> Decision:
    """Return the decision for an undecided request."""
    if decision.resume is None:
        return decision
    return decision.resume(await resolver.resolve(head))
