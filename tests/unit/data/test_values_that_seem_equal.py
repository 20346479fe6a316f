"""Values that a database takes for equal and an app can tell apart: a write from one to the other crosses."""

from __future__ import annotations

import pytest

from overgrow.data.backfill import Backfill, FillPace
from overgrow.data.ledger import read_state
from overgrow.data.staging import carry_out, plan_step
from overgrow.data.verify import verify
from tests.unit.data.shops import Shop

PLAIN = """\
version: 1
database: {url}
tables:
  orders: {{owner: flask, from: order_rows, key: [id]}}
"""
IGNORES_CASE = (
    "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
)
VALUES = [
    pytest.param("citext", "Ada", "ADA", id="citext"),
    pytest.param("text COLLATE any_case", "Ada", "ADA", id="collation without case"),
    pytest.param("interval", "1 day", "24:00:00", id="interval"),
    pytest.param("jsonb", '{"a": 1.0}', '{"a": 1}', id="number in JSON"),
    pytest.param("numeric[]", "{1.0}", "{1.00}", id="numbers in an array"),
]


def joined(shop, type_, value):
    """Join two tables by triggers, the legacy table with one row; return the mapping."""
    for table in ("order_rows", "orders"):
        shop.write(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, value {type_})")
    shop.write(f"INSERT INTO order_rows VALUES (1, '{value}')")
    mapping = shop.mapping()
    with shop.database.write() as connection:
        state = read_state(connection, "orders")
        carry_out(connection, plan_step(connection, mapping, state, "dual_write", 5.0))
    return mapping


def copied(shop, type_, value):
    """Join two tables that have the same row; return the mapping."""
    mapping = joined(shop, type_, value)
    Backfill(shop.database, mapping, FillPace()).run()
    assert verify(shop.database, mapping).is_equal
    return mapping


def values(shop, table):
    return shop.rows(f"SELECT CAST(value AS text) FROM {table}")


@pytest.fixture
def postgres_shop(request, tmp_path):
    shop = Shop(request.getfixturevalue("postgres").database(), tmp_path, PLAIN)
    shop.write("CREATE EXTENSION citext", IGNORES_CASE)
    yield shop
    shop.database.close()


@pytest.fixture
def lite_shop(tmp_path):
    (tmp_path / "shop.sqlite3").touch()
    shop = Shop("sqlite:///shop.sqlite3", tmp_path, PLAIN)
    yield shop
    shop.database.close()


@pytest.mark.parametrize(("type_", "before", "after"), VALUES)
@pytest.mark.parametrize("table", ["order_rows", "orders"])
def test_a_write_of_a_value_that_seems_equal_crosses(postgres_shop, type_, before, after, table):
    mapping = copied(postgres_shop, type_, before)
    postgres_shop.write(f"UPDATE {table} SET value = '{after}'")

    assert values(postgres_shop, "orders") == values(postgres_shop, "order_rows") == [(after,)]
    assert verify(postgres_shop.database, mapping).is_equal


@pytest.mark.parametrize(
    ("type_", "after"), [("TEXT COLLATE NOCASE", "ADA"), ("TEXT COLLATE RTRIM", "Ada ")]
)
@pytest.mark.parametrize("table", ["order_rows", "orders"])
def test_a_write_crosses_whatever_the_collation_in_sqlite(lite_shop, type_, after, table):
    copied(lite_shop, type_, "Ada")
    lite_shop.write(f"UPDATE {table} SET value = '{after}'")

    assert values(lite_shop, "orders") == values(lite_shop, "order_rows") == [(after,)]


def test_verify_sees_what_a_collation_does_not(postgres_shop):
    mapping = copied(postgres_shop, "text COLLATE any_case", "Ada")
    postgres_shop.write("SET session_replication_role = replica", "UPDATE orders SET value = 'ADA'")

    assert verify(postgres_shop.database, mapping).different == 1


def test_zero_below_zero_is_zero_for_verify(postgres_shop):
    mapping = copied(postgres_shop, "double precision", "0")
    postgres_shop.write("UPDATE order_rows SET value = '-0'")

    assert verify(postgres_shop.database, mapping).is_equal


def test_both_ends_of_time_differ(postgres_shop):
    mapping = copied(postgres_shop, "timestamptz", "infinity")
    postgres_shop.write(
        "SET session_replication_role = replica", "UPDATE orders SET value = '-infinity'"
    )

    assert verify(postgres_shop.database, mapping).different == 1
