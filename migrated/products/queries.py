"""Products as they are stored. Plain values; knows no HTTP."""

from __future__ import annotations

from typing import Any

from migrated.database import rows


def products(category: str | None = None) -> list[dict[str, Any]]:
    """Return the products, those of one category if it is given."""
    if category is None:
        return [public(row) for row in rows("SELECT * FROM products ORDER BY id")]
    query = "SELECT * FROM products WHERE category = ? ORDER BY id"
    return [public(row) for row in rows(query, category)]


def product(number: int) -> dict[str, Any] | None:
    """Return one product; None when there is none of that number."""
    if number >= 2**63:  # beyond what SQLite can hold
        return None
    return next(map(public, rows("SELECT * FROM products WHERE id = ?", number)), None)


def public(row: dict[str, Any]) -> dict[str, Any]:
    """Return a product with a truth value where SQLite has a number."""
    return {**row, "in_stock": bool(row["in_stock"])}
