"""A Server around one side, with breakers: it refuses requests while a breaker is open, and counts responses.

Rule: it judges heads, never bodies. Two kinds of failures say nothing about a side: faults of the client (gone,
half an upload, a malformed request), and our own refusals (a full queue, a drain, a loop).

Legacy has breakers only if the table sets legacy.breaker, because no other side can answer in legacy's place.

Three kinds of requests pass without being counted. First, unrouted requests: all these pages of legacy would
share one breaker, and one bad page would block them all. Second, requests under the kill file or of
irreversible routes, because no other side can answer them. Third, requests with an override: a tester must see
the side as it is, and must not affect other users.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from overgrow.exchange import Failure, Inbound, Reply, Server, failure_reply
from overgrow.resilience.breaker import BreakerOutcome, Judgement
from overgrow.resilience.breakers import Breakers
from overgrow.routing.model import Decision, Route, Side

_EXEMPT = frozenset({"override", "killed", "upgrade"})
# Statuses of migrated for which fallback asks legacy. Legacy's own 500 does not count as failed: it is
# what its users always got, and refusing them all would make things worse.
FAILED_STATUS = frozenset({500, 502, 503, 504})


class BreakerServer:
    """A Server around one side, `legacy` or `migrated`.

    For a route with `fallback`, `decide` has already asked migrated's breaker (`OpenBreakers`). This Server
    does not ask it again, because a second question would count the request twice.
    """

    def __init__(self, server: Server, breakers: Breakers, side: Side) -> None:
        self._server = server
        self._breakers = breakers
        self._side: Side = side

    # Map 10 (docs/architecture.md#a-request-by-numbers)
    def serve(self, inbound: Inbound, decision: Decision) -> Coroutine[Any, Any, Reply]:
        """Send the request to the side.

        If its breaker refuses the request, return 503 `legacy-open` or `migrated-open`.
        """
        route = decision.route
        is_exempt = route is None or not route.reversible or decision.reason in _EXEMPT
        if route is None or is_exempt or not self._breakers.guards(self._side):
            return self._server.serve(inbound, decision)
        return self._serve_guarded(inbound, decision, route)

    async def _serve_guarded(self, inbound: Inbound, decision: Decision, route: Route) -> Reply:
        breakers, side = self._breakers, self._side
        breaker = breakers.of(route.name, side)
        began_s = breakers.clock()
        is_asked = breaker.state != "closed" and not (side == "migrated" and route.fallback)
        if is_asked and not breaker.allows(began_s):
            return self._refusal_reply(breaker.retry_after_s(began_s))
        reply = await self._server.serve(inbound, decision)
        now_s = breakers.clock()
        slow = now_s - began_s > breaker.policy.slow_part * route.timeouts.response_s
        if reply.failure is None and not slow and reply.status < 500 and breaker.state == "closed":
            breaker.record_good(began_s, now_s)
            return reply
        judgement = judge_reply(reply, side, slow=slow)
        if judgement is not None:
            breaker.record(BreakerOutcome(judgement, began_s), now_s)
        return reply

    def _refusal_reply(self, retry_after_s: int) -> Reply:
        code = f"{self._side}-open"
        return failure_reply(Failure(code, "decide", self._side, retry_after_s=retry_after_s))


def judge_reply(reply: Reply, side: Side, *, slow: bool) -> Judgement | None:
    """Return the judgement on the side that follows from a response.

    Return None if the response says nothing about the side.
    """
    failure = reply.failure
    if failure is not None and (failure.party != side or failure.stage == "queue"):
        return None
    if failure is not None and failure.stage == "connect":
        return "unreachable"
    if failure is not None or (side == "migrated" and reply.status in FAILED_STATUS):
        return "failed"
    return "slow" if slow else "good"
