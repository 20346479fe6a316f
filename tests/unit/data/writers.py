"""The two apps as writers of one table each, which remember what they wrote."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from contextlib import contextmanager

import psycopg

PAUSE_S = 0.004
TRY_AGAIN = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    sqlite3.OperationalError,
)


class Writer(threading.Thread):
    """One app: it changes, adds and deletes rows of its own in one table, and remembers what it wrote."""

    def __init__(self, shop, table, remainder, rows):
        super().__init__()
        self.shop, self.table, self.remainder = shop, table, remainder
        self.random = random.Random(remainder)
        self.rows = rows
        self.wrote: dict[int, int | None] = {}
        self.added: dict[int, int] = {}
        self.is_over = threading.Event()
        self.failure: Exception | None = None

    def run(self):
        try:
            with self.shop.connection() as connection:
                while not self.is_over.is_set():
                    self.write(connection)
                    time.sleep(PAUSE_S)
        except Exception as error:  # noqa: BLE001 - the test shows it
            self.failure = error

    def write(self, connection):
        key = self.random.randrange(self.rows // 2) * 2 + self.remainder
        cents = self.random.randrange(1, 1_000_000)
        what = self.random.random()
        if what < 0.1:
            if self.do(connection, f"DELETE FROM {self.table} WHERE id = {key}"):
                self.wrote[key] = None
        elif what < 0.2:
            new_key = self.do(connection, self.insert(cents))
            self.added[new_key] = cents
        elif self.wrote.get(key, 0) is not None:
            # The new table has no row before the backfill comes to it: then the write changes nothing.
            changed = self.do(
                connection, f"UPDATE {self.table} SET {self.assign(cents)} WHERE id = {key}"
            )
            if changed:
                self.wrote[key] = cents

    def assign(self, cents):
        return (
            f"total_cents = {cents}" if self.table == "order_rows" else f"total = {cents} / 100.0"
        )

    def insert(self, cents):
        if self.table == "order_rows":
            return f"INSERT INTO order_rows (reference, customer, total_cents) VALUES ('n', 'Eve', {cents}) RETURNING id"
        return f"INSERT INTO orders (reference, customer_name, total) VALUES ('n', 'Eve', {cents} / 100.0) RETURNING id"

    def do(self, connection, statement):
        """Run one transaction, again if the database asks for it; return the new key or the number of rows."""
        while True:
            try:
                cursor = connection.execute(statement)
                found = cursor.fetchone()[0] if "RETURNING" in statement else cursor.rowcount
                connection.commit()
            except TRY_AGAIN:
                connection.rollback()
            else:
                return found

    def expected(self):
        return {**self.wrote, **self.added}


@contextmanager
def writing(*writers):
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        for writer in writers:
            writer.is_over.set()
        for writer in writers:
            writer.join()
