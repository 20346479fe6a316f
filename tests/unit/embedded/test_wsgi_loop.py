"""The background loop by itself: the lifespans of its apps, and its end."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from overgrow.embedded.background_loop import BackgroundLoop, background_loop, process_lock
from tests.locking import waits_for

WAIT_S = 60  # a bound on a wait that succeeds costs nothing


@pytest.fixture
def background():
    made = BackgroundLoop()
    yield made
    made.close()


def test_closing_ends_the_lifespans_cancels_the_rest_and_stops_the_thread(background):
    ended = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        ended.append((await receive())["type"])

    async def endless():
        await asyncio.Event().wait()

    background.start_lifespan(app)
    running = background.submit(endless())
    background.close()

    assert ended == ["lifespan.shutdown"]
    assert running.cancelled()
    assert background.loop.is_closed()


def test_closing_twice_does_nothing_more(background):
    background.close()
    background.close()

    assert background.loop.is_closed()


def test_ending_a_lifespan_whose_loop_is_gone_does_nothing(background):
    async def app(scope, receive, send):
        raise TypeError(scope["type"])

    lifespan = background.start_lifespan(app)
    background.close()
    lifespan.request_stop_threadsafe()

    assert lifespan.ready.is_set()


def test_a_start_that_fails_is_logged_and_the_requests_will_tell(background, caplog):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no table"})

    background.start_lifespan(app)

    assert "no table" in caplog.text


def test_a_start_that_takes_too_long_does_not_hold_up_requests_for_ever(
    background, caplog, monkeypatch
):
    monkeypatch.setattr("overgrow.embedded.background_loop.START_S", 0.01)
    asked = threading.Event()

    async def app(scope, receive, send):
        asked.set()
        await asyncio.Event().wait()

    with caplog.at_level(logging.WARNING):
        background.start_lifespan(app)

    assert asked.wait(WAIT_S)
    assert "not ready within" in caplog.text


def test_the_loop_of_a_process_is_made_by_one_request_at_a_time():
    assert waits_for(process_lock(), background_loop)


def test_a_closed_loop_of_the_process_gives_way_to_a_new_one():
    first = background_loop()
    first.close()

    assert background_loop() is not first
    assert not background_loop().loop.is_closed()
