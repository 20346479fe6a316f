"""The history stays small: old rows go, and of too many the finest first."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from overgrow.store import tables
from overgrow.store.engine import open_engine
from overgrow.store.history import pruning
from overgrow.store.history.packing import unpack
from overgrow.store.history.pruning import HistoryPruner, table_bytes
from overgrow.store.history.rows import DAY_S, FINEST_FIRST, HOUR_S, HOURS, MINUTES, SECONDS
from overgrow.store.history.writer import HistoryWriter
from tests.unit.store.history.test_history_writer import NOON_S, Counters

ENOUGH = 10**12


@pytest.fixture
def database(url):
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def write(url):
    def through(seconds, *, door="door", is_last=False):
        counters, writer = Counters(), HistoryWriter(url, door, is_new=True)
        for second in seconds:
            counters.count(orders=1)
            writer.record(counters, NOON_S + second, second, is_last=is_last)
        assert writer.problem is None
        writer.disconnect()

    return through


def left(database, resolution):
    """Seconds of the day of the rows of one series."""
    column, series = resolution.table.c, tables.history_series.c
    with database.connect() as connection:
        ats = connection.execute(
            select(column.at)
            .where(column.series == series.id, series.route == "orders")
            .order_by(column.at)
        ).scalars()
        return [at - int(NOON_S) for at in ats]


def prune(database, at_s, max_bytes=ENOUGH, pruner=None, times=1):
    pruner = pruner or HistoryPruner()
    for number in range(times):
        with database.begin() as connection:
            pruner.prune(connection, NOON_S + at_s + 60 * number, max_bytes)
    return pruner


def test_each_resolution_ends_at_its_own_age(write, database):
    write((0,), is_last=True)
    ends = []
    for at_s in (2 * HOUR_S + 30, 7 * DAY_S + 30, 731 * DAY_S):
        prune(database, at_s)
        ends.append([bool(left(database, each)) for each in FINEST_FIRST])

    assert [[False, True, True], [False, False, True], [False, False, False]] == ends


def test_the_finest_rows_go_first_if_there_are_too_many(write, database):
    write(range(0, 7200, 30), is_last=True)
    with database.connect() as connection:
        sizes = {each: table_bytes(connection, each) for each in FINEST_FIRST}
    prune(database, 7201, sum(sizes.values()) - sizes[SECONDS] // 2)
    seconds = len(left(database, SECONDS))
    minutes = len(left(database, MINUTES))
    prune(database, 7201, 1)

    if database.dialect.name == "sqlite":  # PostgreSQL gives space back later
        assert (True, 120) == (0 < seconds < 240, minutes)
    assert [[], [], []] == [left(database, each) for each in FINEST_FIRST]


def test_a_round_prunes_a_bounded_number_of_series(write, database, monkeypatch):
    monkeypatch.setattr(pruning, "SERIES_AT_ONCE", 1)
    write((0,), is_last=True)
    pruner = prune(database, 8 * DAY_S)
    first = minutes_left(database)
    prune(database, 8 * DAY_S, pruner=pruner)

    assert (1, 0) == (first, minutes_left(database))


def minutes_left(database):
    with database.connect() as connection:
        return len(connection.execute(select(MINUTES.table.c.at)).all())


def test_what_a_stopped_front_door_left_is_rolled_up_before_it_goes(write, database):
    write((5, 70), door="stopped")  # the second minute is not rolled up yet
    prune(database, 3 * HOUR_S)

    assert ([], [0, 60], [0]) == tuple(left(database, each) for each in FINEST_FIRST)
    with database.connect() as connection:
        packed = connection.execute(select(HOURS.table.c.counts)).scalars().all()
    assert {2} == {unpack(each, 19)[1] for each in packed}


def test_a_front_door_that_is_rolled_up_by_another_counts_on(url, database):
    counters, writer = Counters(orders=1), HistoryWriter(url, "idle", is_new=True)
    writer.record(counters, NOON_S, 0)
    prune(database, 3 * HOUR_S)
    counters.count(orders=1)
    for second in (3 * HOUR_S + 1, 3 * HOUR_S + 2, 3 * HOUR_S + 61):
        writer.record(counters, NOON_S + second, second)
    writer.disconnect()

    assert ([10800], [0, 10800]) == (left(database, SECONDS), left(database, HOURS))


def test_the_writer_prunes_once_a_minute(url, database, monkeypatch):
    times = []
    monkeypatch.setattr(HistoryPruner, "prune", lambda *_: times.append(1))
    writer = HistoryWriter(url, "door", is_new=True)
    for clock_s in range(1, 122):
        writer.prune(NOON_S, clock_s, ENOUGH)
    writer.disconnect()

    assert 3 == len(times)
