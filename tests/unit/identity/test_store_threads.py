"""Threads for a store that may hang: the others go on, nothing waits at the end, and secrets are in no repr."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from overgrow.identity.reader import Lookup, Materials
from overgrow.identity.readers import BUILDERS
from overgrow.identity.store_threads import THREADS, StoreThreads
from overgrow.routing.identity import IdentitySource, JwtRules
from tests.programs import IMPORT_PATH


def test_a_call_that_hangs_leaves_the_other_threads_to_the_others():
    go_on = threading.Event()

    async def ask():
        threads = StoreThreads("store")
        hanging = [asyncio.create_task(threads.call(go_on.wait)) for _ in range(THREADS - 1)]
        await asyncio.sleep(0)
        for each in hanging:  # their users have left
            each.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        return [await threads.call(str, number) for number in range(20)]

    try:
        found = asyncio.run(ask())
    finally:
        go_on.set()

    assert [str(number) for number in range(20)] == found


def test_a_thread_counts_as_idle_once_its_calls_have_ended():
    async def ask():
        threads, go_on = StoreThreads("store"), threading.Event()
        running = [asyncio.create_task(threads.call(go_on.wait)) for _ in range(THREADS)]
        waiting = [asyncio.create_task(threads.call(go_on.wait)) for _ in range(THREADS)]
        await asyncio.sleep(0)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        go_on.set()
        await asyncio.gather(*running)
        with pytest.raises(ZeroDivisionError):
            await threads.call(lambda: 1 / 0)
        return threads._waiting

    assert [0] * THREADS == asyncio.run(ask())


def test_a_store_that_hangs_does_not_hold_the_end_of_a_process():
    program = (
        "import asyncio, threading\n"
        "from overgrow.identity.store_threads import StoreThreads\n"
        "async def ask():\n"
        "    task = asyncio.create_task(StoreThreads('store').call(threading.Event().wait))\n"
        "    await asyncio.wait([task], timeout=0.1)\n"
        "asyncio.run(ask())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": IMPORT_PATH}, timeout=120, check=False
    )

    assert done.returncode == 0


@pytest.mark.parametrize("reader", ["django", "flask", "express", "php", "jwt"])
def test_no_repr_shows_a_secret_or_a_session(reader):
    source = IdentitySource(reader, "c", jwt=JwtRules(("HS256",)), sessions_query="SELECT :id")
    materials = Materials(source, (b"hush",), "sqlite:///hush", "sqlite:///hush")
    built = BUILDERS[reader](materials)

    shown = repr([materials, built, built._sessions, Lookup(b"1234", b"hush")])

    assert "hush" not in shown
