"""Sends the body of a request to the upstream, at the pace of the slower of client and upstream.

Rule: each streamed body has one task, which ends with its exchange. An error of the caller's own iterator
reaches the caller unchanged; the connection reports its own errors. Sending a body that has arrived completely
does not delay other requests: see `_yield_after_many_pieces`.
"""

from __future__ import annotations

import asyncio
import contextlib

import httpx

from overgrow.forwarding.client.connection import UpstreamConnection
from overgrow.forwarding.client.errors import transport_error
from overgrow.forwarding.client.request import LAST_CHUNK
from overgrow.forwarding.client.response_cycle import ResponseCycle

CONTINUE_S = 0.5  # less than clients wait themselves: curl 1 s
PIECES_AT_A_TIME = 16  # about a megabyte of full ones, about a millisecond of tiny ones


async def send_body(exchange: ResponseCycle, connection: UpstreamConnection) -> None:
    """Send a streamed body with the framing that its headers announce. If that fails, fail the exchange."""
    if exchange.continued is not None:
        await _wait_for_continue(exchange.continued)
    exchange.took_body = True
    try:
        if exchange.outgoing.length is None:
            await _send_chunks(exchange, connection)
        else:
            await _send_announced_length(exchange, connection, exchange.outgoing.length)
    except Exception as error:  # noqa: BLE001 - it is the caller's, and goes back to the caller
        exchange.fail(error)
    else:
        exchange.sent = True
        connection.start_response_timeout()
        exchange.deliver_delayed_challenge()


async def _wait_for_continue(continued: asyncio.Event) -> None:
    """Wait until the upstream asks for the body, but at most for CONTINUE_S, because an HTTP/1.0 server never asks."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CONTINUE_S):
            await continued.wait()


async def _send_chunks(exchange: ResponseCycle, connection: UpstreamConnection) -> None:
    """Send each piece as one chunk, then the last chunk (RFC 9112 7.1)."""
    stream = exchange.outgoing.stream
    assert stream is not None  # noqa: S101 - a request without one has no sender
    pieces = 0
    async for data in stream:
        if data:
            connection.write_pieces([b"%x\r\n" % len(data), data, b"\r\n"])
            await connection.wait_writable()
        pieces += 1
        await _yield_after_many_pieces(pieces)
    connection.write(LAST_CHUNK)


async def _send_announced_length(
    exchange: ResponseCycle, connection: UpstreamConnection, length: int
) -> None:
    """Send exactly the announced number of bytes (RFC 9112 6.2)."""
    stream = exchange.outgoing.stream
    assert stream is not None  # noqa: S101 - as above
    sent_bytes = pieces = 0
    async for data in stream:
        sent_bytes += len(data)
        if sent_bytes > length:
            break
        if data:
            connection.write(data)
            await connection.wait_writable()
        pieces += 1
        await _yield_after_many_pieces(pieces)
    if sent_bytes != length:
        text = f"The request's body is not the {length} bytes that its Content-Length announces."
        raise transport_error(httpx.LocalProtocolError, "send", text)


async def _yield_after_many_pieces(pieces: int) -> None:
    """Let other tasks run after every PIECES_AT_A_TIME pieces.

    Sending a body that has arrived completely may need no wait at all, so that it would delay other tasks.
    """
    if pieces % PIECES_AT_A_TIME == 0:
        await asyncio.sleep(0)
