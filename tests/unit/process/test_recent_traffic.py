"""When a worker writes its recent decisions and unrouted paths: at once if they are few, seldom if nobody looks."""

import asyncio
import fcntl
import os
from types import SimpleNamespace

import pytest

from overgrow.observe.decision_ring import MOST, note_watcher, read_decisions
from overgrow.observe.unrouted import read_unrouted
from overgrow.process import recent_traffic as module
from overgrow.process.recent_traffic import FEW, RecentTraffic
from tests.unit.observe.exchanges import NOW_S, decision, exchange


@pytest.fixture
def traffic(tmp_path):
    (tmp_path / "metrics").mkdir()
    presence = SimpleNamespace(home=tmp_path, slot=SimpleNamespace(number=0))
    recent = RecentTraffic(presence, lambda *_: None)
    recent.folder = tmp_path / "metrics"
    return recent


def run(traffic, *steps):
    """Let the worker look after each step, which may record something."""

    async def look():
        for step in steps:
            step()
            await traffic._write()

    asyncio.run(look())
    return read_decisions(traffic.folder, 0)


def record(traffic, count=1, **given):
    return lambda: [traffic.sink.record(exchange(**given)) for _ in range(count)]


def test_few_decisions_are_written_at_once(traffic):
    page = run(traffic, record(traffic, FEW), record(traffic))

    assert (FEW + 1, 0) == (len(page.records), page.missed)


def test_many_decisions_wait_while_nobody_looks(traffic, monkeypatch):
    monkeypatch.setattr(module, "WATCHED_S", 0)
    page = run(traffic, record(traffic, FEW + 1), record(traffic, FEW + 1))

    assert FEW + 1 == len(page.records)


def test_many_decisions_are_written_each_second_while_somebody_looks(traffic, monkeypatch):
    monkeypatch.setattr(module, "WATCHED_S", 0)
    note_watcher(traffic.folder)
    page = run(traffic, record(traffic, FEW + 1), record(traffic, FEW + 1))

    assert 2 * (FEW + 1) == len(page.records)


def test_decisions_beyond_the_newest_are_counted_as_missed(traffic):
    page = run(traffic, record(traffic, MOST + 7))

    assert (MOST, 7) == (len(page.records), page.missed)


def test_decisions_wait_for_another_worker_that_writes(traffic):
    held = os.open(traffic.folder / "decisions.seq", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    page = run(traffic, record(traffic, 2), lambda: None, lambda: os.close(held))

    assert (2, 0) == (len(page.records), page.missed)


async def until(probe):
    while not probe():  # noqa: ASYNC110 - a file tells nobody
        await asyncio.sleep(0.01)


def test_what_cannot_be_written_is_reported_once_and_written_later(traffic, caplog):
    folder = traffic.folder
    folder.rmdir()

    async def look():
        record(traffic, 2)()
        task = asyncio.create_task(traffic.write_continually())
        await until(lambda: caplog.records)
        folder.mkdir()
        await until(lambda: read_decisions(folder).records)
        task.cancel()

    asyncio.run(look())
    assert ["recent-traffic-lost"] == [each.message.split()[0] for each in caplog.records]
    assert 2 == len(read_decisions(folder).records)


def test_the_last_decisions_are_written_when_the_worker_ends(traffic):
    async def end():
        record(traffic, FEW + 1)()
        traffic.sink.record(exchange("legacy", decision=decision("legacy", None)))
        await traffic.close()

    asyncio.run(end())
    assert FEW + 2 == len(read_decisions(traffic.folder).records)
    assert 1 == read_unrouted(traffic.folder, NOW_S).requests
