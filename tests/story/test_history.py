"""The history in the store agrees with what clients saw, whoever was killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.exc import OperationalError

from overgrow.store import tables
from overgrow.store.history.packing import unpack
from tests.ports import free_port
from tests.story.front import eventually, running_front
from tests.story.load import get, run_load

TABLE = """\
version: 1
legacy:
  url: http://127.0.0.1:9
routes:
  - {name: old, path: /old, target: gone}
"""
REQUESTS = 20_000
ROWS = (tables.history_second, tables.history_minute, tables.history_hour)


def stored(folder, table=tables.history_second):
    """{(route, side): (errors, requests)} of a table of history; {} while there is none."""
    try:
        return read_rows(folder, table)
    except OperationalError:
        return {}


def read_rows(folder, table):
    found = {}
    engine = create_engine(f"sqlite:///{folder}/.overgrow/store.sqlite3")
    series = tables.history_series.c
    with engine.connect() as connection:
        rows = connection.execute(
            select(series.route, series.side, table.c.counts).where(series.id == table.c.series)
        ).all()
    engine.dispose()
    for route, side, packed in rows:
        errors, *requests = unpack(packed, 32)
        before = found.get((route, side), (0, 0))
        found[route, side] = (before[0] + errors, before[1] + sum(requests))
    return found


def expected(default, old):
    return {
        ("", "gone"): (0, old),
        ("", "legacy"): (default, default),  # legacy does not answer
        ("default", "legacy"): (default, default),
        ("old", "gone"): (0, old),
    }


def load(front, requests, at=None):
    some = [get("/old"), get("/other")] * (requests // 2)
    run_load(front.port, some, connections=16, at=at or {})


@pytest.fixture
def served(tmp_path):
    def serve(workers=4):
        return running_front(TABLE, tmp_path, free_port(), data=tmp_path / "data", workers=workers)

    return serve


def test_history_is_exact_after_a_term(served, tmp_path):
    with served() as front:
        load(front, REQUESTS)

    half = REQUESTS // 2
    if "is stored at the next start" in (tmp_path / "serve.log").read_text():  # a busy machine
        with served():
            eventually(lambda: stored(tmp_path) == expected(half, half))
    assert [expected(half, half)] * 3 == [stored(tmp_path, each) for each in ROWS]


def test_history_is_exact_after_a_worker_was_killed(served, tmp_path):
    with served() as front:
        victim = min(front.workers.items())[1]  # the one that records
        load(front, REQUESTS, at={REQUESTS // 2: lambda: os.kill(victim, signal.SIGKILL)})
        counted = totals(front)
        eventually(lambda: stored(tmp_path) == counted)


def test_a_restart_finds_what_the_killed_server_had_not_stored(served, tmp_path):
    with served() as front:
        load(front, REQUESTS)
        kill_all(front)
    with served() as front:
        load(front, 200)
        half = (REQUESTS + 200) // 2
        eventually(lambda: stored(tmp_path) == expected(half, half))


def kill_all(front):
    """End master and workers without a chance to write anything."""
    os.kill(front.process.pid, signal.SIGSTOP)  # else it replaces them
    for pid in front.workers.values():
        os.kill(pid, signal.SIGKILL)
    front.process.kill()
    front.process.wait()


def totals(front):
    """What /metrics says, in the shape of `stored`."""
    found = {}
    for line in front.get("/metrics", admin=True)[2].decode().splitlines():
        name, _, number = line.rpartition(" ")
        sample, _, labels = name.partition("{")
        which = {"overgrow_errors_total": 0, "overgrow_request_duration_seconds_count": 1}
        if sample in which:
            route, side = (part.split('"')[1] for part in labels.split(",")[:2])
            for place in ((route, side), ("", side)):
                found.setdefault(place, [0, 0])[which[sample]] += int(float(number))
    return {place: tuple(counts) for place, counts in found.items()}


def test_a_removed_state_folder_begins_the_history_anew_and_exactly(served, tmp_path):
    with served(1) as front:
        load(front, 2_000)
        eventually(lambda: stored(tmp_path) == expected(1_000, 1_000))
        (tmp_path / ".overgrow").rename(tmp_path / "removed")
        load(front, 600)
        eventually(lambda: stored(tmp_path) == expected(300, 300))
        load(front, 200)
        eventually(lambda: stored(tmp_path) == expected(400, 400))


def test_a_locked_store_holds_up_no_request_and_loses_none(served, tmp_path):
    with served(2) as front:
        load(front, 200)
        eventually(lambda: stored(tmp_path) == expected(100, 100))
        with closing(sqlite3.connect(tmp_path / ".overgrow/store.sqlite3")) as other:
            other.execute("BEGIN EXCLUSIVE")
            load(front, 400)
            eventually(lambda: "locked" in (problem_of(front) or ""))
            load(front, 400)
        eventually(lambda: stored(tmp_path) == expected(500, 500))
        eventually(lambda: problem_of(front) is None)


def problem_of(front):
    return json.loads(front.get("/api/history", admin=True)[2])["problem"]
