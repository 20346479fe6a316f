"""The new shop over a PostgreSQL that has legacy's tables: it answers as over SQLite, byte for byte."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import select, text

import migrated
from migrated import database
from migrated.orders.models import Order
from tests.postgres import server
from tests.story.endpoints import ORDER
from tests.story.test_shops_agree import ADDRESSES

TABLES = ("products", "orders", "order_lines")


@pytest.fixture(scope="module")
def postgres():
    with server() as running:
        yield running


@pytest.fixture
def shops(postgres, tmp_path):
    """The shop over SQLite, and over PostgreSQL with the same rows."""
    file = tmp_path / "shop.sqlite3"
    over_file = migrated.create_app({"SHOP_DATA": file, "SHOP_FROZEN": True, "TESTING": True})
    database.prepare(file)
    url = postgres.database().replace("postgresql:", "postgresql+psycopg:")
    over_url = migrated.create_app({"SHOP_DB": url, "SHOP_FROZEN": True, "TESTING": True})
    with over_url.app_context():
        fill(file)
    yield over_file, over_url
    with over_url.app_context():
        database.db.engine.dispose()


def fill(file):
    """Make legacy's tables and give them the rows of a file; the next number follows the last."""
    database.db.create_all()
    with closing(sqlite3.connect(file)) as source:
        for name in TABLES:
            table = database.db.metadata.tables[name]
            rows = source.execute(f"SELECT {', '.join(table.columns.keys())} FROM {name}")
            values = [dict(zip(table.columns.keys(), row, strict=True)) for row in rows]
            database.db.session.execute(table.insert(), values)
    raised = "SELECT setval('orders_id_seq', max(id)) FROM orders"
    database.db.session.execute(text(raised))
    database.db.session.commit()


def seen(app, path, **asked):
    answer = app.test_client().open(path, **asked)
    return answer.status_code, sorted(answer.headers), answer.data


def test_every_address_is_answered_alike_over_postgresql(shops):
    over_file, over_url = shops
    paths = [*ADDRESSES, "/products?category=%00", "/api/products?category=a%00b"]

    differing = [path for path in paths if seen(over_file, path) != seen(over_url, path)]

    assert differing == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(ORDER, id="an order"),
        pytest.param({**ORDER, "customer": "Zoë <b>&'\"\U0001f33f"}, id="any character"),
        pytest.param({**ORDER, "customer": "a\0b"}, id="a character that PostgreSQL cannot hold"),
        pytest.param({**ORDER, "customer": "\ud800"}, id="half a character"),
        pytest.param({**ORDER, "items": ORDER["items"] * 50}, id="as many lines as may be"),
    ],
)
def test_an_order_is_placed_alike_over_postgresql(shops, body):
    over_file, over_url = (
        [seen(app, "/api/orders", method="POST", json=body), seen(app, "/api/orders/4")]
        for app in shops
    )

    assert over_url == over_file


def test_an_order_that_comes_too_late_is_not_written_to_postgresql(shops):
    _, app = shops

    def refuse():
        raise TimeoutError

    app.testing = False
    client = app.test_client()
    answer = client.post("/api/orders", json=ORDER, environ_base={"overgrow.commit": refuse})

    assert answer.status_code == 500
    with app.app_context():
        assert len(database.rows(select(Order.id))) == 3


def test_a_copy_writes_nothing_to_postgresql_and_tells_so(shops):
    _, app = shops
    told = []
    copy = {"overgrow.shadow": True, "overgrow.wrote": lambda: told.append("wrote")}
    app.testing = False
    client = app.test_client()

    refused = client.post("/api/orders", json=ORDER, environ_overrides=copy)
    placed = client.post("/api/orders", json=ORDER)

    assert (refused.status_code, placed.status_code, told) == (500, 201, ["wrote"])
    assert placed.json["id"] == 4
