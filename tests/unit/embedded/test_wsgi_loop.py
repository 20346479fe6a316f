"""The background loop by itself: the lifespans of its apps, and its end."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from overgrow.embedded.background_loop import Background, background, starting
from tests.locking import waits_for

WAIT_S = 60  # a bound on a wait that succeeds costs nothing


@pytest.fixture
def ground():
    made = Background()
    yield made
    made.close()


def test_closing_ends_the_lifespans_cancels_the_rest_and_stops_the_thread(ground):
    ended = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        ended.append((await receive())["type"])

    async def endless():
        await asyncio.Event().wait()

    ground.lifespan(app)
    running = ground.run(endless())
    ground.close()

    assert ended == ["lifespan.shutdown"]
    assert running.cancelled()
    assert ground.loop.is_closed()


def test_closing_twice_does_nothing_more(ground):
    ground.close()
    ground.close()

    assert ground.loop.is_closed()


def test_ending_a_lifespan_whose_loop_is_gone_does_nothing(ground):
    async def app(scope, receive, send):
        raise TypeError(scope["type"])

    life = ground.lifespan(app)
    ground.close()
    life.end()

    assert life.ready.is_set()


def test_a_start_that_fails_is_logged_and_the_requests_will_tell(ground, caplog):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no table"})

    ground.lifespan(app)

    assert "no table" in caplog.text


def test_a_start_that_takes_too_long_does_not_hold_up_requests_for_ever(
    ground, caplog, monkeypatch
):
    monkeypatch.setattr("overgrow.embedded.background_loop.START_S", 0.01)
    asked = threading.Event()

    async def app(scope, receive, send):
        asked.set()
        await asyncio.Event().wait()

    with caplog.at_level(logging.WARNING):
        ground.lifespan(app)

    assert asked.wait(WAIT_S)
    assert "not ready within" in caplog.text


def test_the_loop_of_a_process_is_made_by_one_request_at_a_time():
    assert waits_for(starting(), background)


def test_a_closed_loop_of_the_process_gives_way_to_a_new_one():
    first = background()
    first.close()

    assert background() is not first
    assert not background().loop.is_closed()
