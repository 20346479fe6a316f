"""Products as they are stored. Plain values; knows no HTTP."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select

from migrated.database import rows
from migrated.products.models import Product

PRODUCTS = select(*Product.__table__.columns).order_by(Product.id)
OF_CATEGORY = PRODUCTS.where(Product.category == bindparam("category"))
OF_NUMBER = PRODUCTS.where(Product.id == bindparam("number"))


def products(category: str | None = None) -> list[dict[str, Any]]:
    """Return the products, those of one category if it is given."""
    if category is None:
        return [public(row) for row in rows(PRODUCTS)]
    if "\0" in category:  # PostgreSQL has no such texts, not even to compare with
        return []
    return [public(row) for row in rows(OF_CATEGORY, {"category": category})]


def product(number: int) -> dict[str, Any] | None:
    """Return one product; None when there is none of that number."""
    if number >= 2**63:  # beyond what a database can hold
        return None
    return next(map(public, rows(OF_NUMBER, {"number": number})), None)


def public(row: dict[str, Any]) -> dict[str, Any]:
    """Return a product with a truth value where the table has a number."""
    return {**row, "in_stock": bool(row["in_stock"])}
