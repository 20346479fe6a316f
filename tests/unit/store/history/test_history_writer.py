"""What counters gain is stored once, on both databases, whatever happens in between."""

from __future__ import annotations

import pytest
from sqlalchemy import event, select, text, update

from overgrow.store import tables
from overgrow.store.engine import file_of, open_engine
from overgrow.store.history.packing import unpack
from overgrow.store.history.rows import FINEST_FIRST
from overgrow.store.history.writer import HistoryWriter

NOON_S = 1_700_000_040 // 3600 * 3600 + 0.5
ORDERS, USERS = ("orders", "legacy"), ("users", "migrated")


class Counters:
    """Totals that a test sets: {place: requests}; each is also an error."""

    size = 19

    def __init__(self, **requests: int) -> None:
        self.totals = {}
        self.count(**requests)

    def count(self, orders: int = 0, users: int = 0) -> None:
        for place, number in ((ORDERS, orders), (USERS, users)):
            before = self.totals.get(place, (0,) * 19)[1]
            if number:
                self.totals[place] = (before + number, before + number, *[0] * 17)

    def read_changes(self):
        return dict(self.totals)

    read_all = read_changes


@pytest.fixture
def writer(url):
    made = []

    def make(*, is_new=True, door="door"):
        made.append(HistoryWriter(url, door, is_new=is_new))
        return made[-1]

    yield make
    for each in made:
        each.disconnect()


@pytest.fixture
def stored(url):
    """Return {(route, side): {second of the day: requests}} of a table, the finest unless named."""

    def read(resolution=FINEST_FIRST[0]):
        engine, table, series = open_engine(url), resolution.table.c, tables.history_series.c
        with engine.connect() as connection:
            rows = connection.execute(
                select(series.route, series.side, table.at, table.counts)
                .where(series.id == table.series)
                .order_by(table.at)
            ).all()
        engine.dispose()
        found = {}
        for route, side, at, packed in rows:
            found.setdefault((route, side), {})[at - int(NOON_S)] = unpack(packed, 19)[1]
        return found

    return read


def test_gains_are_stored_by_route_and_for_all_routes(writer, stored):
    writer().record(Counters(orders=2, users=1), NOON_S, 0)

    everything = {("", "legacy"): {0: 2}, ("", "migrated"): {0: 1}}
    assert {ORDERS: {0: 2}, USERS: {0: 1}, **everything} == stored()


def test_gains_of_one_window_are_added_up(writer, stored):
    counters, writing = Counters(), writer()
    for second in range(20):
        counters.count(orders=1)
        writing.record(counters, NOON_S + second, second)

    assert {0: 10, 10: 10} == stored()[ORDERS] == stored()["", "legacy"]


def test_past_minutes_are_rolled_up_once(writer, stored):
    counters, writing = Counters(), writer()
    for second in (0, 15, 59, 61, 62, 125):
        counters.count(orders=1)
        writing.record(counters, NOON_S + second, second)

    assert [{0: 3, 60: 2}, {0: 5}] == [stored(each)[ORDERS] for each in FINEST_FIRST[1:]]


def test_the_last_minute_is_rolled_up_without_further_traffic(writer, stored):
    counters, writing = Counters(orders=1), writer()
    for second in (0, 61):
        writing.record(counters, NOON_S + second, second)

    assert {0: 1} == stored(FINEST_FIRST[1])[ORDERS]


def test_everything_is_rolled_up_at_the_end(writer, stored):
    counters, writing = Counters(orders=1), writer()
    writing.record(counters, NOON_S, 0)
    counters.count(orders=1)
    writing.record(counters, NOON_S + 1, 1, is_last=True)
    counters.count(orders=1)
    writer().record(counters, NOON_S + 2, 2)  # a start within the same window

    assert [{0: 3}] * 3 == [stored(each)[ORDERS] for each in FINEST_FIRST]


def test_a_successor_stores_what_its_predecessor_did_not(writer, stored):
    counters = Counters(orders=3)
    writer().record(counters, NOON_S, 0)
    counters.count(orders=2)
    writer(is_new=False).record(counters, NOON_S + 10, 10)

    assert {0: 3, 10: 2} == stored()[ORDERS]


def test_two_workers_that_both_record_count_once(writer, stored):
    counters, both = Counters(orders=1), [writer(), writer()]
    for second in range(9):
        both[second % 2].record(counters, NOON_S + second, second)
        counters.count(orders=1)
    both[0].record(counters, NOON_S + 9, 9)
    both[0].record(counters, NOON_S + 9, 9)

    assert {0: 10} == stored()[ORDERS]


def test_two_front_doors_keep_their_own_marks(writer, stored):
    for door in ("one", "two"):
        writer(door=door).record(Counters(orders=2), NOON_S, 0)

    assert 2 == len(stored_series(writer().url, "orders"))


def stored_series(url, route):
    engine = open_engine(url)
    series = tables.history_series
    with engine.connect() as connection:
        found = connection.execute(select(series.c.id).where(series.c.route == route)).all()
    engine.dispose()
    return found


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_commit_of_unknown_outcome_counts_once(writer, stored, is_committed):
    counters, writing = Counters(orders=1), writer()
    writing.record(counters, NOON_S, 0)
    counters.count(orders=1)
    with failing_commits(writing._engine, is_committed=is_committed):
        assert not writing.record(counters, NOON_S + 1, 1)
    counters.count(orders=1)
    for second in (10, 20):
        writing.record(counters, NOON_S + second, second)

    assert {0: 2, 10: 1} == stored()[ORDERS]


class failing_commits:  # noqa: N801 - it is used like a function
    """Commits fail, after or instead of what they do."""

    def __init__(self, engine, *, is_committed):
        self._engine, self._is_committed = engine, is_committed

    def __enter__(self):
        event.listen(self._engine, "commit", self._fail)

    def __exit__(self, *_):
        event.remove(self._engine, "commit", self._fail)

    def _fail(self, connection):
        if self._is_committed:
            connection.connection.dbapi_connection.commit()
        raise OSError("the line is dead")


def test_gains_keep_their_time_while_the_store_is_away(writer, stored, monkeypatch):
    counters, writing = Counters(orders=1), writer()
    writing.record(counters, NOON_S, 0)
    with monkeypatch.context() as broken:
        broken.setattr("overgrow.store.connection.open_engine", unavailable)
        writing.disconnect()
        for second in (10, 20, 90):
            counters.count(orders=1)
            writing.record(counters, NOON_S + second, second)
    problem = writing.problem
    writing.record(counters, NOON_S + 1000, 1000)

    assert ("OSError: away", {0: 1, 10: 1, 20: 1, 90: 1}) == (problem, stored()[ORDERS])
    assert {0: 3, 60: 1} == stored(FINEST_FIRST[1])[ORDERS]


def unavailable(_):
    raise OSError("away")


def test_a_clock_set_back_adds_to_what_is_rolled_up(writer, stored):
    counters, writing = Counters(), writer()
    for second in (0, 130, 5, 6):
        counters.count(orders=1)
        writing.record(counters, NOON_S + second, 0)

    assert {0: 3, 130: 1} == stored()[ORDERS]
    assert [{0: 3}, {0: 3}] == [stored(each)[ORDERS] for each in FINEST_FIRST[1:]]


def test_a_replaced_store_goes_on_with_what_is_new(writer, stored, url):
    counters, writing = Counters(orders=5, users=7), writer()
    writing.record(counters, NOON_S, 0)
    counters.count(orders=1)
    empty(url)
    for second in (10, 11, 12):
        writing.record(counters, NOON_S + second, second)
    successor = writer(is_new=False)
    counters.count(orders=1)
    successor.record(counters, NOON_S + 20, 20)

    assert {ORDERS: {10: 1, 20: 1}, ("", "legacy"): {10: 1, 20: 1}} == stored()


def empty(url):
    file = file_of(url)
    if file is not None:
        file.unlink()
        return
    engine = open_engine(url)
    with engine.begin() as connection:
        for table in (tables.history_door, tables.history_series, tables.history_second):
            connection.execute(text(f"DELETE FROM {table.name}"))
    engine.dispose()


def test_a_store_that_lost_its_marks_takes_no_old_totals_for_new(writer, stored):
    counters, writing = Counters(orders=1_000_000), writer(is_new=False)
    writing.record(counters, NOON_S, 0)
    counters.count(orders=1)
    writing.record(counters, NOON_S + 1, 1)

    assert {0: 1} == stored()[ORDERS]


def test_an_idle_front_door_writes_nothing(writer, url):
    counters, writing = Counters(orders=1), writer()
    for second in (0, 61, 62, 200, 4000):
        writing.record(counters, NOON_S + second, second)
    engine = open_engine(url)
    with engine.connect() as connection:
        turn = connection.execute(select(tables.history_door.c.turn)).scalar_one()
    engine.dispose()

    assert 2 == turn  # the gain, and its minute


def test_a_store_of_another_turn_is_read_again(writer, stored, url):
    counters, writing = Counters(orders=1), writer()
    writing.record(counters, NOON_S, 0)
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(update(tables.history_door).values(turn=99, writer="another"))
    engine.dispose()
    counters.count(orders=1)
    for second in (1, 2):
        writing.record(counters, NOON_S + second, second)

    assert {0: 2} == stored()[ORDERS]
