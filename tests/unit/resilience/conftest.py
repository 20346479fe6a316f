"""What these tests share: a clock, a table, scripted sides."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from overgrow.exchange import Inbound, Reply
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision, Legacy, Route, RouteTable

HEAD = Head("GET", b"/", [(b"host", b"shop.test")], "192.0.2.9", "192.0.2.9", "http", "shop.test")


@dataclass
class Clock:
    """Seconds that pass when told to."""

    now_s: float = 1_000.3

    def __call__(self):
        return self.now_s

    def forward(self, seconds):
        self.now_s += seconds


@dataclass
class Side:
    """A Server that answers from a list, the last answer for ever, and reads what it is sent."""

    answers: list = field(default_factory=lambda: [Reply(200, [], b"ok")])
    asked: list = field(default_factory=list)
    bodies: list = field(default_factory=list)
    reads: bool = True

    async def serve(self, inbound, decision):
        self.asked.append((inbound, decision))
        if inbound.body is not None and self.reads:
            self.bodies.append(b"".join([chunk async for chunk in inbound.body]))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(inbound) if callable(answer) else answer


def _table(*routes):
    return RouteTable("rev", Legacy("http://127.0.0.1:9", breaker=True), routes)


def _decision(side="migrated", reason="target", **route):
    given = {"path": "/", "target": "migrated", "fallback": True} | route
    return Decision(Route("r", **given), side, reason, "rev")


def _inbound(*chunks, **head):
    async def body():
        for chunk in chunks:
            yield chunk

    return Inbound(HEAD._replace(**head), body() if chunks else None)


def _served(server, inbound, decision):
    return asyncio.run(server.serve(inbound, decision))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def table_of():
    return _table


@pytest.fixture
def decided():
    return _decision


@pytest.fixture
def inbound_of():
    return _inbound


@pytest.fixture
def side():
    return Side


@pytest.fixture
def served():
    return _served
