"""A Server around both sides: if migrated fails, legacy answers.

Rule: the fallback is decided before the client has received a byte. A request is sent to both sides only
if that does no harm. Its method must be safe (or it has an Idempotency-Key, and the route allows that), its
whole body can be sent again, and the app has not committed.

This module must not know how the two sides work, and it makes no response of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from overgrow.exchange import FellBack, Inbound, Reply, Server
from overgrow.resilience.breaker_server import FAILED_STATUS
from overgrow.resilience.commit import CommitPoint
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision

# TRACE is safe too, but it asks about the way of the request, which differs between the sides.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FAILED_CODES = frozenset({"migrated-crash", "migrated-timeout", "local-busy"})
# The WSGI server takes a thread once this much of a body, or all of it, has arrived. A body that fits is
# read before the app runs, so it can be repeated without waiting for the client again.
KEPT_BYTES = 64 * 1024


class Fallback:
    """A Server for the migrated side. If migrated fails, it returns legacy's response.

    It applies if the route has `fallback`, and target or canary chose migrated. It does not apply to overrides,
    because a tester who asks for migrated wants to see migrated's failures. It does not apply to irreversible
    routes, because legacy's data are out of date there. `Reply.fallback` says what migrated returned, and
    `Reply.decision` says which side answered instead.
    """

    def __init__(self, migrated: Server, legacy: Server, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._migrated = migrated
        self._legacy = legacy
        self._kept_bytes = kept_bytes

    # Map 9 (docs/architecture.md#a-request-by-numbers)
    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Ask migrated; if it fails and the request may be repeated, ask legacy."""
        if not may_fall_back(inbound.head, decision):
            return await self._migrated.serve(inbound, decision)
        commit = CommitPoint()
        kept = ReplayableBody(inbound.body, self._kept_bytes) if inbound.body is not None else None
        first = _copy_for_side(inbound, kept.chunks() if kept else None, commit)
        reply = await self._migrated.serve(first, decision)
        code = failure_code_of(reply)
        is_repeatable = kept is None or kept.is_repeatable
        if code is None or not is_repeatable or not commit.yield_to_legacy():
            return reply
        fell = FellBack(code, reply.status, reply.failure.detail if reply.failure else "")
        await reply.close()
        second = _copy_for_side(inbound, kept.replay() if kept else None)
        return await self._serve_legacy(second, decision, fell)

    async def _serve_legacy(self, inbound: Inbound, decision: Decision, fell: FellBack) -> Reply:
        """Return legacy's response, good or bad. Note on the Reply what migrated returned."""
        turned = decision._replace(side="legacy", reason="fallback")
        reply = await self._legacy.serve(inbound, turned)
        reply.decision = turned
        reply.fallback = fell
        return reply


def _copy_for_side(
    inbound: Inbound, body: AsyncIterator[bytes] | None, commit: CommitPoint | None = None
) -> Inbound:
    """Copy a request for one side, so that notes of this side on the request are invisible to the other side."""
    # By hand, because this runs for every request and dataclasses.replace is slower.
    copied = Inbound(
        inbound.head, body, inbound.inform, switch_protocol=inbound.switch_protocol, commit=commit
    )
    copied.client_connection = inbound.client_connection
    return copied


def may_fall_back(head: Head, decision: Decision) -> bool:
    """Whether legacy may answer this request if migrated fails."""
    route = decision.route
    if route is None or not route.fallback or not route.reversible:
        return False
    if decision.reason not in {"target", "canary"}:
        return False
    return head.method in SAFE_METHODS or (route.fallback_unsafe and _has_key(head))


def _has_key(head: Head) -> bool:
    """Whether the request has an Idempotency-Key.

    With this key the client says that sending the request twice does no harm.
    """
    return any(name.lower() == b"idempotency-key" and value for name, value in head.headers)


def failure_code_of(reply: Reply) -> str | None:
    """Return the code of migrated's failure: a code of FAILURES or a status; None if migrated succeeded.

    A 404 is not a failure: falling back would hide a typing error in a blueprint.
    """
    if reply.failure is not None:
        return reply.failure.code if reply.failure.code in FAILED_CODES else None
    return str(reply.status) if reply.status in FAILED_STATUS else None


class ReplayableBody:
    """A request body that is kept while it is read, up to a limit."""

    def __init__(self, body: AsyncIterator[bytes], limit_bytes: int) -> None:
        self._body = body
        self._limit_bytes = limit_bytes
        self._chunks: list[bytes] = []
        self._size = 0
        self._ended = False

    @property
    def is_repeatable(self) -> bool:
        """Whether the body can be read again from its first byte, because nothing was read yet or everything was kept.

        A body that was read in part is not repeatable: the first reader may still wait for the rest.
        """
        return self._size == 0 or (self._ended and self._size <= self._limit_bytes)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body, for the first reader."""
        async for chunk in self._body:
            self._size += len(chunk)
            if self._size <= self._limit_bytes:
                self._chunks.append(chunk)
            else:
                self._chunks.clear()
            yield chunk
        self._ended = True

    async def replay(self) -> AsyncIterator[bytes]:
        """Yield the body from its start, for the second reader. Call this only if `is_repeatable` is True."""
        for chunk in self._chunks:
            yield chunk
        if not self._ended:
            async for chunk in self._body:
                yield chunk
