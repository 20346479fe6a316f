"""A body whose pieces are all there already does not keep the rest of the loop waiting."""

import asyncio

import pytest

from overgrow.forwarding.client.connection import UpstreamConnection
from overgrow.slow_clients.read_scheduler import AT_ONCE
from tests.wire.transport.upstream import HEAD_END, OK, body_of, request

PIECES = 400


@pytest.mark.parametrize(
    ("header", "end"),
    [
        pytest.param((b"Transfer-Encoding", b"chunked"), b"\r\n0\r\n\r\n", id="chunked"),
        pytest.param((b"Content-Length", b"400"), b"x" * PIECES, id="of a known length"),
    ],
)
def test_others_run_while_a_body_is_sent(run, header, end):
    rounds_at_end = []

    async def script(peer):
        await peer.reader.readuntil(HEAD_END)
        await peer.reader.readuntil(end)
        await peer.send(OK)

    async def scenario(transport, upstream):
        rounds = 0

        async def count():
            nonlocal rounds
            while True:
                rounds += 1
                await asyncio.sleep(0)

        async def ready():
            begun = rounds
            for _ in range(PIECES):
                yield b"x"
            rounds_at_end.append(rounds - begun)

        counting = asyncio.create_task(count())
        one = request("POST", headers=[header], stream=ready())
        found = await body_of(await transport.handle_async_request(one))
        counting.cancel()
        return found

    assert run(scenario, script) == b"ok"
    assert rounds_at_end[0] >= PIECES // 32


def test_of_many_large_answers_little_is_read_in_one_turn(run, monkeypatch):
    """A small request beside them is served between two turns, so none may be long."""
    count, size = 40, 1_500_000
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    read_bytes, most_bytes = 0, 0
    receive = UpstreamConnection.data_received

    def counted(connection, data):
        nonlocal read_bytes
        read_bytes += len(data)
        receive(connection, data)

    async def script(peer):
        await peer.head()
        await peer.send(head + b"x" * size)

    async def scenario(transport, upstream):
        async def watch():
            nonlocal read_bytes, most_bytes
            while True:
                most_bytes, read_bytes = max(most_bytes, read_bytes), 0
                await asyncio.sleep(0)

        asked = [transport.handle_async_request(request("GET")) for _ in range(count)]
        answers = await asyncio.gather(*asked)
        monkeypatch.setattr(UpstreamConnection, "data_received", counted)
        watching = asyncio.create_task(watch())
        bodies = await asyncio.gather(*map(body_of, answers))
        watching.cancel()
        return {len(body) for body in bodies}

    assert run(scenario, *[script] * count) == {size}
    assert most_bytes <= 2 * AT_ONCE * 256 * 1024
