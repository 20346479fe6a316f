"""What a mounted app may answer, and what an answer holds and gives back."""

from __future__ import annotations

import asyncio

import pytest

from overgrow.asgi import server as mounted
from overgrow.asgi.response import BUFFER_BYTES, AsgiResponse
from overgrow.asgi.scope import http_scope
from overgrow.asgi.server import AsgiMounts
from overgrow.asgi.websocket_call import _own_headers
from overgrow.exchange import Inbound
from overgrow.routing.model import Timeouts

WAIT_S = 60.0  # a bound on a wait that succeeds costs nothing
LARGE = b"x" * (BUFFER_BYTES + 1)
TIMEOUTS = Timeouts(idle_s=100.0, stream_idle_s=3600.0)


def start(*headers, status=200):
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data, *, more=False):
    return {"type": "http.response.body", "body": data, "more_body": more}


class FakeSpooledBody:
    """A body that the spool took."""

    def __init__(self):
        self.unread_bytes = 0
        self.is_closed = False

    def append(self, data):
        self.unread_bytes += len(data)
        return True

    def close(self):
        self.is_closed = True


class FakeSpool:
    def __init__(self):
        self.bodies = []

    def open(self):
        self.bodies.append(FakeSpooledBody())
        return self.bodies[-1]

    async def run_in_thread(self, act, *arguments):
        return act(*arguments)


class ResponseMemory:
    """The memory of all answers: what is claimed, and whether there is room."""

    def __init__(self, *, has_room):
        self.spool = FakeSpool()
        self.claimed = 0
        self._has_room = has_room

    def claim(self, size):
        self.claimed += size if self._has_room else 0
        return self._has_room

    def release(self, size):
        self.claimed -= size


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([start((b"content-length", b"3")), body(b"four")], id="more than its length"),
        pytest.param(
            [start((b"content-length", b"3")), body(b"four", more=True)], id="more, and not the end"
        ),
        pytest.param([start((b"content-length", b"5")), body(b"four")], id="less than its length"),
        pytest.param(
            [start((b"content-length", b"3"), (b"content-length", b"4"))], id="two lengths"
        ),
        pytest.param([start((b"content-length", b"+3"))], id="no number"),
        pytest.param([start((b"x-a", b"b\r\nset-cookie: c=1"))], id="a value that ends its line"),
        pytest.param([start((b"x a", b"b"))], id="a name that is none"),
    ],
)
def test_an_answer_that_could_be_read_in_two_ways_is_refused_to_its_app(messages):
    async def scenario():
        answer = AsgiResponse("GET", TIMEOUTS)
        for message in messages:
            await answer.take_message(message)

    with pytest.raises(RuntimeError):
        asyncio.run(scenario())


@pytest.mark.parametrize("ending", ["read", "closed"])
def test_the_memory_of_a_large_answer_is_given_back(ending):
    async def scenario():
        response_memory = ResponseMemory(has_room=True)
        answer = AsgiResponse("GET", TIMEOUTS, response_memory)
        await answer.take_message(start())
        await answer.take_message(body(LARGE))
        held = response_memory.claimed
        if ending == "read":
            async for _ in answer.take_reply().body:
                pass
        else:
            answer.close()
        return held, response_memory.claimed

    assert asyncio.run(scenario()) == (len(LARGE), 0)


def test_the_disk_of_a_closed_answer_is_given_back():
    async def scenario():
        response_memory = ResponseMemory(has_room=False)
        answer = AsgiResponse("GET", TIMEOUTS, response_memory)
        await answer.take_message(start())
        await answer.take_message(body(LARGE))
        answer.close()
        return [spooled.is_closed for spooled in response_memory.spool.bodies]

    assert asyncio.run(scenario()) == [True]


@pytest.mark.parametrize(
    ("kind", "patience_s"),
    [
        (b"text/event-stream", 3600.0),
        (b"Text/Event-Stream; charset=utf-8", 3600.0),
        (b"text/html", 100.0),
    ],
)
def test_an_event_stream_may_be_silent_longer(kind, patience_s):
    async def scenario():
        answer = AsgiResponse("GET", TIMEOUTS)
        await answer.take_message(start((b"Content-Type", kind)))
        return answer._idle_timeout_s()

    assert asyncio.run(scenario()) == patience_s


def test_what_a_request_changes_in_the_apps_state_is_its_own(request_of):
    state = {"pool": "shared"}
    scope = http_scope(Inbound(request_of()), "/live", state)
    scope["state"]["user"] = "alice"

    assert state == {"pool": "shared"}


def test_a_handshake_is_not_the_apps_to_say():
    said = [(b"Date", b"x"), (b"Sec-WebSocket-Accept", b"x"), (b"X-A", b"b")]

    assert _own_headers(said) == [(b"x-a", b"b")]


def test_a_late_call_is_over_before_its_504_goes_out(elsewhere, request_of, decided):
    async def app(_scope, receive, _send):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def scenario():
        server = AsgiMounts([("/live", app)], elsewhere)
        reply = await server.serve(Inbound(request_of()), decided(response_s=0.02))
        found = reply.failure.code, list(ended)
        await server.aclose(grace_s=0.1)
        return found

    ended = []
    assert asyncio.run(scenario()) == ("migrated-timeout", [True])


def test_an_app_that_goes_on_for_a_client_that_left_is_cancelled(
    elsewhere, request_of, decided, monkeypatch
):
    monkeypatch.setattr(mounted, "ABANDONED_S", 0.01)

    async def app(_scope, _receive, send):
        try:
            await send(start())
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def scenario():
        server = AsgiMounts([("/live", app)], elsewhere)
        reply = await server.serve(Inbound(request_of()), decided())
        await reply.close()
        async with asyncio.timeout(WAIT_S):
            await ended.wait()
        await server.aclose(grace_s=0.1)

    ended = asyncio.Event()
    asyncio.run(scenario())

    assert ended.is_set()
