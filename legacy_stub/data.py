"""The shop's data in SQLite. Plain values in and out; knows no HTTP.

WAL and short transactions: another application may write the same file at the same time.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import queue
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).with_name("shop.sql")
BUSY_TIMEOUT_S = 15
CONNECTIONS = 8


def open_connection(path: Path) -> sqlite3.Connection:
    """Return a connection in autocommit mode."""
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    return connection


def prepare(path: Path) -> None:
    """Create and seed the file unless that was done; one process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection = open_connection(path)
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN IMMEDIATE;\n{SCHEMA.read_text('utf-8')}\nCOMMIT;")
        connection.close()


class Data:
    """The shop's file and a small pool of connections to it."""

    def __init__(self, path: Path) -> None:
        prepare(path)
        self.path = path
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        for _ in range(CONNECTIONS):
            self._idle.put(open_connection(path))

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while not self._idle.empty():
            self._idle.get_nowait().close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = self._idle.get()
        try:
            yield connection
        finally:
            self._idle.put(connection)

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with self._connection() as connection:
            return [dict(row) for row in connection.execute(query, values)]

    def products(self, category: str | None = None) -> list[dict[str, Any]]:
        """Return the products, those of one category if it is given."""
        if category is None:
            return self._rows("SELECT * FROM products ORDER BY id")
        return self._rows("SELECT * FROM products WHERE category = ? ORDER BY id", category)

    def product(self, number: int) -> dict[str, Any] | None:
        """Return one product; None when there is none of that number."""
        if number >= 2**63:
            return None
        return next(iter(self._rows("SELECT * FROM products WHERE id = ?", number)), None)

    def users(self) -> list[dict[str, Any]]:
        """Return the users, without what concerns their passwords."""
        return self._rows("SELECT id, name, full_name FROM users ORDER BY id")

    def user_with_password(self, name: str, password: str) -> dict[str, Any] | None:
        """Return the user if the password is right."""
        for row in self._rows("SELECT * FROM users WHERE name = ?", name):
            salt = bytes.fromhex(row["salt"])
            digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 20_000).hex()
            if hmac.compare_digest(digest, row["password_hash"]):
                return row
        return None

    def user(self, name: str) -> dict[str, Any] | None:
        """Return the user of this name, without what concerns the password."""
        found = self._rows("SELECT id, name, full_name FROM users WHERE name = ?", name)
        return next(iter(found), None)

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password."""
        salt = os.urandom(8)
        digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 20_000).hex()
        with self._connection() as connection:
            connection.execute(
                "UPDATE users SET salt = ?, password_hash = ? WHERE name = ?",
                (salt.hex(), digest, name),
            )

    def orders(self) -> list[dict[str, Any]]:
        """Return the fifty latest orders, the newest first, without their lines."""
        return self._rows(
            "SELECT id, reference, customer, placed_at, total_cents FROM orders"
            " ORDER BY id DESC LIMIT 50"
        )

    def order(self, number: int) -> dict[str, Any] | None:
        """Return one order with its lines; None when there is none of that number."""
        if number >= 2**63:
            return None
        found = self._rows("SELECT * FROM orders WHERE id = ?", number)
        lines = self._rows(
            "SELECT product_id AS product, quantity, price_cents FROM order_lines"
            " WHERE order_id = ? ORDER BY position",
            number,
        )
        return {**found[0], "items": lines} if found else None

    def place(self, order: dict[str, Any]) -> int:
        """Write an order and its lines in one transaction; return its number."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                number = insert_order(connection, order)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            return number


def insert_order(connection: sqlite3.Connection, order: dict[str, Any]) -> int:
    """Insert the rows of an order; return its number."""
    head = (order["reference"], order["customer"], order["placed_at"], order["total_cents"])
    cursor = connection.execute(
        "INSERT INTO orders (reference, customer, placed_at, total_cents) VALUES (?, ?, ?, ?)", head
    )
    number = cursor.lastrowid or 0
    connection.executemany(
        "INSERT INTO order_lines VALUES (?, ?, ?, ?, ?)",
        [
            (number, place, line["product"], line["quantity"], line["price_cents"])
            for place, line in enumerate(order["items"])
        ],
    )
    return number
