"""Fetches whole responses from both sides, for comparison only.

Rule: legacy is the control and migrated the candidate, whichever of them answered the user. A crash or timeout
of the candidate counts as a response, because a user would have got it. If a side did not respond, or the
network between us and the side failed, there is no response and no conclusion.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from overgrow.exchange import BodyBroken, Failure, Inbound, Reply, Server, failure_reply
from overgrow.routing.model import Side
from overgrow.shadow.sampling import Copy, build_copy_head
from overgrow.shadow.tee import MemoryBudget, Tee
from overgrow.shadow.values.snapshot import ResponseSnapshot

_SIDES: tuple[Side, ...] = ("legacy", "migrated")
# Failures that are the app's own: users would get them if this side answered them.
_FAILURES_OF_THE_APP = frozenset({"migrated-crash", "migrated-timeout"})


MAX_COMPRESSION = 1032  # times: the most that deflate compresses


class NoResponse(Exception):
    """A side gave no response to compare. The text says why."""


class ResponseTooLarge(Exception):
    """A side's response is too large to be compared."""


class ResponsePair(NamedTuple):
    """The responses of both sides to one request.

    The second responses of sides that were asked twice are in `again` and `candidate_again`.
    """

    control: ResponseSnapshot
    candidate: ResponseSnapshot
    again: ResponseSnapshot | None = None
    candidate_again: ResponseSnapshot | None = None

    @property
    def size_bytes(self) -> int:
        """An upper bound for the size of all bodies together, uncompressed."""
        return sum(_max_unpacked_bytes(each) for each in self if each is not None)


def _max_unpacked_bytes(response: ResponseSnapshot) -> int:
    is_packed = response.joined_header(b"content-encoding") is not None
    return len(response.body) * (MAX_COMPRESSION if is_packed else 1)


class FetchLimits(NamedTuple):
    """The limits for one response.

    A response of up to `response_bytes` is kept. A larger response is hashed, up to `hashed_bytes`. A body may
    take `body_s` longer than the response timeout.
    """

    response_bytes: int
    body_s: float
    hashed_bytes: int


async def fetch_response_pair(
    copy: Copy, servers: Mapping[Side, Server], limits: FetchLimits
) -> ResponsePair:
    """Fetch the responses that are still unknown. If noise is to be learned, fetch from both sides a second time.

    If the user got less than the whole response, ask the side that answered the user again.

    Raises:
        NoResponse: a side could not be asked or did not respond.
        ResponseTooLarge: a side's response is too long.

    """
    known: dict[Side, ResponseSnapshot] = {}
    if copy.response is not None:
        known["migrated" if copy.decision.side == "migrated" else "legacy"] = copy.response
    for side in _SIDES:
        if side not in known:
            known[side] = await fetch_response(copy, side, servers[side], limits)
    if not copy.is_asked_twice:
        return ResponsePair(known["legacy"], known["migrated"])
    again = await fetch_response(copy, "legacy", servers["legacy"], limits)
    try:
        candidate_again = await fetch_response(copy, "migrated", servers["migrated"], limits)
    except (NoResponse, ResponseTooLarge):
        candidate_again = None  # it would only have shown whether migrated's values change, too
    return ResponsePair(known["legacy"], known["migrated"], again, candidate_again)


async def fetch_response(
    copy: Copy, side: Side, server: Server, limits: FetchLimits
) -> ResponseSnapshot:
    """Fetch one side's response to a copy. Raises the same exceptions as fetch_response_pair."""
    inbound = Inbound(
        build_copy_head(copy.head), single_chunk(copy.body) if copy.body is not None else None
    )
    decision = copy.decision._replace(side=side)
    try:
        async with asyncio.timeout(copy.route.timeouts.response_s + limits.body_s):
            reply = await server.serve(inbound, decision)
            try:
                return await _read_response(reply, limits, copy.route.shadow_max_answer)
            finally:
                await reply.close()
    except TimeoutError:
        raise NoResponse(f"{side}: not done in time") from None


async def single_chunk(body: bytes) -> AsyncIterator[bytes]:
    """Yield a body as one chunk."""
    if body:
        yield body


async def _read_response(
    reply: Reply, limits: FetchLimits, kept_bytes: int | None
) -> ResponseSnapshot:
    if reply.failure is not None:
        return _response_for_failure(reply.failure)
    limit = kept_bytes or limits.response_bytes
    body = reply.body if not isinstance(reply.body, bytes) else single_chunk(reply.body)
    tee = Tee(body, limit, MemoryBudget(limit), limits.hashed_bytes)
    try:
        async for _ in tee:
            if tee.drop_reason is not None:
                raise ResponseTooLarge
    except BodyBroken as error:
        return _response_for_failure(error.failure)
    return ResponseSnapshot(
        reply.status, tuple(reply.headers), tee.whole_body or b"", tee.fingerprint
    )


def _response_for_failure(failure: Failure) -> ResponseSnapshot:
    """Return the response that a user would get for a failure of the app. For any other failure, raise NoResponse."""
    if failure.code not in _FAILURES_OF_THE_APP:
        raise NoResponse(f"{failure.party}: {failure.code}")
    reply = failure_reply(failure)
    return ResponseSnapshot(
        reply.status, tuple(reply.headers), reply.body if isinstance(reply.body, bytes) else b""
    )
