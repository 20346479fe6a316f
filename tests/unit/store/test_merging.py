"""Merging: SQL and memory agree, whatever the parting and the order."""

from __future__ import annotations

import random

from sqlalchemy import delete, select

from overgrow.store import tables
from overgrow.store.upsert import merge_rows, upsert

TABLE = tables.fallback


def row(times, first_at, last_at, *, route="orders", hour=1):
    values = {"route": route, "hour": hour, "method": "GET", "migrated": "500", "legacy": "200"}
    return values | {
        "times": times,
        "first_at": first_at,
        "last_at": last_at,
        "slowest_s": last_at - first_at,
    }


def test_rows_of_one_key_become_one():
    rows = [row(1, 5.0, 6.0), row(1, 5.0, 6.0), row(2, 1.0, 4.0), row(1, 2.0, 3.0, route="carts")]

    carts, orders = merge_rows(TABLE, rows)

    assert (carts["route"], carts["times"]) == ("carts", 1)
    assert (orders["times"], orders["first_at"], orders["last_at"]) == (4, 1.0, 6.0)


def test_no_rows_are_no_statement(engine):
    with engine.begin() as connection:
        upsert(connection, TABLE, [])
        found = connection.execute(select(TABLE)).all()

    assert found == []


def test_the_database_merges_like_memory(engine):
    chance = random.Random(9)
    for _ in range(5):
        rows = [
            row(
                chance.randrange(5),
                float(chance.randrange(9)),
                float(chance.randrange(9, 20)),
                hour=chance.randrange(3),
            )
            for _ in range(30)
        ]
        with engine.begin() as connection:
            connection.execute(delete(TABLE))
            for at in range(0, 30, 7):
                upsert(connection, TABLE, rows[at : at + 7])
            found = connection.execute(select(TABLE).order_by(TABLE.c.hour)).mappings().all()

        assert [dict(each) for each in found] == merge_rows(TABLE, rows)


def test_the_last_text_wins(engine):
    examples = [
        {"route": "r", "control": "legacy", "key": "k", "rank": "0", "at": float(n), "pair": str(n)}
        for n in range(2)
    ]
    with engine.begin() as connection:
        for each in examples:
            upsert(connection, tables.example, [each])
        found = connection.execute(select(tables.example)).mappings().all()

    assert [dict(each) for each in found] == merge_rows(tables.example, examples)
