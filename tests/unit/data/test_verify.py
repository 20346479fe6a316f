"""Checksums of both tables: equal values are equal however they are written, and a difference is found by key and column."""

from __future__ import annotations

import pytest

from overgrow.data.keys import key_as_json, key_from_json
from overgrow.data.ledger import read_state
from overgrow.data.verify import verify
from tests.unit.data.shops import DATA, NEW, OLD, Shop, declare


def filled(shop, count=25):
    shop.sync()
    values = ", ".join(f"({n}, 'r', 'c', NULL, {n})" for n in range(1, count + 1))
    shop.write(f"INSERT INTO order_rows VALUES {values}")
    return shop


def unsynced(shop, *statements):
    """Write to one table alone, as nobody should."""
    from overgrow.data.database import execute  # noqa: PLC0415
    from overgrow.data.sync import drop_sync  # noqa: PLC0415

    with shop.database.write() as connection:
        for statement in (*drop_sync(connection, shop.mapping()), *statements):
            execute(connection, statement)


def compared(shop, **given):
    return verify(shop.database, shop.mapping(), range_rows=10, **given)


def test_equal_tables_are_equal_range_by_range(shop):
    found = compared(filled(shop))

    assert (True, 25, 25, 3, 0) == (
        found.is_equal,
        found.rows_old,
        found.rows_new,
        found.ranges,
        found.unequal_ranges,
    )


def test_the_ledger_keeps_the_outcome(shop):
    compared(filled(shop), now_s=5.0)

    with shop.database.read() as connection:
        state = read_state(connection, "orders")
    assert (5.0, 25, 0) == (state.verify_at, state.verify_rows, state.verify_different)


def test_a_value_that_differs_is_named(shop):
    unsynced(filled(shop), "UPDATE orders SET customer_name = 'other' WHERE id = 12")

    found = compared(shop)
    assert (1, 1) == (found.different, found.unequal_ranges)
    assert [("12",), "customer_name", "c", "other", "differs"] == list(found.differences[0])


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM orders WHERE id = 25", ("25", "missing in orders")),
        ("DELETE FROM order_rows WHERE id = 3", ("3", "missing in order_rows")),
        (
            "INSERT INTO orders (id, reference, customer_name, total) VALUES (900, '', '', 0)",
            ("900", "missing in order_rows"),
        ),
    ],
)
def test_a_row_that_one_table_lacks_is_named(shop, statement, expected):
    unsynced(filled(shop), statement)

    found = compared(shop)
    assert [expected] == [(one.key[0], one.what) for one in found.differences]


def test_nothing_and_empty_text_differ(shop):
    unsynced(filled(shop), "UPDATE orders SET placed_at = '' WHERE id = 1")

    assert [(None, "")] == [(one.expected, one.found) for one in compared(shop).differences]


def test_values_cannot_wander_between_columns(shop):
    unsynced(
        filled(shop),
        "UPDATE order_rows SET reference = 'ab', customer = 'c' WHERE id = 1",
        "UPDATE orders SET reference = 'a', customer_name = 'bc' WHERE id = 1",
    )

    assert compared(shop).different == 1


def test_many_differences_are_counted_and_the_first_are_shown(shop):
    unsynced(filled(shop, 60), "UPDATE orders SET total = total + 1")

    found = compared(shop)
    assert (60, 20, "1") == (found.different, len(found.differences), found.differences[0].key[0])


def test_two_empty_tables_are_equal(shop):
    assert compared(shop).is_equal


def test_the_same_moment_in_two_zones_is_equal(request, tmp_path):
    shop = Shop(request.getfixturevalue("postgres").database(), tmp_path)
    shop.create(
        old=OLD.replace("placed_at TEXT", "placed_at timestamptz"),
        new=NEW.replace("placed_at TEXT", "placed_at timestamptz"),
    )
    shop.write(
        "SET timezone = 'Asia/Tokyo'",
        "INSERT INTO order_rows VALUES (1, 'r', 'c', '2025-03-01 08:00+09', 5)",
    )
    shop.write("INSERT INTO orders VALUES (1, 'r', 'c', '2025-02-28 23:00+00', 0.05)")

    assert compared(shop).is_equal
    shop.database.close()


def test_sqlite_compares_moments_and_json_by_value(tmp_path):
    (tmp_path / "shop.sqlite3").touch()
    shop = Shop("sqlite:///shop.sqlite3", tmp_path)
    shop.create(
        old=OLD.replace("placed_at TEXT", "placed_at TEXT, more TEXT"),
        new=NEW.replace("placed_at TEXT", "placed_at DATETIME, more JSON"),
    )
    shop.write(
        "INSERT INTO order_rows VALUES (1, 'r', 'c', '2025-03-01T08:00:00Z', '{\"a\":1,\"b\":2}', 5)",
        "INSERT INTO orders VALUES (1, 'r', 'c', '2025-03-01 08:00:00.000000', '{\"b\": 2, \"a\": 1}', 0.05, NULL)",
    )

    assert compared(shop).is_equal
    shop.database.close()


def test_a_key_of_two_columns_is_compared(database_url, tmp_path):
    text = DATA.replace("key: [id]", "key: [shop, id]")
    shop = Shop(database_url, tmp_path, text)
    old = "CREATE TABLE order_rows (shop TEXT NOT NULL, id INTEGER NOT NULL, customer TEXT, total_cents INTEGER, PRIMARY KEY (shop, id))"
    new = "CREATE TABLE orders (shop TEXT NOT NULL, id INTEGER NOT NULL, customer_name TEXT, total {money}, PRIMARY KEY (shop, id))"
    shop.create(old, new)
    assert declare(shop.url, text)
    shop.sync()
    values = ", ".join(f"('{name}', {n}, 'c', {n})" for name in "ab" for n in range(15))
    shop.write(
        f"INSERT INTO order_rows VALUES {values}", "UPDATE order_rows SET id = 99 WHERE id = 3"
    )

    assert (True, 30) == ((found := compared(shop)).is_equal, found.rows_new)
    shop.database.close()


def test_keys_of_all_kinds_survive_the_ledger():
    from datetime import UTC, date, datetime  # noqa: PLC0415
    from decimal import Decimal  # noqa: PLC0415
    from uuid import UUID  # noqa: PLC0415

    key = (
        1,
        "a",
        None,
        1.5,
        b"\0",
        Decimal("1.10"),
        date(2025, 1, 2),
        datetime(2025, 1, 2, tzinfo=UTC),
        UUID(int=7),
    )

    assert key_from_json(key_as_json(key)) == key
