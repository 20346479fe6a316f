"""Transactions of legacy that see one state of the database, while backfill copies rows behind their back."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest

from overgrow.data.backfill import Backfill, FillPace
from overgrow.data.verify import verify
from tests.unit.data.shops import Shop
from tests.unit.data.test_values_that_seem_equal import PLAIN, copied, joined

REPEATABLE, SERIALIZABLE = (
    psycopg.IsolationLevel.REPEATABLE_READ,
    psycopg.IsolationLevel.SERIALIZABLE,
)


@pytest.fixture
def shop(request, tmp_path):
    shop = Shop(request.getfixturevalue("postgres").database(), tmp_path, PLAIN)
    yield shop
    shop.database.close()


@pytest.mark.parametrize("level", [REPEATABLE, SERIALIZABLE])
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM order_rows WHERE id = 1",
        "UPDATE order_rows SET id = 50 WHERE id = 1",
        "UPDATE order_rows SET value = 'b' WHERE id = 1",
    ],
)
def test_a_write_that_cannot_see_the_copy_is_tried_again(shop, level, statement):
    mapping = joined(shop, "text", "a")
    with closing(psycopg.connect(shop.url)) as connection:
        connection.isolation_level = level
        connection.execute("SELECT 1 FROM order_rows").fetchall()
        Backfill(shop.database, mapping, FillPace()).run()
        with pytest.raises(psycopg.errors.SerializationFailure):
            connection.execute(statement)
        connection.rollback()
        connection.execute(statement)
        connection.commit()

    assert verify(shop.database, mapping).is_equal


@pytest.mark.parametrize("level", [REPEATABLE, SERIALIZABLE])
@pytest.mark.parametrize(
    ("statement", "kept"),
    [
        ("DELETE FROM order_rows WHERE id = 2", []),
        ("UPDATE order_rows SET id = 50 WHERE id = 2", [(50, "b")]),
    ],
)
def test_a_write_of_a_row_that_has_no_copy_yet_passes(shop, level, statement, kept):
    copied(shop, "text", "a")
    shop.write("SET session_replication_role = replica", "INSERT INTO order_rows VALUES (2, 'b')")
    with closing(psycopg.connect(shop.url)) as connection:
        connection.isolation_level = level
        connection.execute(statement)
        connection.commit()

    for table in ("order_rows", "orders"):
        assert shop.rows(f"SELECT * FROM {table} ORDER BY id") == [(1, "a"), *kept]
