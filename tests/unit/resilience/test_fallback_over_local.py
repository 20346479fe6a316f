"""Fallback around the real local side: bodies, streams and threads as they are in production."""

from __future__ import annotations

import asyncio

import pytest

from overgrow.exchange import Reply
from overgrow.resilience.fallback import KEPT_BYTES, Fallback
from overgrow.routing.model import Timeouts
from overgrow.wsgi.server import WsgiServer


@pytest.fixture
def visit(side, decided, inbound_of):
    """Send a body in pieces to an app; the reply and the bodies that legacy got."""

    def visited(app, *chunks, threads=2, **timeouts):
        async def scenario():
            local, legacy = WsgiServer(app, threads=threads), side([Reply(200, [], b"legacy")])
            decision = decided(timeouts=Timeouts(**timeouts))
            server = Fallback(local, legacy)
            try:
                reply = await server.serve(inbound_of(*chunks), decision)
                await reply.close()
            finally:
                await local.aclose()
            return reply, legacy.bodies

        return asyncio.run(scenario())

    return visited


def reads_some_and_crashes(environ, _start_response):
    environ["wsgi.input"].read(3)
    raise OSError("the disk is full")


def test_legacy_gets_the_body_whole_of_which_the_app_read_a_part(visit):
    reply, bodies = visit(reads_some_and_crashes, b"one ", b"two ", b"three")

    assert (reply.body, bodies) == (b"legacy", [b"one two three"])


def test_an_upload_over_the_limit_is_served_and_its_failure_is_migrateds(visit):
    reply, bodies = visit(reads_some_and_crashes, b"x" * KEPT_BYTES, b"y" * KEPT_BYTES, b"z")

    assert (reply.failure.code, reply.fallback, bodies) == ("migrated-crash", None, [])


def test_an_upload_over_the_limit_reaches_the_app_whole(visit):
    def counts(environ, start_response):
        start_response("200 OK", [])
        return [str(len(environ["wsgi.input"].read())).encode()]

    reply, _ = visit(counts, *[b"x" * KEPT_BYTES] * 5)

    assert reply.body == str(5 * KEPT_BYTES).encode()


def test_an_error_page_that_is_streamed_is_dropped_and_its_thread_freed(visit):
    closed = []

    class Pages:
        def __iter__(self):
            while True:
                yield b"x" * 100_000

        def close(self):
            closed.append(True)

    def app(_environ, start_response):
        start_response("503 Service Unavailable", [])
        return Pages()

    reply, _ = visit(app)

    assert (reply.body, reply.fallback.code, closed) == (b"legacy", "503", [True])


def test_an_answer_that_breaks_after_its_head_is_not_replaced(visit):
    def app(_environ, start_response):
        start_response("200 OK", [])
        yield b"half"
        raise OSError("the disk is full")

    reply, bodies = visit(app)

    assert (reply.status, reply.fallback, bodies) == (200, None, [])


def test_an_app_that_copies_the_environ_may_ask_for_its_commit_point(visit):
    def app(environ, _start_response):
        dict(environ)["overgrow.commit"]()
        raise OSError("after the commit")

    reply, _ = visit(app)

    assert (reply.failure.code, reply.fallback) == ("migrated-crash", None)
