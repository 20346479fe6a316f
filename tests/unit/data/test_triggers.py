"""Triggers between two tables: each write crosses once, in both directions, in both databases."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest

from tests.unit.data.shops import Shop

BROKEN = (sqlite3.IntegrityError, psycopg.IntegrityError)
FROM_OLD = "SELECT id, reference, customer, placed_at, total_cents FROM order_rows ORDER BY id"
FROM_NEW = "SELECT id, reference, customer_name, placed_at, CAST(round(total * 100) AS INTEGER), note FROM orders ORDER BY id"
ADD_OLD = "INSERT INTO order_rows (id, reference, customer, placed_at, total_cents) VALUES "
ADD_NEW = "INSERT INTO orders (id, reference, customer_name, placed_at, total, note) VALUES "


@pytest.fixture(params=["legacy", "flask"])
def synced(shop, request):
    """A shop with triggers; the table of one side leads."""
    shop.sync(request.param)
    return shop


def both(shop):
    return shop.rows(FROM_OLD), shop.rows(FROM_NEW)


def test_an_insert_into_the_legacy_table_crosses(synced):
    synced.write(ADD_OLD + "(7, 'r', 'O''Hara', NULL, 1090)")

    assert synced.rows(FROM_NEW) == [(7, "r", "O'Hara", None, 1090, None)]


def test_an_insert_into_the_new_table_crosses(synced):
    synced.write(ADD_NEW + "(7, 'r', 'Ada', '', 10.9, 'gift')")

    assert both(synced) == ([(7, "r", "Ada", "", 1090)], [(7, "r", "Ada", "", 1090, "gift")])


def test_an_update_of_the_legacy_row_keeps_columns_of_the_new_one(synced):
    synced.write(ADD_NEW + "(7, 'r', 'Ada', NULL, 10.9, 'gift')")
    synced.write("UPDATE order_rows SET total_cents = 5, customer = '' WHERE id = 7")

    assert synced.rows(FROM_NEW) == [(7, "r", "", None, 5, "gift")]


def test_an_update_of_the_new_row_crosses(synced):
    synced.write(ADD_OLD + "(7, 'r', 'Ada', NULL, 1090)")
    synced.write("UPDATE orders SET total = 2.5, placed_at = 'now' WHERE id = 7")

    assert synced.rows(FROM_OLD) == [(7, "r", "Ada", "now", 250)]


@pytest.mark.parametrize("table", ["order_rows", "orders"])
def test_an_update_of_the_key_crosses(synced, table):
    synced.write(ADD_NEW + "(7, 'r', 'Ada', NULL, 10.9, 'gift')")
    synced.write(f"UPDATE {table} SET id = 8, reference = 's' WHERE id = 7")

    assert both(synced) == ([(8, "s", "Ada", None, 1090)], [(8, "s", "Ada", None, 1090, "gift")])


@pytest.mark.parametrize("table", ["order_rows", "orders"])
def test_a_delete_crosses(synced, table):
    synced.write(ADD_OLD + "(7, 'r', 'Ada', NULL, 1090), (8, 's', 'Ada', NULL, 1)")
    synced.write(f"DELETE FROM {table} WHERE id = 7")

    assert [[row[0] for row in rows] for rows in both(synced)] == [[8], [8]]


def test_an_upsert_of_either_table_crosses(synced):
    synced.write(ADD_OLD + "(7, 'r', 'Ada', NULL, 1090)")
    synced.write(
        ADD_OLD + "(7, 'x', 'Eve', NULL, 1) ON CONFLICT (id) DO UPDATE SET customer = 'Bea'"
    )
    synced.write(ADD_NEW + "(7, 'x', 'y', '', 1, '') ON CONFLICT (id) DO UPDATE SET total = 3")

    assert both(synced) == ([(7, "r", "Bea", None, 300)], [(7, "r", "Bea", None, 300, None)])


def test_a_write_of_many_rows_crosses(synced):
    values = ", ".join(f"({n}, 'r{n}', 'c', NULL, {n})" for n in range(1, 200))
    synced.write(ADD_OLD + values, "UPDATE orders SET total = total + 1 WHERE id > 100")
    synced.write("DELETE FROM order_rows WHERE id <= 50")

    old, new = both(synced)
    assert [row[4] for row in old] == [row[4] for row in new]
    assert (len(old), old[-1][4]) == (149, 299)


def test_a_write_that_is_undone_crosses_not(synced):
    with synced.connection() as connection:
        connection.execute(ADD_OLD + "(7, 'r', 'Ada', NULL, 1090)")
        connection.rollback()

    assert both(synced) == ([], [])


def test_a_value_that_the_mapping_loses_is_not_changed_by_an_echo(shop):
    if shop.kind == "postgresql":
        shop.write("ALTER TABLE orders ALTER total TYPE numeric(12,4)")
    shop.sync("flask")
    shop.write(ADD_NEW + "(7, 'r', 'Ada', NULL, 1.1234, NULL)")

    assert [float(row[0]) for row in shop.rows("SELECT total FROM orders")] == [1.1234]
    assert shop.rows("SELECT total_cents FROM order_rows") == [(112,)]


def test_a_key_that_only_the_leading_table_has_cannot_be_inserted(shop):
    shop.write(ADD_OLD + "(7, 'r', 'Ada', NULL, 1090)")
    shop.sync("legacy")

    with pytest.raises(BROKEN):
        shop.write(ADD_NEW + "(7, 'other', 'Eve', NULL, 1, NULL)")

    assert shop.rows(FROM_OLD) == [(7, "r", "Ada", None, 1090)]


def test_the_leading_row_wins_over_one_that_stood_there_before(shop):
    shop.write(ADD_NEW + "(7, 'other', 'Eve', NULL, 1, 'kept')")
    shop.sync("legacy")
    shop.write(ADD_OLD + "(7, 'r', 'Ada', NULL, 1090)")

    assert shop.rows(FROM_NEW) == [(7, "r", "Ada", None, 1090, "kept")]


@pytest.fixture(params=[False, True], ids=["recursive off", "recursive on"])
def lite(request, tmp_path):
    """A shop in SQLite, and a connection with recursive triggers on or off."""
    (tmp_path / "shop.sqlite3").touch()
    shop = Shop("sqlite:///shop.sqlite3", tmp_path)
    shop.create()
    shop.sync("legacy")
    with shop.connection() as connection:
        connection.execute(f"PRAGMA recursive_triggers = {request.param}")
        connection.executescript(ADD_OLD + "(7, 'r', 'Ada', NULL, 1), (8, 's', 'Bea', NULL, 2)")
        yield shop, connection
    shop.database.close()


@pytest.mark.parametrize(
    "policy", ["OR REPLACE", "OR IGNORE", "OR FAIL", "OR ABORT", "OR ROLLBACK"]
)
def test_an_insert_with_a_conflict_policy_crosses_in_sqlite(lite, policy):
    shop, connection = lite
    connection.executescript(ADD_OLD.replace("INTO", f"{policy} INTO") + "(9, 't', 'Cy', NULL, 3)")
    connection.executescript(
        ADD_NEW.replace("INTO", f"{policy} INTO") + "(10, 'u', 'Di', '', 4, '')"
    )

    old, new = both(shop)
    assert [row[:5] for row in new] == old
    assert [row[0] for row in old] == [7, 8, 9, 10]


@pytest.mark.parametrize(
    "add", [ADD_OLD + "(7, 'x', 'Cy', NULL, 300)", ADD_NEW + "(7, 'x', 'Cy', NULL, 3, NULL)"]
)
def test_a_replaced_row_crosses_in_sqlite(lite, add):
    shop, connection = lite
    connection.executescript(add.replace("INSERT", "REPLACE"))

    old, new = both(shop)
    assert [row[:5] for row in new] == old == [(7, "x", "Cy", None, 300), (8, "s", "Bea", None, 2)]


def test_a_write_that_cannot_arrive_fails_whole_in_sqlite(lite):
    shop, connection = lite
    connection.execute("CREATE UNIQUE INDEX one_customer ON orders (customer_name)")

    with pytest.raises(sqlite3.IntegrityError, match="did not reach orders"):
        connection.executescript(
            ADD_OLD.replace("INTO", "OR IGNORE INTO") + "(9, 't', 'Bea', '', 3)"
        )

    assert [row[0] for row in shop.rows(FROM_OLD)] == [7, 8]


def test_each_write_changes_one_row_of_each_table_in_sqlite(lite):
    _shop, connection = lite
    before = connection.total_changes
    connection.execute("UPDATE order_rows SET total_cents = 77 WHERE id = 7")

    assert connection.total_changes - before == 2


def test_no_truncate_parts_the_two_tables(synced):
    if synced.kind == "sqlite":
        pytest.skip("SQLite has no TRUNCATE")
    synced.write(ADD_OLD + "(7, 'r', 'Ada', NULL, 1090)")

    with pytest.raises(psycopg.IntegrityError, match="would not reach orders"):
        synced.write("TRUNCATE order_rows")
