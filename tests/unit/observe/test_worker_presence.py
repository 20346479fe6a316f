"""A worker's place on the board, when the state folder comes and goes."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest

from overgrow.observe.board import workers
from overgrow.process.presence import Presence

WAIT_S = 60.0


@pytest.fixture
def state(tmp_path):
    """A state folder that cannot be had at first: a file is in its place."""
    (tmp_path / "state").write_text("")
    return tmp_path / "state"


@asynccontextmanager
async def held_up(presence):
    """Everything that is asked of the board meanwhile waits, as it does for a file system that hangs."""
    released = threading.Event()
    holding = asyncio.ensure_future(presence._files.call(released.wait, WAIT_S))
    try:
        yield
    finally:
        released.set()
        await holding


def come_home_while(state, act):
    """Let a worker come home to its folder, while `act` waits behind that."""

    async def scenario():
        presence = Presence(state, state.parent / "routes.yaml", lambda: {"revision": "new"})
        assert presence.home != state
        publishing = asyncio.ensure_future(presence.publish_changes())
        state.unlink()
        state.mkdir()
        async with held_up(presence):
            coming_home = asyncio.ensure_future(presence.repair_board())
            await asyncio.sleep(0)
            acting = asyncio.ensure_future(act(presence))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await coming_home
        await acting
        is_publishing = not publishing.done()
        publishing.cancel()
        await asyncio.wait({publishing})
        return is_publishing, [each["revision"] for each in workers(state / "board")]

    return asyncio.run(scenario())


def test_what_was_to_be_published_is_told_at_home(state):
    async def publish(presence):
        presence.publish()
        await presence.wait_until_published()

    assert (True, ["new"]) == come_home_while(state, publish)


def test_a_worker_that_leaves_gives_back_the_slot_at_home(state):
    async def leave(presence):
        await presence.close()
        assert not presence.slot.is_held

    assert [] == come_home_while(state, leave)[1]
