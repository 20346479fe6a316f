"""What the tests of WsgiServer share: requests, decisions, and one way to run a whole exchange."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass

import pytest

from overgrow.exchange import BodyBroken, Failure, Inbound
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision, Route, Timeouts
from overgrow.wsgi.server import WsgiServer

HEAD = Head("GET", b"/", [(b"host", b"shop.test")], "192.0.2.9", "192.0.2.9", "http", "shop.test")


@dataclass(frozen=True)
class Answered:
    """What a client would have seen of a Reply."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    failure: Failure | None
    streamed: bool
    broken: Failure | None = None


async def _chunks(pieces):
    for piece in pieces:
        yield piece


def _decision(**timeouts):
    route = Route("r", prefix="/", target="migrated", timeouts=Timeouts(**timeouts))
    return Decision(route, "migrated", "target", "rev")


async def _read(reply):
    streamed, body, broken = not isinstance(reply.body, bytes), b"", None
    if streamed:
        try:
            async for chunk in reply.body:
                body += chunk
        except BodyBroken as error:
            broken = error.failure
    else:
        body = reply.body
    await reply.close()
    return Answered(reply.status, reply.headers, body, reply.failure, streamed, broken)


@pytest.fixture
def head_with():
    return HEAD._replace


@pytest.fixture
def decided():
    return _decision


@pytest.fixture
def chunks():
    return _chunks


@pytest.fixture
def read():
    return _read


@pytest.fixture
def answered():
    """Run one request against an app and return what the client would see."""

    def run(app, *, body=None, timeouts=None, **head):
        async def exchange():
            local = WsgiServer(app)
            stream = None if body is None else _chunks(body)
            inbound = Inbound(HEAD._replace(**head), stream)
            try:
                return await _read(await local.serve(inbound, _decision(**(timeouts or {}))))
            finally:
                await local.aclose()

        return asyncio.run(exchange())

    return run


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive(), thread
