"""A copy of some requests to the other side, after the user was answered: a Server around a Server.

Rule: the user comes first. Nothing here stands between a chunk and the user; copies go out when the
answer is through, a few at once; what waits is bounded in number, bytes and age, and what does not fit
is dropped and counted. A side that hangs or fails costs the copies, never the user.

It belongs to the event loop of its first copy and starts nothing before that. It must not know how a
side works nor where findings go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from overgrow.exchange import Inbound, Reply, Server, nothing
from overgrow.http import SAFE_METHODS
from overgrow.routing.facts import Headers
from overgrow.routing.model import FULL_CANARY, Decision, Route, Side
from overgrow.shadow.budget import Budget
from overgrow.shadow.fetch import Answers, AnswerTooLarge, Patience, Unanswered, answers_to
from overgrow.shadow.judge import Compared, Evidence, Served, judged, served_of
from overgrow.shadow.queueing import Queue
from overgrow.shadow.recording import Reason, Sizes, Witness
from overgrow.shadow.rules.rules import Rules
from overgrow.shadow.sampling import (
    PARTIAL_STATUS,
    Copy,
    asked_of,
    is_packed_unreadably,
    may_be_copied,
)
from overgrow.shadow.sessions import Sessions, is_login
from overgrow.shadow.tee import Room
from overgrow.shadow.values.answer import is_conditional

LOG = logging.getLogger("overgrow.shadow")
TELL_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the copies of one worker may take."""

    request_bytes: int = 64 * 1024
    answer_bytes: int = 256 * 1024
    hashed_bytes: int = (
        64 * 1024 * 1024
    )  # of a larger answer than answer_bytes its fingerprint is made
    waiting: int = 256
    held_bytes: int = 32 * 1024 * 1024
    at_once: int = 8
    stale_s: float = 10.0  # two answers that lie further apart say little of each other
    body_s: float = 10.0  # beyond the response timeout of the route
    threaded_bytes: int = 16 * 1024  # answers beyond this are compared in a thread


class Outside(Protocol):
    """What comes from outside: clocks, chance, the kill file, the rules of a route."""

    def clock(self) -> float:
        """Unix time in seconds."""
        ...

    def stopwatch(self) -> float:
        """Seconds that never go back."""
        ...

    def cpu_s(self) -> float:
        """Seconds of work done by the present thread."""
        ...

    def chance(self) -> float:
        """A number from 0 up to, but not including, 1."""
        ...

    def is_killed(self) -> bool:
        """Whether a kill file exists."""
        ...

    def rules_of(self, route: Route) -> Awaitable[Rules]:
        """The rules that apply to a route's answers today."""
        ...


class Shadowed:
    """A Server that has some of its requests copied to the other side once they are answered."""

    def __init__(self, server: Server, mirror: Mirror) -> None:
        self._server = server
        self._mirror = mirror

    def serve(self, inbound: Inbound, decision: Decision) -> Coroutine[Any, Any, Reply]:
        """Answer as the wrapped server does."""
        route = decision.route
        if inbound.head.method == "POST" and is_login(inbound.head):
            return self._learning(inbound, decision)
        if route is None or not route.shadow:
            return self._server.serve(inbound, decision)
        return self._watched(inbound, decision, route)

    async def _learning(self, inbound: Inbound, decision: Decision) -> Reply:
        """Answer a login, and learn which cookies it sets."""
        route = decision.route
        if route is None or not route.shadow:
            reply = await self._server.serve(inbound, decision)
        else:
            reply = await self._watched(inbound, decision, route)
        if reply.failure is None:
            self._mirror.sessions.learn(inbound.head, reply.status, reply.headers)
        return reply

    def _watched(
        self, inbound: Inbound, decision: Decision, route: Route
    ) -> Coroutine[Any, Any, Reply]:
        if inbound.body is None:
            return self._drawn_late(inbound, decision, route)
        witness = self._mirror.drawn(inbound, decision, route)
        if witness is None:
            return self._server.serve(inbound, decision)
        return self._witnessed(witness, inbound, decision)

    async def _witnessed(self, witness: Witness, inbound: Inbound, decision: Decision) -> Reply:
        try:
            reply = await self._server.serve(inbound, decision)
        except BaseException:  # a client that leaves cancels this: what was kept is given back
            witness.dismiss()
            raise
        witness.attend(reply)
        return reply

    async def _drawn_late(self, inbound: Inbound, decision: Decision, route: Route) -> Reply:
        """Without a body to be kept, drawing can wait: if the answer is all here, until it is through."""
        try:
            reply = await self._server.serve(inbound, decision)
        except BaseException:
            if witness := self._mirror.drawn(inbound, decision, route):
                witness.dismiss()
            raise
        if isinstance(reply.body, bytes):
            asked = (inbound, decision, route)
            reply.close = partial(self._through, reply, reply.headers, reply.close, asked)
        elif witness := self._mirror.drawn(inbound, decision, route):
            witness.attend(reply)
        return reply

    async def _through(
        self,
        reply: Reply,
        headers: Headers,
        close: Callable[[], Awaitable[None]],
        asked: tuple[Inbound, Decision, Route],
    ) -> None:
        """Close an answer that the user has whole, and draw. `headers` are the side's own."""
        reply.close = nothing  # it leads back here: a circle
        try:
            await close()
        finally:
            if witness := self._mirror.drawn(*asked):
                witness.saw(reply, headers)


class Mirror:
    """Draws requests, keeps their copies for a while, asks the other side and hands over what it found."""

    def __init__(
        self,
        servers: Mapping[Side, Server],
        evidence: Evidence,
        outside: Outside,
        limits: Limits | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        self.sessions = sessions or Sessions()
        self._servers = servers
        self._evidence = evidence
        self._outside = outside
        self._limits = limits or Limits()
        self._patience = Patience(
            self._limits.answer_bytes, self._limits.body_s, self._limits.hashed_bytes
        )
        self._room = Room(self._limits.held_bytes)
        self._budget = Budget(outside.stopwatch)
        self._waiting = Queue(self._limits.waiting)
        self._told_at_s: dict[str, float] = {}  # that copies of a route find no budget
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._closing = False

    @property
    def waiting(self) -> int:
        """Copies that wait to be sent."""
        return len(self._waiting)

    @property
    def held_bytes(self) -> int:
        """Bytes of requests and answers that are kept now."""
        return self._limits.held_bytes - self._room.free_bytes

    def drawn(self, inbound: Inbound, decision: Decision, route: Route) -> Witness | None:
        """A witness of a request, if it may be copied and chance draws it, each time anew."""
        if not may_be_copied(inbound, decision, route):
            return None
        if self._outside.chance() * FULL_CANARY >= route.shadow:
            return None
        reason = self._refusal(route)
        if reason is None:
            return self._witness(inbound, decision, route)
        self._drop(reason, self._served(inbound, decision, route))  # before anything is kept
        return None

    def _served(
        self, inbound: Inbound, decision: Decision, route: Route, reply: Reply | None = None
    ) -> Served:
        """What the user asked, and got if that is known."""
        asked = asked_of(inbound.head, route, self.sessions)
        status = reply.status if reply is not None else 0
        return Served(route.name, decision.side, self._outside.clock(), asked, status)

    def _drop(self, reason: Reason, served: Served) -> None:
        """Count a request that was drawn and not compared, and say so of what takes too much work."""
        self._evidence.dropped(reason, served)
        if reason == "budget":
            self._tell_of_budget(served.route)

    def _tell_of_budget(self, route: str) -> None:
        now_s = self._outside.stopwatch()
        if now_s - self._told_at_s.get(route, -TELL_EVERY_S) < TELL_EVERY_S:
            return
        self._told_at_s[route] = now_s
        LOG.warning(
            "copies of route %s are not compared: a comparison of it takes %.0f ms, and together they may "
            "take a tenth of a core. Lower its shadow:",
            route,
            self._budget.cost_s(route) * 1000,
        )

    def _witness(self, inbound: Inbound, decision: Decision, route: Route) -> Witness:
        """Somebody to stand beside an exchange that was drawn."""

        def told(witness: Witness) -> None:
            try:
                self._hear(witness, inbound, decision, route)
            except Exception:  # it stands on a user's path
                LOG.exception("a request of route %s could not be copied", route.name)
                witness.release()
                served = None
                with suppress(Exception):
                    served = self._served(inbound, decision, route, witness.reply)
                self._evidence.dropped("fault", served)

        return Witness(
            inbound,
            self._room,
            told,
            Sizes(
                self._limits.request_bytes,
                route.shadow_max_answer or self._limits.answer_bytes,
                self._limits.hashed_bytes,
            ),
        )

    def _hear(self, witness: Witness, inbound: Inbound, decision: Decision, route: Route) -> None:
        """Take what a witness saw, or drop it; on the user's path, so quickly."""
        witness.settle()
        reply = witness.reply
        partial = reply is not None and is_partial(inbound, reply)
        is_safe = inbound.head.method in SAFE_METHODS
        reason = witness.loss or self._refusal(route)
        if reason is None and partial and not is_safe:
            reason = "conditional"
        if reason is not None or reply is None:
            witness.release()
            served = self._served(inbound, decision, route, reply)
            self._drop(reason or "unfinished", served)
            return
        is_unreadable = is_safe and is_packed_unreadably(witness.headers)
        answer = None if partial or is_unreadable else witness.answer(reply)
        self._offer(
            Copy(
                inbound.head,
                witness.request_body(),
                decision,
                route,
                reply.status,
                answer,
                self._outside.clock(),
                self._outside.stopwatch(),
                self._is_noisy(inbound, route),
                witness.held_bytes,
                asked_of(inbound.head, route, self.sessions),
            )
        )

    def _refusal(self, route: Route) -> Reason | None:
        if self._closing:
            return "closing"
        return None if self._waiting.has_room_for(route.name) else "queue-full"

    def _is_noisy(self, inbound: Inbound, route: Route) -> bool:
        if not route.shadow_noise or inbound.head.method not in SAFE_METHODS:
            return False
        return self._outside.chance() * FULL_CANARY < route.shadow_noise

    def _offer(self, copy: Copy) -> None:
        self._belong_here()
        gone = self._waiting.put(copy)
        if gone is not None:
            self._room.give(gone.held_bytes)
            self._drop("queue-full", served_of(gone))
        self._begin()

    def _begin(self) -> None:
        if self._waiting and len(self._tasks) < self._limits.at_once:
            task = asyncio.get_running_loop().create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._begin()

    def _belong_here(self) -> None:
        """Leave what another loop had begun: it was that loop's, which is gone."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._thread = loop, None
            self._tasks = set()
            self._forget("closing")

    async def _work(self) -> None:
        """Copy after copy, while there are any."""
        while self._waiting:
            copy = self._waiting.take()
            try:
                await self._mirror(copy)
            except Exception:
                LOG.exception("a copy of a request of route %s failed", copy.route.name)
                self._drop("fault", served_of(copy))
            finally:
                self._room.give(copy.held_bytes)

    async def _mirror(self, copy: Copy) -> None:
        reason = self._objection(copy)
        if reason is not None:
            self._drop(reason, served_of(copy))
            return
        try:
            answers = await answers_to(copy, self._servers, self._patience)
        except Unanswered as error:
            LOG.debug("a copy of a request of route %s: %s", copy.route.name, error)
            self._evidence.unanswered(served_of(copy))
        except AnswerTooLarge:
            self._drop("answer-too-large", served_of(copy))
        else:
            rules = await self._outside.rules_of(copy.route)
            compared = await self._judged(copy, answers, rules)
            if isinstance(compared, str):
                self._drop(compared, served_of(copy))
            else:
                self._waiting.count(copy.route.name)
                self._evidence.compared(compared)

    def _objection(self, copy: Copy) -> Reason | None:
        """Why a copy that waited is not sent after all."""
        if self._outside.is_killed():
            return "killed"
        if self._outside.stopwatch() - copy.since_s > self._limits.stale_s:
            return "stale"
        return None if self._budget.is_left(copy.route.name) else "budget"

    async def _judged(self, copy: Copy, answers: Answers, rules: Rules) -> Compared | Reason:
        """Judge here what is small, in a thread what would hold up the loop; either way it is charged."""
        spent_s = 0.0

        def timed() -> Compared | Reason:
            nonlocal spent_s
            began_s = self._outside.cpu_s()
            try:
                return judged(copy, answers, rules, self._outside.cpu_s)
            finally:
                spent_s = self._outside.cpu_s() - began_s

        try:
            if answers.size_bytes <= self._limits.threaded_bytes:
                return timed()
            self._thread = self._thread or ThreadPoolExecutor(1, "overgrow-compare")
            return await asyncio.get_running_loop().run_in_executor(self._thread, timed)
        finally:
            self._budget.spend(copy.route.name, spent_s)

    def halt(self) -> None:
        """Send nothing more of what waits, and break off what is under way: a kill file was made."""
        self._break_off("killed")

    def _break_off(self, reason: Reason) -> None:
        self._forget(reason)
        for task in self._tasks:
            task.cancel()
            self._evidence.dropped(reason)

    def _forget(self, reason: Reason) -> None:
        for copy in self._waiting.clear():
            self._room.give(copy.held_bytes)
            self._drop(reason, served_of(copy))

    async def aclose(self, grace_s: float = 1.0) -> None:
        """Take no more; let what is under way finish for `grace_s`, then break it off."""
        self._closing = True
        self._forget("closing")
        if self._tasks and self._loop is asyncio.get_running_loop():
            await asyncio.wait(self._tasks, timeout=grace_s)
            left = [*self._tasks]
            self._break_off("closing")
            await asyncio.gather(*left, return_exceptions=True)
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)


def is_partial(inbound: Inbound, reply: Reply) -> bool:
    """Whether the user was given less than the whole answer, because of a condition or a range."""
    return reply.status in PARTIAL_STATUS and is_conditional(inbound.head.headers)
