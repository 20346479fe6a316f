"""The worker that records the history: it opens the store when it must, and closes it when another one records."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from overgrow.observe.board import claim_slot
from overgrow.observe.counter_identity import has_identity, identify_counters
from overgrow.observe.metrics import Metrics
from overgrow.process import request_history as module
from overgrow.process.request_history import RequestHistory
from overgrow.settings import Settings
from overgrow.store.engine import store_url
from overgrow.store.history.reading import plan_period, read_history
from overgrow.store.reader import open_reader
from tests.programs import IMPORT_PATH
from tests.unit.observe.exchanges import exchange


class Board:
    """A worker's presence; a test says whether it speaks for all."""

    def __init__(self, home):
        self.home, self.speaks, self.published = home, True, 0
        self.board = home / "board"

    async def is_spokesman(self):
        return self.speaks

    def publish(self):
        self.published += 1


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path)


@pytest.fixture
def metrics(tmp_path):
    identify_counters(tmp_path / "metrics")
    counters = Metrics(tmp_path / "metrics", 0)
    yield counters
    counters.close()


@pytest.fixture
def history(tmp_path, board):
    table = SimpleNamespace(history_max=10**9)
    live = SimpleNamespace(matcher=SimpleNamespace(table=table))
    app = SimpleNamespace(live=live, state=tmp_path, settings=Settings())
    return RequestHistory(app, board)


def stored(state):
    """How many requests the history has."""
    period = plan_period(0, 4e9, None, 4e9)
    with open_reader(store_url(state, None)) as reader:
        sides = read_history(reader, "", period, 19).sides
    return sum(sum(counts[1:]) for steps in sides.values() for counts in steps.values())


def test_the_first_worker_records_for_all(history, metrics, tmp_path):
    metrics.record(exchange())
    asyncio.run(history._record_or_rest())

    assert (1, False) == (stored(tmp_path), identify_counters(tmp_path / "metrics").is_new)


def test_another_worker_opens_no_store(history, metrics, board, tmp_path):
    board.speaks = False
    metrics.record(exchange())
    asyncio.run(history._record_or_rest())

    assert not (tmp_path / "store.sqlite3").exists()


def test_a_worker_in_a_temporary_folder_opens_no_store(history, board, tmp_path):
    board.home = tmp_path / "elsewhere"
    asyncio.run(history._record_or_rest())

    assert not (tmp_path / "store.sqlite3").exists()


def test_a_worker_that_no_longer_records_closes_the_store(history, metrics, board):
    async def record_and_rest():
        await history._record_or_rest()
        board.speaks = False
        await history._record_or_rest()

    asyncio.run(record_and_rest())

    assert (None, None) == (history._writer, history._totals)


@pytest.mark.parametrize(("others", "expected"), [(0, 1), (1, None)])
def test_the_last_worker_stores_what_is_left(history, metrics, tmp_path, others, expected):
    slots = [claim_slot(tmp_path / "board") for _ in range(others)]
    for slot in slots:
        slot.publish({})
    metrics.record(exchange())
    asyncio.run(history.finish())
    for slot in slots:
        slot.release()

    assert expected == (stored(tmp_path) if (tmp_path / "store.sqlite3").exists() else None)


@pytest.mark.parametrize("records", [True, False], ids=["the one that records", "another one"])
def test_the_next_start_stores_what_is_left_where_clients_wait(history, metrics, tmp_path, records):
    async def end():
        if records:
            await history._record_or_rest()
        metrics.record(exchange())
        await history.finish(has_waiting_clients=True)

    asyncio.run(end())
    store = tmp_path / "store.sqlite3"
    before = stored(tmp_path) if store.exists() else None
    successor = RequestHistory(history._app, history._presence)
    asyncio.run(successor._record_or_rest())

    assert (0 if records else None, 1) == (before, stored(tmp_path))


def test_a_board_that_does_not_answer_holds_up_no_end(history, metrics, monkeypatch):
    answers = threading.Event()
    monkeypatch.setattr(module, "workers", lambda _: answers.wait())
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    asyncio.run(history.finish())
    answers.set()

    assert history._writer is None


def test_a_removed_folder_gets_its_name_back(history, metrics, tmp_path):
    async def record_twice():
        await history._record_or_rest()
        (tmp_path / "metrics/history.json").unlink()
        await history._record_or_rest()

    name = identify_counters(tmp_path / "metrics").name
    asyncio.run(record_twice())

    assert (True, name) == (
        has_identity(tmp_path / "metrics"),
        identify_counters(tmp_path / "metrics").name,
    )


def test_a_removed_state_folder_is_left_for_the_board_to_make(history, metrics, tmp_path):
    async def record_twice():
        await history._record_or_rest()
        tmp_path.rename(tmp_path.with_name("removed"))
        await history._record_or_rest()

    asyncio.run(record_twice())

    assert not tmp_path.exists()


def test_a_store_that_cannot_be_used_is_told_and_tried_again(history, metrics, tmp_path, caplog):
    (tmp_path / "store.sqlite3").mkdir()
    asyncio.run(history._record_or_rest())
    problem = history.problem
    (tmp_path / "store.sqlite3").rmdir()
    metrics.record(exchange())
    history._writer._retry_s = 0.0  # as if the pause were over
    asyncio.run(history._record_or_rest())

    assert ("unable to open database file" in problem, None) == (True, history.problem)
    assert 1 == stored(tmp_path)


def test_a_store_of_another_kind_is_told_once(metrics, tmp_path, board, caplog):
    table = SimpleNamespace(history_max=10**9)
    live = SimpleNamespace(matcher=SimpleNamespace(table=table))
    settings = Settings(store_url="mysql://h/d")
    history = RequestHistory(SimpleNamespace(live=live, state=tmp_path, settings=settings), board)
    for _ in range(3):
        asyncio.run(history._record_or_rest())

    assert "mysql://h/d" in history.problem
    assert 1 == len([each for each in caplog.records if "no history is kept" in each.message])


def test_a_worker_that_needs_no_store_does_not_import_it():
    lines = "import overgrow.app, sys; print([n for n in ('sqlalchemy', 'alembic') if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", lines],
        env={"PYTHONPATH": IMPORT_PATH},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "[]" == done.stdout.strip()
