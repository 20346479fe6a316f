"""WebSockets of a mounted app over real sockets: frames, closes, bounds, and every way to end."""

from __future__ import annotations

import asyncio

import pytest
from websockets.frames import Opcode

from overgrow.asgi.server import AsgiMounts
from overgrow.exchange import BodyBroken, Inbound


async def echo(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def reply_to(app, elsewhere, decided, request_of, headers, *, can_switch=True, **timeouts):
    """What the handshake alone is answered; nothing can be handed over."""

    async def run():
        server = AsgiMounts([("/live", app)], elsewhere)
        switch_protocol = (lambda *_: None) if can_switch else None
        inbound = Inbound(request_of(headers=headers), switch_protocol=switch_protocol)
        reply = await server.serve(inbound, decided(**timeouts))
        body = reply.body
        if not isinstance(body, bytes):
            body = b"".join([chunk async for chunk in body])
        await reply.close()
        await server.aclose(grace_s=0.1)
        return reply, body

    return asyncio.run(run())


@pytest.fixture
def shaken(elsewhere, decided, request_of, handshake):
    def run(app, headers=handshake, **options):
        return reply_to(app, elsewhere, decided, request_of, headers, **options)

    return run


def test_text_and_bytes_come_back_as_they_were(upgraded):
    async def run():
        async with upgraded(echo) as client:
            client.send(Opcode.TEXT, "\u00e9".encode())
            client.send(Opcode.BINARY, b"\xff")
            return [await client.frame(), await client.frame()]

    assert asyncio.run(run()) == [
        (Opcode.TEXT, "\u00e9".encode()),
        (Opcode.BINARY, b"\xff"),
    ]


def test_fragments_are_one_message_even_where_a_character_is_split(upgraded):
    async def run():
        async with upgraded(echo) as client:
            client.send(Opcode.TEXT, b"\xc3", fin=False)
            client.send(Opcode.PING, b"between")
            client.send(Opcode.CONT, b"\xa9")
            return [await client.frame(), await client.frame()]

    assert asyncio.run(run()) == [(Opcode.PONG, b"between"), (Opcode.TEXT, b"\xc3\xa9")]


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param([(Opcode.TEXT, b"\xff", True)], 1007, id="text that is not UTF-8"),
        pytest.param([(Opcode.CONT, b"x", True)], 1002, id="a continuation of nothing"),
        pytest.param([(Opcode.PING, b"x" * 126, True)], 1002, id="a control frame too long"),
        pytest.param([(Opcode.CLOSE, b"\x0f\xa1bye", True)], 4001, id="a close, answered"),
    ],
)
def test_what_the_client_must_not_send_ends_with_the_code_that_says_why(upgraded, frames, code):
    async def run():
        async with upgraded(echo) as client:
            for opcode, data, fin in frames:
                if len(data) > 125:
                    client.writer.write(bytes([0x89, 0xFE, 0, len(data), 0, 0, 0, 0]) + data)
                else:
                    client.send(opcode, data, fin=fin)
            return await client.close_code()

    assert asyncio.run(run()) == code


@pytest.mark.parametrize(
    ("farewell", "code"),
    [(b"\x0f\xa1bye", 4001), (b"", 1005), (None, 1006)],
    ids=["with a code", "without one", "no close at all"],
)
def test_the_app_is_told_how_the_client_left(upgraded, farewell, code):
    reply = []

    async def app(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        reply.append(await receive())
        with pytest.raises(OSError, match="closed"):
            await send({"type": "websocket.send", "text": "too late"})

    async def run():
        async with upgraded(app) as client:
            if farewell is None:
                client.writer.transport.abort()
            else:
                client.send(Opcode.CLOSE, farewell)
            return await asyncio.wait_for(client.relay, 60)

    moved = asyncio.run(run())

    assert [(message["type"], message["code"]) for message in reply] == [
        ("websocket.disconnect", code)
    ]
    assert moved.ended_by == "client"


def test_messages_that_came_before_a_close_still_reach_the_app(upgraded):
    reply = []

    async def app(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            reply.append(message["text"])

    async def run():
        async with upgraded(app) as client:
            client.send(Opcode.TEXT, b"one")
            client.send(Opcode.TEXT, b"")
            client.send(Opcode.CLOSE, b"\x03\xe8")
            await client.close_code()

    asyncio.run(run())

    assert reply == ["one", ""]


@pytest.mark.parametrize(
    ("close", "code"),
    [
        ({"code": 4002, "reason": "enough"}, 4002),
        ({}, 1000),
        ({"code": None, "reason": None}, 1000),
        ({"code": 1005}, 1011),
    ],
    ids=["a code", "none named", "none", "one that cannot be sent is a crash"],
)
def test_the_app_closes_with_its_code(upgraded, close, code):
    async def app(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", **close})

    async def run():
        async with upgraded(app) as client:
            return await client.close_code()

    assert asyncio.run(run()) == code


@pytest.mark.parametrize(
    ("error", "code"), [(None, 1000), (ValueError("x"), 1011)], ids=["returns", "raises"]
)
def test_an_app_that_ends_ends_its_websocket(upgraded, error, code):
    async def app(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        if error:
            raise error

    async def run():
        async with upgraded(app) as client:
            client.send(Opcode.TEXT, b"go")
            found = await client.close_code()
            client.send(Opcode.CLOSE, found.to_bytes(2))
            client.writer.write_eof()
            outcome = (await asyncio.gather(client.relay, return_exceptions=True))[0]
            return found, outcome

    found, outcome = asyncio.run(run())

    assert found == code
    if error:
        assert isinstance(outcome, BodyBroken)
        assert outcome.failure.code == "migrated-crash"
    else:
        assert outcome.ended_by == "migrated"


def test_an_app_that_lets_the_disconnect_out_as_an_error_did_not_crash(upgraded):
    async def app(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        raise RuntimeError("the client has left")

    async def run():
        async with upgraded(app) as client:
            client.send(Opcode.CLOSE, b"\x03\xe8")
            client.writer.write_eof()
            return await asyncio.wait_for(client.relay, 60)

    assert asyncio.run(run()).ended_by == "client"


def test_silence_beyond_the_idle_limit_is_closed_with_1001(upgraded):
    async def run():
        async with upgraded(echo, stream_idle_s=0.1) as client:
            code = await client.close_code()
            client.writer.write_eof()
            return code, (await asyncio.wait_for(client.relay, 60)).ended_by

    assert asyncio.run(run()) == (1001, "idle")


def test_a_client_that_does_not_read_stops_the_app(upgraded):
    sent = []

    async def app(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            await send({"type": "websocket.send", "bytes": b"x" * 65_536})
            sent.append(1)

    async def run():
        async with upgraded(app) as client:
            before = -1
            while before != len(sent):
                before = len(sent)
                await asyncio.sleep(0.05)
            client.writer.transport.abort()
            return before

    assert asyncio.run(run()) < 64  # socket buffers and 64 KiB: not the endless stream


def test_an_app_that_does_not_receive_stops_the_client(upgraded):
    enough = asyncio.Event()

    async def app(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await enough.wait()

    async def run():
        async with upgraded(app) as client:
            sent = 0
            try:
                while sent < 1_000:
                    client.send(Opcode.BINARY, b"x" * 65_000)
                    async with asyncio.timeout(0.3):
                        await client.writer.drain()
                    sent += 1
            except TimeoutError:
                pass
            client.writer.transport.abort()
            enough.set()
            return sent

    assert asyncio.run(run()) < 64


@pytest.mark.parametrize(
    "wrong",
    [(b"sec-websocket-version", b"8"), (b"sec-websocket-key", b"short")],
    ids=["another version", "no key"],
)
def test_a_handshake_that_is_none_is_400_and_tells_the_version(shaken, handshake, wrong):
    headers = [pair for pair in handshake if pair[0] != wrong[0]] + [wrong]

    reply, _ = shaken(echo, headers)

    assert (reply.status, reply.failure.code) == (400, "bad-request")
    assert (b"sec-websocket-version", b"13") in reply.headers


def test_where_the_server_cannot_hand_its_client_over_an_upgrade_is_501(shaken):
    reply, _ = shaken(echo, can_switch=False)

    assert (reply.status, reply.failure.code) == (501, "no-upgrade")


def test_the_handshake_is_answered_with_the_app_s_headers_and_choice(shaken, handshake):
    scope_of = {}

    async def app(scope, receive, send):
        scope_of.update(scope)
        await receive()
        headers = [(b"X-A", b"b"), (b"Sec-WebSocket-Accept", b"forged"), (b"Upgrade", b"h2c")]
        await send({"type": "websocket.accept", "subprotocol": "b", "headers": headers})

    reply, _ = shaken(app, [*handshake, (b"sec-websocket-protocol", b"a, b")])

    found = [pair for pair in reply.headers if pair[0] != b"date"]
    assert found == [
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (b"x-a", b"b"),
        (b"sec-websocket-protocol", b"b"),
    ]
    assert (scope_of["subprotocols"], scope_of["scheme"]) == (["a", "b"], "ws")


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        pytest.param([{"type": "websocket.close"}], 403, id="a close refuses"),
        pytest.param([{"type": "websocket.accept", "subprotocol": "x"}], 500, id="not offered"),
        pytest.param([{"type": "websocket.send", "text": "x"}], 500, id="a message too early"),
        pytest.param([], 500, id="no answer"),
        pytest.param([{"type": "websocket.http.response.body"}], 500, id="a body without a head"),
        pytest.param(
            [
                {"type": "websocket.http.response.start", "status": 401, "headers": []},
                {"type": "websocket.http.response.body", "body": b"who?"},
            ],
            401,
            id="an answer of its own",
        ),
    ],
)
def test_an_app_that_does_not_accept_gives_an_answer(shaken, messages, status):
    async def app(_scope, receive, send):
        await receive()
        for message in messages:
            await send(message)

    reply, body = shaken(app)

    assert (reply.status, reply.upgraded) == (status, None)
    assert status != 401 or body == b"who?"


def test_an_app_that_neither_accepts_nor_refuses_in_time_is_504(shaken):
    async def app(_scope, receive, _send):
        await receive()
        await receive()

    reply, _ = shaken(app, response_s=0.05)

    assert (reply.status, reply.failure.code) == (504, "migrated-timeout")


def test_a_client_that_is_gone_before_the_101_is_told_to_the_app(shaken):
    reply = []

    async def app(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        reply.append((await receive())["code"])

    shaken(app)

    assert reply == [1006]
