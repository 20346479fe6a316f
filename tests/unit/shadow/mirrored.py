"""What the tests of the mirror share: scripted sides, an outside that obeys, evidence that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from overgrow.exchange import ClientGone, Inbound, Reply
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision, Route
from overgrow.shadow.mirror import CopyLimits, Mirror
from overgrow.shadow.rules.rules import Rules
from overgrow.shadow.shadowing_server import ShadowingServer

HEAD = Head(
    "GET", b"/a?b=1", [(b"host", b"shop.test")], "192.0.2.9", "192.0.2.9", "http", "shop.test"
)
ROUTE = Route("orders", path="/a", shadow=10_000, shadow_noise=0)


class Now:
    """Seconds that pass when told to, in steps that nobody expects."""

    def __init__(self, seconds=1_000.37):
        self.seconds = seconds

    def __call__(self):
        return self.seconds

    def forward(self, seconds):
        self.seconds += seconds


@dataclass
class Environment:
    """overgrow.shadow.mirror.MirrorEnvironment, as a test wants it; `draws` are handed out, the last for ever."""

    draws: list = field(default_factory=lambda: [0.0])
    killed: bool = False
    now: Now = field(default_factory=Now)
    work_s: float = 0.0
    rules: Rules = Rules.none
    asked_rules: list = field(default_factory=list)

    def clock(self):
        return 1_700_000_000.0

    def stopwatch(self):
        return self.now()

    def cpu_s(self):
        self.work_s += self.work_s and 1.0
        return self.work_s

    def chance(self):
        return self.draws.pop(0) if len(self.draws) > 1 else self.draws[0]

    def is_killed(self):
        return self.killed

    async def rules_of(self, route):
        self.asked_rules.append(route.name)
        return self.rules


@dataclass
class Notes:
    """Evidence that remembers."""

    comparisons: list = field(default_factory=list)
    noises: list = field(default_factory=list)
    drops: list = field(default_factory=list)
    left_out: list = field(default_factory=list)
    silences: list = field(default_factory=list)
    answers: list = field(default_factory=list)

    def store_record(self, record):
        self.answers.append(record)

    def record_comparison(self, judgement):
        self.comparisons.append(judgement.compared)
        self.noises.append(judgement.noise)

    def record_unanswered_copy(self, served):
        self.silences.append(served.route)

    def record_dropped_request(self, reason, served=None):
        self.drops.append(reason)
        self.left_out.append((reason, served))

    @property
    def verdicts(self):
        return [each.verdict for each in self.comparisons]


@dataclass
class Side:
    """A Server that answers from a list, the last for ever, and reads what it is sent."""

    answers: list = field(default_factory=lambda: [Reply(200, [], b"ok")])
    asked: list = field(default_factory=list)
    bodies: list = field(default_factory=list)
    closed: int = 0
    reads: bool = True

    async def serve(self, inbound, decision):
        self.asked.append((inbound.head, decision))
        if inbound.body is not None and self.reads:
            self.bodies.append(b"".join([chunk async for chunk in inbound.body]))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            return await answer(inbound)
        return Reply(answer.status, [*answer.headers], answer.body, answer.failure, self._close)

    async def _close(self):
        self.closed += 1


@dataclass
class Stage:
    """A mirror between two sides, and a user in front of it."""

    legacy: Side = field(default_factory=Side)
    migrated: Side = field(default_factory=Side)
    outside: Environment = field(default_factory=Environment)
    notes: Notes = field(default_factory=Notes)
    limits: CopyLimits = field(default_factory=CopyLimits)

    def __post_init__(self):
        sides = {"legacy": self.legacy, "migrated": self.migrated}
        self.mirror = Mirror(sides, self.notes, self.outside, self.limits)

    async def ask(self, *chunks, decision=None, leaves=False, server=None, **head):
        """Ask as a user does; what the user got. `leaves`: after the first chunk."""
        decision = decision or decided()
        server = server or (self.legacy if decision.side == "legacy" else self.migrated)
        inbound = inbound_of(*chunks, **head)
        reply = await ShadowingServer(server, self.mirror).serve(inbound, decision)
        try:
            return reply, await read(reply, leaves=leaves)
        finally:
            await reply.close()

    async def settled(self):
        """Wait until every copy is done."""
        while self.mirror._tasks:
            await asyncio.wait(self.mirror._tasks, timeout=60)

    def play(self, *chunks, **given):
        """One user, asked and answered, and all that follows."""

        async def scene():
            got = await self.ask(*chunks, **given)
            await self.settled()
            return got

        return asyncio.run(scene())


def decided(side="legacy", reason="target", route=ROUTE, **changed):
    return Decision(route and replace(route, **changed), side, reason, "rev")


def inbound_of(*chunks, is_copy=False, **head):
    inbound = Inbound(HEAD._replace(**head), stream(*chunks) if chunks else None)
    inbound.is_copy = is_copy
    return inbound


async def stream(*chunks) -> AsyncIterator[bytes]:
    for chunk in chunks:
        if isinstance(chunk, BaseException):
            raise chunk
        yield chunk


async def read(reply, *, leaves=False):
    if isinstance(reply.body, bytes):
        return reply.body
    body = b""
    async for chunk in reply.body:
        body += chunk
        if leaves:
            break
    return body


GONE = ClientGone()
