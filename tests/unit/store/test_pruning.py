"""Retention: the oldest goes first, in pieces, and the present hour stays."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from overgrow.store import pruning, tables
from overgrow.store.pruning import MAX_HOURS_AT_ONCE, Retention, prune
from overgrow.store.row_builder import RowBuilder
from overgrow.store.upsert import upsert
from tests.unit.store.made import HOUR, fell_back, mismatched

NOW_HOUR = 10_000


@pytest.fixture
def write(engine):
    def store(*records):
        with engine.begin() as connection:
            for table, rows in RowBuilder("b").build_rows(records).items():
                upsert(connection, table, rows)

    return store


@pytest.fixture
def pruned(engine):
    """Prune once; tell what went and which hours of fallbacks and groups are left."""

    def once(**retention):
        with engine.begin() as connection:
            removed = prune(connection, Retention(**retention), NOW_HOUR)
            hours = (
                connection.execute(
                    select(tables.fallback.c.hour).distinct().order_by(tables.fallback.c.hour)
                )
                .scalars()
                .all()
            )
        return removed, [NOW_HOUR - hour for hour in reversed(hours)]

    return once


def at(hours_ago):
    return (NOW_HOUR - hours_ago) * HOUR


def count_of(engine, table):
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_what_is_older_than_the_days_kept_goes(write, pruned):
    write(*[fell_back(at=at(hours)) for hours in (0, 24, 47, 48, 49, 100)])

    assert pruned(keep_days=2) == (2, [0, 24, 47, 48])


def test_of_too_many_rows_the_oldest_hours_go_whole(write, pruned):
    write(
        *[fell_back(at=at(hours), migrated=code) for hours in range(5) for code in ("500", "502")]
    )

    assert pruned(max_rows=5) == (6, [0, 1])


def test_the_present_hour_stays_however_many_rows_it_has(write, pruned):
    write(*[fell_back(at=at(0), migrated=str(code)) for code in range(500, 510)])

    assert pruned(max_rows=1) == (0, [0])


def test_pruning_does_a_bounded_piece_at_a_time(write, pruned):
    write(*[fell_back(at=at(hours)) for hours in range(100, 100 + 2 * MAX_HOURS_AT_ONCE)])

    first, second, third = (pruned(keep_days=1)[0] for _ in range(3))

    assert (first, second, third) == (MAX_HOURS_AT_ONCE, MAX_HOURS_AT_ONCE, 0)


def test_groups_not_seen_for_long_go_with_all_that_belongs_to_them(write, pruned, engine):
    write(mismatched("a" * 16, at=at(1)), mismatched("b" * 16, at=at(100)))

    pruned(keep_days=2)

    left = {table.name: count_of(engine, table) for table in tables.OF_GROUPS}
    assert set(left.values()) == {1}


def test_of_too_many_groups_those_seen_last_stay(write, pruned, engine):
    write(*[mismatched(f"{hours:x}" * 16, at=at(hours)) for hours in range(6)])

    pruned(max_groups=2)

    with engine.connect() as connection:
        keys = connection.execute(select(tables.mismatch_group.c.key)).scalars().all()
    assert sorted(key[0] for key in keys) == ["0", "1"]


def test_a_small_store_is_left_alone(write, pruned):
    write(fell_back(at=at(5)), mismatched(at=at(5)))

    assert pruned() == (0, [5])


def test_exactly_the_most_rows_are_kept(write, pruned):
    write(*[fell_back(at=at(hours)) for hours in range(5)])

    assert pruned(max_rows=5) == (0, [0, 1, 2, 3, 4])


def test_pruning_of_groups_does_a_bounded_piece_beginning_with_the_oldest(
    write, pruned, engine, monkeypatch
):
    monkeypatch.setattr(pruning, "MAX_GROUPS_AT_ONCE", 2)
    write(*[mismatched(f"{hours:x}" * 16, at=at(hours)) for hours in range(6)])

    removed = pruned(max_groups=1)[0]

    with engine.connect() as connection:
        keys = connection.execute(select(tables.mismatch_group.c.key)).scalars().all()
    assert (removed, sorted(key[0] for key in keys)) == (2, ["0", "1", "2", "3"])
