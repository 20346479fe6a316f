"""Orders as they are stored. Plain values; knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrated.clock import stamp, token
from migrated.database import rows, transaction


def orders() -> list[dict[str, Any]]:
    """Return the fifty latest orders, the newest first, without their lines."""
    return rows(
        "SELECT id, reference, customer, placed_at, total_cents FROM orders"
        " ORDER BY id DESC LIMIT 50"
    )


def order(number: int) -> dict[str, Any] | None:
    """Return one order with its lines; None when there is none of that number."""
    if number >= 2**63:  # beyond what SQLite can hold
        return None
    found = rows("SELECT * FROM orders WHERE id = ?", number)
    items = rows(
        "SELECT product_id AS product, quantity, price_cents FROM order_lines"
        " WHERE order_id = ? ORDER BY position",
        number,
    )
    return {**found[0], "items": items} if found else None


def place(asked: Mapping[str, Any], catalogue: Mapping[int, Mapping[str, Any]]) -> int:
    """Write an order that is in order, with the catalogue's prices; return its number."""
    prices = [catalogue[line["product"]]["price_cents"] for line in asked["items"]]
    total = sum(
        line["quantity"] * price for line, price in zip(asked["items"], prices, strict=True)
    )
    with transaction() as connection:
        cursor = connection.execute(
            "INSERT INTO orders (reference, customer, placed_at, total_cents) VALUES (?, ?, ?, ?)",
            (token(4), asked["customer"], stamp(), total),
        )
        number = cursor.lastrowid or 0
        connection.executemany(
            "INSERT INTO order_lines VALUES (?, ?, ?, ?, ?)",
            [
                (number, position, line["product"], line["quantity"], prices[position])
                for position, line in enumerate(asked["items"])
            ],
        )
    return number
