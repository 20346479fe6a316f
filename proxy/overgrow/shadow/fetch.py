"""Asking the sides for their whole answers, for comparison only.

Rule: legacy is the control and migrated the candidate, whichever of them the user was answered by. A
candidate's crash or timeout is an answer: a user would have got it. What a side never said, or what
says more of the way than of the side, is no answer, and nothing is concluded from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from overgrow.exchange import BodyBroken, Failure, Inbound, Reply, Server, failure_reply
from overgrow.routing.model import Side
from overgrow.shadow.sampling import Copy, head_of_copy
from overgrow.shadow.tee import MemoryBudget, Tee
from overgrow.shadow.values.snapshot import ResponseSnapshot

_SIDES: tuple[Side, ...] = ("legacy", "migrated")
# Failures that are the app's own: with the side in front of users, they would get them.
_FAILURES_OF_THE_APP = frozenset({"migrated-crash", "migrated-timeout"})


MAX_COMPRESSION = 1032  # times: what deflate takes off at most


class NoResponse(Exception):
    """A side gave no answer to compare; the text says why."""


class ResponseTooLarge(Exception):
    """A side's answer is larger than what is compared."""


class ResponsePair(NamedTuple):
    """Both sides' answers to one request; `again` are their second ones, where they were asked for."""

    control: ResponseSnapshot
    candidate: ResponseSnapshot
    again: ResponseSnapshot | None = None
    candidate_again: ResponseSnapshot | None = None

    @property
    def size_bytes(self) -> int:
        """All bodies together, as large as they may be when unpacked."""
        return sum(_max_unpacked_bytes(each) for each in self if each is not None)


def _max_unpacked_bytes(answer: ResponseSnapshot) -> int:
    is_packed = answer.field(b"content-encoding") is not None
    return len(answer.body) * (MAX_COMPRESSION if is_packed else 1)


class FetchLimits(NamedTuple):
    """How much of an answer is kept and, beyond that, read; how long beyond the route's response timeout."""

    answer_bytes: int
    body_s: float
    hashed_bytes: int


async def fetch_response_pair(
    copy: Copy, servers: Mapping[Side, Server], limits: FetchLimits
) -> ResponsePair:
    """Ask what is not known yet: the other side, the same again for a condition, both again for noise.

    Raises:
        Unanswered: a side could not be asked or did not answer.
        AnswerTooLarge: a side answered at too great a length.

    """
    known: dict[Side, ResponseSnapshot] = {}
    if copy.answer is not None:
        known["migrated" if copy.decision.side == "migrated" else "legacy"] = copy.answer
    for side in _SIDES:
        if side not in known:
            known[side] = await fetch_response(copy, side, servers[side], limits)
    if not copy.is_asked_twice:
        return ResponsePair(known["legacy"], known["migrated"])
    again = await fetch_response(copy, "legacy", servers["legacy"], limits)
    try:
        candidate_again = await fetch_response(copy, "migrated", servers["migrated"], limits)
    except (NoResponse, ResponseTooLarge):
        candidate_again = None  # it would only have told whether migrated's values change, too
    return ResponsePair(known["legacy"], known["migrated"], again, candidate_again)


async def fetch_response(
    copy: Copy, side: Side, server: Server, limits: FetchLimits
) -> ResponseSnapshot:
    """One side's answer to a copy; raises as answers_to."""
    inbound = Inbound(
        head_of_copy(copy.head), single_chunk(copy.body) if copy.body is not None else None
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
    """A body of one chunk."""
    if body:
        yield body


async def _read_response(
    reply: Reply, limits: FetchLimits, kept_bytes: int | None
) -> ResponseSnapshot:
    if reply.failure is not None:
        return _response_for_failure(reply.failure)
    limit = kept_bytes or limits.answer_bytes
    body = reply.body if not isinstance(reply.body, bytes) else single_chunk(reply.body)
    tee = Tee(body, limit, MemoryBudget(limit), limits.hashed_bytes)
    try:
        async for _ in tee:
            if tee.drop_reason is not None:
                raise ResponseTooLarge
    except BodyBroken as error:
        return _response_for_failure(error.failure)
    return ResponseSnapshot(reply.status, tuple(reply.headers), tee.whole or b"", tee.fingerprint)


def _response_for_failure(failure: Failure) -> ResponseSnapshot:
    """The answer a user would get for a failure of the app; raises Unanswered for any other."""
    if failure.code not in _FAILURES_OF_THE_APP:
        raise NoResponse(f"{failure.party}: {failure.code}")
    reply = failure_reply(failure)
    return ResponseSnapshot(
        reply.status, tuple(reply.headers), reply.body if isinstance(reply.body, bytes) else b""
    )
