"""The mirror sends a copy of some requests to the other side, after the user was answered.

Rule: the user comes first. Copies are sent after the user's response, a few at a time. The number, size and age
of waiting copies are limited. A copy that exceeds a limit is dropped and counted. If a side hangs or fails,
copies are lost, but no user waits.

The mirror belongs to the event loop of its first copy and starts nothing before that. It must not know how a
side works or where findings go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Protocol

from overgrow.evidence import Served
from overgrow.exchange import Inbound, Reply, Server
from overgrow.http import SAFE_METHODS
from overgrow.routing.model import FULL_CANARY, Decision, Route, Side
from overgrow.shadow.budget import CpuBudget
from overgrow.shadow.fetch import (
    FetchLimits,
    NoResponse,
    ResponsePair,
    ResponseTooLarge,
    fetch_response_pair,
)
from overgrow.shadow.judge import EvidenceSink, Judgement, judge_copy
from overgrow.shadow.queueing import CopyQueue
from overgrow.shadow.recording import DropReason, Recording, RecordingLimits
from overgrow.shadow.rules.rules import Rules
from overgrow.shadow.sampling import (
    PARTIAL_STATUS,
    Copy,
    has_undecodable_coding,
    may_be_copied,
    shape_of_request,
)
from overgrow.shadow.sessions import SessionCookieNames
from overgrow.shadow.tee import MemoryBudget
from overgrow.shadow.values.snapshot import has_conditions_or_ranges
from overgrow.shadow.write_attempts import watch_for_writes

LOG = logging.getLogger("overgrow.shadow")
WARN_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class CopyLimits:
    """The limits for the copies of one worker."""

    request_bytes: int = 64 * 1024
    response_bytes: int = 256 * 1024
    hashed_bytes: int = 64 * 1024 * 1024  # up to this, a response beyond response_bytes is hashed
    waiting: int = 256
    held_bytes: int = 32 * 1024 * 1024
    at_once: int = 8
    stale_s: float = 10.0  # a comparison of responses further apart says little
    body_s: float = 10.0  # added to the response timeout of the route
    threaded_bytes: int = 16 * 1024  # larger responses are compared in a thread


class MirrorEnvironment(Protocol):
    """The parts of the process that the mirror needs: clocks, chance, the kill file, the rules of a route."""

    def clock(self) -> float:
        """Unix time in seconds."""
        ...

    def stopwatch(self) -> float:
        """Monotonic seconds."""
        ...

    def cpu_s(self) -> float:
        """CPU seconds of the current thread."""
        ...

    def chance(self) -> float:
        """A random number from 0 up to, but not including, 1."""
        ...

    def is_killed(self) -> bool:
        """Whether a kill file exists."""
        ...

    def rules_of(self, route: Route) -> Awaitable[Rules]:
        """Return the rules that apply to a route's responses today."""
        ...


class CopyWrote(Exception):
    """The app tried to write while it served a copy."""


class CopyTraces(Protocol):
    """What relates a copy, which is sent later and by another task, to the trace of the request that it copies."""

    def current(self) -> object:
        """Return the trace of the request that the current task serves."""
        ...

    def following(self, trace: object) -> AbstractContextManager[object]:
        """Return a context in which the sides are asked for the copy of the request with this trace."""
        ...


class NoTraces:
    """No traces."""

    def current(self) -> None:
        """Return nothing."""

    def following(self, _trace: object) -> AbstractContextManager[None]:
        """Return a context that changes nothing."""
        return nullcontext()


class Mirror:
    """Draws requests, queues their copies, sends each to the other side, compares the responses, and records the findings."""

    def __init__(  # noqa: PLR0913  what comes from the process, named
        self,
        servers: Mapping[Side, Server],
        evidence: EvidenceSink,
        environment: MirrorEnvironment,
        limits: CopyLimits | None = None,
        sessions: SessionCookieNames | None = None,
        *,
        traces: CopyTraces | None = None,
    ) -> None:
        self._traces = traces or NoTraces()
        self.sessions = sessions or SessionCookieNames()
        self._servers = servers
        self._evidence = evidence
        self._environment = environment
        self._limits = limits or CopyLimits()
        self._fetch_limits = FetchLimits(
            self._limits.response_bytes, self._limits.body_s, self._limits.hashed_bytes
        )
        self._memory = MemoryBudget(self._limits.held_bytes)
        self._budget = CpuBudget(environment.stopwatch)
        self._waiting = CopyQueue(self._limits.waiting)
        self._warned_at_s: dict[
            tuple[DropReason, str], float
        ] = {}  # when a warning about a route was last logged
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._closing = False

    @property
    def waiting_copies(self) -> int:
        """How many copies wait to be sent."""
        return len(self._waiting)

    @property
    def held_bytes(self) -> int:
        """How many bytes of requests and responses all copies have in memory now."""
        return self._limits.held_bytes - self._memory.free_bytes

    def start_recording_if_sampled(
        self, inbound: Inbound, decision: Decision, route: Route
    ) -> Recording | None:
        """If a request may be copied and chance selects it, start to record it. Every call draws again."""
        if not may_be_copied(inbound, decision, route):
            return None
        if self._environment.chance() * FULL_CANARY >= route.shadow:
            return None
        reason = self._reason_to_refuse_copy(route)
        if reason is None:
            return self._create_recording(inbound, decision, route)
        self._record_dropped_request(reason, self._build_served_record(inbound, decision, route))
        return None

    def _build_served_record(
        self, inbound: Inbound, decision: Decision, route: Route, reply: Reply | None = None
    ) -> Served:
        """Build the record of what the user asked for, and of the response if it is known."""
        status = reply.status if reply is not None else 0
        shape = shape_of_request(inbound.head, decision, self.sessions, status)
        return Served(route.name, decision.side, self._environment.clock(), shape)

    def _record_dropped_request(self, reason: DropReason, served: Served) -> None:
        """Record that a drawn request is not compared; warn if a person should change something at the route."""
        self._evidence.record_dropped_request(reason, served)
        if reason in ("budget", "wrote") and self._is_due_to_warn(reason, served.route):
            self._warn(reason, served)

    def _is_due_to_warn(self, reason: DropReason, route: str) -> bool:
        now_s, key = self._environment.stopwatch(), (reason, route)
        if now_s - self._warned_at_s.get(key, -WARN_EVERY_S) < WARN_EVERY_S:
            return False
        self._warned_at_s[key] = now_s
        return True

    def _warn(self, reason: DropReason, served: Served) -> None:
        if reason == "wrote":
            LOG.warning(
                "copies of route %s are not compared: migrated tried to write at %s %s, and nothing was written. A safe "
                "method should write nothing; otherwise remove the shadow: of the route",
                served.route,
                served.shape.method,
                served.shape.template,
            )
            return
        LOG.warning(
            "copies of route %s are not compared: a comparison of it takes %.0f ms, and together they may "
            "take a tenth of a core. Lower its shadow:",
            served.route,
            self._budget.average_cpu_s(served.route) * 1000,
        )

    def _create_recording(self, inbound: Inbound, decision: Decision, route: Route) -> Recording:
        """Return a recording. When the exchange is over, it queues its copy or drops it."""

        def on_done(recording: Recording) -> None:
            try:
                self._enqueue_or_drop_copy(recording, inbound, decision, route)
            except Exception:  # this runs on a user's path: nothing may escape
                LOG.exception("a request of route %s could not be copied", route.name)
                recording.release_memory()
                served = None
                with suppress(Exception):
                    served = self._build_served_record(inbound, decision, route, recording.reply)
                self._evidence.record_dropped_request("fault", served)

        return Recording(
            inbound,
            self._memory,
            on_done,
            RecordingLimits(
                self._limits.request_bytes,
                route.shadow_max_answer or self._limits.response_bytes,
                self._limits.hashed_bytes,
            ),
        )

    def _enqueue_or_drop_copy(
        self, recording: Recording, inbound: Inbound, decision: Decision, route: Route
    ) -> None:
        """Queue the copy of a finished recording, or drop it.

        This runs on the user's path, so that it must be quick.
        """
        recording.set_final_drop_reason()
        reply = recording.reply
        partial = reply is not None and is_partial_response(inbound, reply)
        is_safe = inbound.head.method in SAFE_METHODS
        reason = recording.drop_reason or self._reason_to_refuse_copy(route)
        if reason is None and partial and not is_safe:
            reason = "conditional"
        if reason is not None or reply is None:
            recording.release_memory()
            served = self._build_served_record(inbound, decision, route, reply)
            self._record_dropped_request(reason or "unfinished", served)
            return
        is_unreadable = is_safe and has_undecodable_coding(recording.headers)
        response = None if partial or is_unreadable else recording.build_response_snapshot(reply)
        self._enqueue_copy(
            Copy(
                inbound.head,
                recording.request_body(),
                decision,
                route,
                self._build_served_record(inbound, decision, route, reply),
                response,
                self._environment.stopwatch(),
                self._is_sampled_for_noise(inbound, route),
                recording.held_bytes,
                self._traces.current(),
            )
        )

    def _reason_to_refuse_copy(self, route: Route) -> DropReason | None:
        if self._closing:
            return "closing"
        return None if self._waiting.has_room_for(route.name) else "queue-full"

    def _is_sampled_for_noise(self, inbound: Inbound, route: Route) -> bool:
        if not route.shadow_noise or inbound.head.method not in SAFE_METHODS:
            return False
        return self._environment.chance() * FULL_CANARY < route.shadow_noise

    def _enqueue_copy(self, copy: Copy) -> None:
        self._adopt_running_loop()
        gone = self._waiting.add_and_evict(copy)
        if gone is not None:
            self._memory.release(gone.held_bytes)
            self._record_dropped_request("queue-full", gone.served)
        self._start_sender_task()

    def _start_sender_task(self) -> None:
        if self._waiting and len(self._tasks) < self._limits.at_once:
            task = asyncio.get_running_loop().create_task(self._send_waiting_copies())
            self._tasks.add(task)
            task.add_done_callback(self._on_sender_task_done)

    def _on_sender_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._start_sender_task()

    def _adopt_running_loop(self) -> None:
        """Use the running event loop from now on.

        Drop what the former loop had started, because that loop has ended.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._thread = loop, None
            self._tasks = set()
            self._drop_waiting_copies("closing")

    async def _send_waiting_copies(self) -> None:
        """Send the waiting copies one after another until none is left."""
        while self._waiting:
            copy = self._waiting.pop_next()
            try:
                await self._send_copy(copy)
            except Exception:
                LOG.exception("a copy of a request of route %s failed", copy.route.name)
                self._record_dropped_request("fault", copy.served)
            finally:
                self._memory.release(copy.held_bytes)

    async def _send_copy(self, copy: Copy) -> None:
        reason = self._reason_not_to_send(copy)
        if reason is not None:
            self._record_dropped_request(reason, copy.served)
            return
        try:
            responses = await self._fetch_responses(copy)
        except CopyWrote:
            self._record_dropped_request("wrote", copy.served)
        except NoResponse as error:
            LOG.debug("a copy of a request of route %s: %s", copy.route.name, error)
            self._evidence.record_unanswered_copy(copy.served)
        except ResponseTooLarge:
            self._record_dropped_request("answer-too-large", copy.served)
        else:
            rules = await self._environment.rules_of(copy.route)
            judgement = await self._judge_and_charge(copy, responses, rules)
            if isinstance(judgement, str):
                self._record_dropped_request(judgement, copy.served)
            else:
                self._waiting.count_comparison(copy.route.name)
                self._evidence.record_comparison(judgement)

    async def _fetch_responses(self, copy: Copy) -> ResponsePair:
        """Ask the sides; raise CopyWrote, whatever they answered, if the app reported an attempt to write."""
        attempts = watch_for_writes()
        try:
            with self._traces.following(copy.trace):
                responses = await fetch_response_pair(copy, self._servers, self._fetch_limits)
        except (NoResponse, ResponseTooLarge) as error:
            if attempts.was_reported:
                raise CopyWrote from error
            raise
        if attempts.was_reported:
            raise CopyWrote
        return responses

    def _reason_not_to_send(self, copy: Copy) -> DropReason | None:
        """Return why a waiting copy must not be sent any more; None if it may be sent."""
        if self._environment.is_killed():
            return "killed"
        if self._environment.stopwatch() - copy.since_s > self._limits.stale_s:
            return "stale"
        return None if self._budget.has_budget_for(copy.route.name) else "budget"

    async def _judge_and_charge(
        self, copy: Copy, responses: ResponsePair, rules: Rules
    ) -> Judgement | DropReason:
        """Judge a small pair on the loop and a large pair in a thread. Charge the route for the work."""
        spent_s = 0.0

        def judge_and_time() -> Judgement | DropReason:
            nonlocal spent_s
            began_s = self._environment.cpu_s()
            try:
                return judge_copy(copy, responses, rules, self._environment.cpu_s)
            finally:
                spent_s = self._environment.cpu_s() - began_s

        try:
            if responses.size_bytes <= self._limits.threaded_bytes:
                return judge_and_time()
            self._thread = self._thread or ThreadPoolExecutor(1, "overgrow-compare")
            return await asyncio.get_running_loop().run_in_executor(self._thread, judge_and_time)
        finally:
            self._budget.charge(copy.route.name, spent_s)

    def cancel_copies_on_kill(self) -> None:
        """Drop the copies that wait and cancel those under way, because a kill file was made."""
        self._drop_and_cancel_copies("killed")

    def _drop_and_cancel_copies(self, reason: DropReason) -> None:
        self._drop_waiting_copies(reason)
        for task in self._tasks:
            task.cancel()
            self._evidence.record_dropped_request(reason)

    def _drop_waiting_copies(self, reason: DropReason) -> None:
        for copy in self._waiting.pop_all():
            self._memory.release(copy.held_bytes)
            self._record_dropped_request(reason, copy.served)

    async def aclose(self, grace_s: float = 1.0) -> None:
        """Accept no more copies. Let the running copies finish within `grace_s`, then cancel them."""
        self._closing = True
        self._drop_waiting_copies("closing")
        if self._tasks and self._loop is asyncio.get_running_loop():
            await asyncio.wait(self._tasks, timeout=grace_s)
            left = [*self._tasks]
            self._drop_and_cancel_copies("closing")
            await asyncio.gather(*left, return_exceptions=True)
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)


def is_partial_response(inbound: Inbound, reply: Reply) -> bool:
    """Return whether a condition or a range gave the user less than the whole response."""
    return reply.status in PARTIAL_STATUS and has_conditions_or_ranges(inbound.head.headers)
