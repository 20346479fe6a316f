"""A body whose pieces are all there already does not keep the rest of the loop waiting."""

import asyncio

import pytest

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
