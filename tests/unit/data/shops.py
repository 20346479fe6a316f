"""A legacy table and a better one in SQLite or PostgreSQL, with triggers between them."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager

import psycopg

from overgrow.data.catalog import read_shape
from overgrow.data.database import execute, open_database
from overgrow.data.declaration import parse_declaration
from overgrow.data.mapping import resolve
from overgrow.data.sync import create_sync

OLD = """CREATE TABLE order_rows (id {serial}, reference TEXT NOT NULL, customer TEXT NOT NULL,
 placed_at TEXT, total_cents INTEGER NOT NULL)"""
NEW = """CREATE TABLE orders (id {serial}, reference TEXT NOT NULL, customer_name TEXT NOT NULL,
 placed_at TEXT, total {money} NOT NULL, note TEXT)"""
TYPES = {
    "sqlite": {"serial": "INTEGER PRIMARY KEY AUTOINCREMENT", "money": "REAL"},
    "postgresql": {"serial": "SERIAL PRIMARY KEY", "money": "NUMERIC(12,2)"},
}
DATA = """\
version: 1
database: {url}
tables:
  orders:
    owner: flask
    from: order_rows
    key: [id]
    columns: {{customer_name: customer, total: "total_cents / 100.0"}}
    back: {{total_cents: "cast(round(total * 100) as integer)"}}
"""


def declare(url, text=DATA):
    parsed = parse_declaration(text.format(url=url).encode(), file="data.yaml", env={})
    assert parsed.problems == ()
    return parsed.declaration


class Shop:
    """An open database with both tables; statements run each in a transaction of its own."""

    def __init__(self, url, folder, text=DATA):
        self.url, self.folder = url, folder
        self.table = declare(url, text).tables["orders"]
        self.database = open_database(url, folder)
        self.kind = self.database.kind

    def create(self, old=OLD, new=NEW):
        for statement in (old, new):
            self.write(statement.format(**TYPES[self.kind]))

    def write(self, *statements):
        """Run statements in one transaction, as an app would: without anything of ours set."""
        with self.connection() as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    @contextmanager
    def connection(self):
        if self.kind == "sqlite":
            connection = sqlite3.connect(self.folder / "shop.sqlite3", timeout=30)
        else:
            connection = psycopg.connect(self.url)
        try:
            yield connection
        finally:
            connection.close()

    def rows(self, statement):
        with self.connection() as connection:
            return [tuple(row) for row in connection.execute(statement).fetchall()]

    def mapping(self):
        with self.database.read() as connection:
            old = read_shape(connection, self.table.source)
            new = read_shape(connection, self.table.name)
        found = resolve(self.table, old, new)
        assert found.problems == ()
        return found.mapping

    def sync(self, leader="legacy"):
        mapping = self.mapping()
        with self.database.write() as connection:
            for statement in create_sync(connection, mapping, leader):
                execute(connection, statement)
        return mapping
