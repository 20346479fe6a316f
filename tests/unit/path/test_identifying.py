"""The Server for undecided requests: who is asked, what the reply carries, and whose session is renewed."""

from __future__ import annotations

import asyncio

import pytest

from overgrow.exchange import Inbound, Reply
from overgrow.path.identifying import IdentifyingServer
from overgrow.routing.facts import Head
from overgrow.routing.identity import Identity, Unavailable
from overgrow.routing.model import Decision, Route

ANN = Identity("ann")
AWAY = Unavailable("ask", "why")
ROUTE = Route("r", path="/", target="migrated", asks_identity=True)
HEAD = Head("GET", b"/", [(b"cookie", b"sid=1")], "", "", "http", "")


class FakeResolver:
    def __init__(self, subject):
        self.subject, self.touched, self.noted = subject, [], []

    async def resolve(self, head):
        return self.subject

    async def touch(self, head):
        self.touched.append(head)
        return [(b"set-cookie", b"sid=renewed")]

    def note_cookie(self, head, line):
        self.noted.append(line)


class Side:
    def __init__(self, headers=()):
        self.headers, self.decisions = list(headers), []

    async def serve(self, inbound, decision):
        self.decisions.append(decision)
        return Reply(200, self.headers, b"")


def resume(subject):
    if isinstance(subject, Unavailable):
        return Decision(ROUTE, "legacy", "identity", "r")
    return Decision(ROUTE, "migrated", "target", "r", identity=subject)


def serve(subject, migrated=None):
    """Return (the reply, the resolver, the sides) of one undecided request."""
    resolver = FakeResolver(subject)
    sides = {"migrated": migrated or Side(), "legacy": Side()}
    undecided = Decision(ROUTE, "undecided", "identity", "r", resume=resume)
    server = IdentifyingServer(sides, resolver)
    return asyncio.run(server.serve(Inbound(HEAD), undecided)), resolver, sides


@pytest.mark.parametrize(
    ("subject", "side"), [(ANN, "migrated"), (None, "migrated"), (AWAY, "legacy")]
)
def test_the_side_that_was_decided_answers_and_the_reply_says_so(subject, side):
    reply, _, sides = serve(subject)

    assert sides[side].decisions == [resume(subject)] == [reply.decision]


def test_a_user_on_migrated_gets_the_renewed_cookie():
    reply, resolver, _ = serve(ANN)

    assert (reply.headers, resolver.touched) == ([(b"set-cookie", b"sid=renewed")], [HEAD])


@pytest.mark.parametrize("subject", [None, AWAY])
def test_no_session_is_renewed_of_nobody_or_of_a_user_on_legacy(subject):
    reply, resolver, _ = serve(subject)

    assert (reply.headers, resolver.touched) == ([], [])


def test_a_cookie_that_migrated_sets_is_noted():
    _, resolver, _ = serve(ANN, Side([(b"Set-Cookie", b"sid=; Max-Age=0"), (b"x", b"y")]))

    assert resolver.noted == [b"sid=; Max-Age=0"]


def test_the_app_runs_while_the_session_is_renewed():
    order = []

    class SlowResolver(FakeResolver):
        async def touch(self, head):
            order.append("touch begins")
            await served.wait()
            return []

    class Noting(Side):
        async def serve(self, inbound, decision):
            await asyncio.sleep(0)
            order.append("served")
            served.set()
            return await super().serve(inbound, decision)

    async def run():
        server = IdentifyingServer({"migrated": Noting()}, SlowResolver(ANN))
        undecided = Decision(ROUTE, "undecided", "identity", "r", resume=resume)
        await server.serve(Inbound(HEAD), undecided)

    served = asyncio.Event()
    asyncio.run(run())

    assert order == ["touch begins", "served"]
