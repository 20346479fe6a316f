"""Request bodies: framing, back-pressure, early answers, errors of the body's own iterator."""

import asyncio
import socket
import threading

import httpx
import pytest

from overgrow.forwarding.client.transport import LegacyTransport, UpstreamTimeouts
from tests.wire.transport.upstream import HEAD_END, OK, body_of, eventually, request, until_broken

CHUNKED = [(b"Host", b"h"), (b"transfer-ENCODING", b"Chunked")]


class Lost(Exception):
    """What a request's own body may raise."""


async def pieces(*parts):
    for part in parts:
        await asyncio.sleep(0)
        yield part


def recorder(received, end):
    """Make a script that reads one request up to these bytes and answers it."""

    async def script(peer):
        received.extend(await peer.reader.readuntil(HEAD_END))
        received.extend(await peer.reader.readuntil(end))
        await peer.send(OK)

    return script


FRAMINGS = [
    pytest.param(CHUNKED, (b"ab", b"", b"c"), b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", id="chunked"),
    pytest.param([(b"Content-Length", b"3")], (b"ab", b"", b"c"), b"abc", id="length"),
    pytest.param(
        [(b"A", b"b")], (b"ab", b"c"), b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", id="none announced"
    ),
]


@pytest.mark.parametrize("in_memory", [False, True], ids=["streamed", "in memory"])
@pytest.mark.parametrize(("headers", "parts", "on_the_wire"), FRAMINGS)
def test_a_body_is_framed_as_its_headers_say(
    run, headers, parts, on_the_wire, in_memory
):  # RFC 9112 6
    received = bytearray()
    stream = httpx.ByteStream(b"".join(parts)) if in_memory else pieces(*parts)
    one = request("POST", headers=headers, stream=stream)

    async def scenario(transport, upstream):
        return await body_of(await transport.handle_async_request(one))

    assert run(scenario, recorder(received, on_the_wire[-5:])) == b"ok"
    head, _, body = bytes(received).partition(HEAD_END)
    expected = b"3\r\nabc\r\n0\r\n\r\n" if in_memory and on_the_wire != b"abc" else on_the_wire
    assert body == expected
    assert (b"Transfer-Encoding: chunked" in head) == (headers == [(b"A", b"b")])


@pytest.mark.parametrize(
    "headers", [CHUNKED, [(b"Content-Length", b"0")]], ids=["chunked", "length"]
)
@pytest.mark.parametrize("in_memory", [False, True], ids=["streamed", "in memory"])
def test_an_announced_empty_body_is_sent_as_announced(run, headers, in_memory):  # RFC 9112 7.1
    received = bytearray()
    stream = httpx.ByteStream(b"") if in_memory else pieces()

    async def script(peer):
        received.extend(await peer.head())
        if headers is CHUNKED:
            received.extend(await peer.body(5))
        await peer.send(OK)

    async def scenario(transport, upstream):
        await transport.handle_async_request(request("POST", headers=headers, stream=stream))

    run(scenario, script)

    assert bytes(received).endswith(b"\r\n\r\n0\r\n\r\n" if headers is CHUNKED else b": 0\r\n\r\n")


@pytest.mark.parametrize(
    ("announced", "sent"), [(b"5", b"abc"), (b"2", b"abc")], ids=["short", "long"]
)
def test_a_body_that_is_not_its_announced_length_breaks_off(run, announced, sent):  # RFC 9112 6.3
    received = []

    async def script(peer):
        await peer.head()
        received.append(await peer.until_end())

    async def scenario(transport, upstream):
        one = request("POST", headers=[(b"Content-Length", announced)], stream=pieces(sent))
        with pytest.raises(httpx.LocalProtocolError) as raised:
            await transport.handle_async_request(one)
        await eventually(lambda: received)
        return raised.value.stage, transport._pool.counted

    assert run(scenario, script) == ("send", 0)
    assert len(received[0]) <= int(announced)


def test_a_body_error_reaches_the_caller_unchanged_and_breaks_the_request(run):
    error = Lost()
    received = []

    async def body():
        yield b"abc"
        raise error

    async def script(peer):
        await peer.head()
        received.append(await peer.until_end())

    async def scenario(transport, upstream):
        with pytest.raises(Lost) as raised:
            await transport.handle_async_request(request("POST", headers=CHUNKED, stream=body()))
        await eventually(lambda: received)
        return raised.value is error, transport._pool.counted

    assert run(scenario, script) == (True, 0)
    assert not received[0].endswith(b"0\r\n\r\n")  # never an end that looks whole


def test_a_body_error_after_the_response_head_breaks_the_response(run):
    go_on = asyncio.Event()

    async def body():
        yield b"abc"
        await go_on.wait()
        raise Lost

    async def script(peer):
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n")
        await peer.until_end()

    async def scenario(transport, upstream):
        response = await transport.handle_async_request(
            request("POST", headers=CHUNKED, stream=body())
        )
        first = await anext(response.stream)
        go_on.set()
        return first, type((await until_broken(response))[1])

    assert run(scenario, script) == (b"xyz", Lost)


def test_a_large_upload_is_held_back_while_the_upstream_does_not_read(run):
    size, taken = 30_000_000, []
    go_on = asyncio.Event()

    async def body():
        for _ in range(size // 100_000):
            taken.append(100_000)
            yield b"x" * 100_000

    async def script(peer):
        await peer.head()
        await go_on.wait()
        await peer.body(size)
        await peer.send(OK)

    async def scenario(transport, upstream):
        one = request("PUT", headers=[(b"Content-Length", b"%d" % size)], stream=body())
        sending = asyncio.ensure_future(transport.handle_async_request(one))
        before = -1
        while before != len(taken):
            before = len(taken)
            await asyncio.sleep(0.05)
        go_on.set()
        return before * 100_000, (await sending).stream.whole

    taken_meanwhile, answer = run(scenario, script)

    assert taken_meanwhile < size - 10_000_000
    assert answer == b"ok"


@pytest.mark.parametrize(
    ("early", "status"),
    [
        pytest.param(
            b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nmuch", 413, id="an error"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nmuch", 200, id="200 and close"),
        pytest.param(
            b"HTTP/1.1 303 See Other\r\nContent-Length: 4\r\n\r\nmuch", 303, id="303 without close"
        ),
    ],
)
def test_an_early_answer_ends_the_upload_and_the_connection(run, early, status):  # RFC 9112 9.3
    stopped = []

    async def body():
        try:
            yield b"abc"
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append(True)
            raise

    async def script(peer):
        await peer.head()
        await peer.body(8)
        await peer.send(early)
        if b"Connection: close" in early:
            peer.end()
        await peer.until_end()

    async def scenario(transport, upstream):
        response = await transport.handle_async_request(
            request("POST", headers=CHUNKED, stream=body())
        )
        answer = await body_of(response)
        return response.status_code, answer, transport._pool.counted

    assert run(scenario, script) == (status, b"much", 0)
    assert stopped == [True]


def test_an_upstream_may_answer_while_it_reads(
    run,
):  # RFC 9110 7.5: both directions are independent
    async def body(heard):
        yield b"ping"
        await heard.wait()
        yield b"pong"

    async def script(peer):
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(2):
            await peer.reader.readuntil(b"\r\n")
            data = await peer.body(4)
            await peer.body(2)
            await peer.send(b"4\r\n" + data + b"\r\n")
        await peer.body(5)
        await peer.send(b"0\r\n\r\n")
        await peer.until_end()

    async def scenario(transport, upstream):
        heard = asyncio.Event()
        one = request("POST", headers=CHUNKED, stream=body(heard))
        response = await transport.handle_async_request(one)
        first = await anext(response.stream)
        heard.set()
        return first, await body_of(response), transport._pool.counted

    assert run(scenario, script) == (b"ping", b"pong", 1)


def test_an_upload_ends_at_the_head_of_an_unfinished_refusal(run):
    ended = asyncio.Event()

    async def body():
        try:
            yield b"ab"
            await asyncio.Event().wait()  # a client that sends on only when it is asked to
        finally:
            ended.set()

    async def script(peer):
        await peer.head()
        await peer.body(2)
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nto")
        await ended.wait()
        await peer.send(b"big")

    async def scenario(transport, upstream):
        one = request("POST", headers=[(b"Content-Length", b"9")], stream=body())
        return await body_of(await transport.handle_async_request(one))

    assert run(scenario, script) == b"tobig"


def test_what_goes_out_keeps_a_silent_answer_alive(run):  # idle: both ways count
    async def body():
        for _ in range(8):
            yield b"x"
            await asyncio.sleep(0.12)  # all together are longer than the limit

    async def script(peer):
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await peer.reader.readuntil(b"0\r\n\r\n")
        await peer.send(b"2\r\nok\r\n0\r\n\r\n")

    async def scenario(transport, upstream):
        one = request("POST", headers=CHUNKED, stream=body(), overgrow=UpstreamTimeouts(idle_s=0.8))
        return await body_of(await transport.handle_async_request(one))

    assert run(scenario, script) == b"ok"


@pytest.mark.parametrize("piece_bytes", [10, 65536])
def test_an_early_error_is_not_lost_when_the_upstream_resets_behind_it(
    run, piece_bytes
):  # RFC 9112 9.6
    async def body():
        while True:
            yield b"x" * piece_bytes
            await asyncio.sleep(0)

    async def script(peer):
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nmuch")
        peer.writer.transport.abort()  # unread bytes wait: the kernel resets

    async def scenario(transport, upstream):
        statuses = []
        for _ in range(20):
            response = await transport.handle_async_request(
                request("POST", headers=CHUNKED, stream=body())
            )
            statuses.append((response.status_code, await body_of(response)))
        return set(statuses)

    assert run(scenario, script) == {(413, b"much")}


def test_an_early_error_is_not_lost_when_a_write_meets_the_reset_first(run):  # RFC 9112 9.6
    answered = threading.Event()

    def refuse(server):
        connection, _ = server.accept()
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nmuch")
        connection.close()
        answered.set()

    async def body():
        yield b"x" * 1000
        answered.wait()  # the loop stands still: nothing of the answer is read meanwhile
        yield b"y" * 1000
        yield b"z" * 1000
        await asyncio.Event().wait()

    async def scenario(transport, upstream):
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=refuse, args=(server,))
            thread.start()
            async with LegacyTransport(f"http://127.0.0.1:{server.getsockname()[1]}") as refused:
                one = request("POST", headers=CHUNKED, stream=body())
                response = await refused.handle_async_request(one)
                thread.join()
                return response.status_code, await body_of(response)

    assert run(scenario, recorder(bytearray(), b"")) == (413, b"much")


def test_an_upstream_that_stops_reading_is_a_write_timeout(run):
    async def body():
        while True:
            yield b"x" * 65536

    async def script(peer):
        await asyncio.sleep(60)

    async def scenario(transport, upstream):
        one = request("POST", headers=CHUNKED, stream=body(), overgrow=UpstreamTimeouts(idle_s=0.1))
        with pytest.raises(httpx.WriteTimeout) as raised:
            await transport.handle_async_request(one)
        return raised.value.stage, transport._pool.counted

    assert run(scenario, script) == ("send", 0)


def test_a_slow_client_is_not_blamed_on_the_upstream(run):
    async def body():
        yield b"a"
        await asyncio.sleep(1.2)  # longer than each limit
        yield b"b"

    limits = UpstreamTimeouts(response_s=0.8, idle_s=0.8)

    async def scenario(transport, upstream):
        one = request("POST", headers=CHUNKED, stream=body(), overgrow=limits)
        return (await transport.handle_async_request(one)).status_code

    assert run(scenario, recorder(bytearray(), b"0\r\n\r\n")) == 200


def test_a_large_body_in_memory_is_sent_whole(run):
    size = 1_000_000

    async def script(peer):
        await peer.head()
        await peer.body(size)
        await peer.send(OK)

    async def scenario(transport, upstream):
        stream = httpx.ByteStream(b"x" * size)
        one = request("POST", headers=[(b"Content-Length", b"%d" % size)], stream=stream)
        return (await transport.handle_async_request(one)).status_code

    assert run(scenario, script) == 200
