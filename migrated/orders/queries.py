"""Orders as they are stored. Plain values; knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, select

from migrated.clock import stamp, token
from migrated.database import rows, transaction
from migrated.orders.models import Order, OrderLine

ORDERS = select(*Order.__table__.columns)
LATEST = ORDERS.order_by(Order.id.desc()).limit(50)
OF_NUMBER = ORDERS.where(Order.id == bindparam("number"))
LINES = (
    select(OrderLine.product_id.label("product"), OrderLine.quantity, OrderLine.price_cents)
    .where(OrderLine.order_id == bindparam("number"))
    .order_by(OrderLine.position)
)


def orders() -> list[dict[str, Any]]:
    """Return the fifty latest orders, the newest first, without their lines."""
    return rows(LATEST)


def order(number: int) -> dict[str, Any] | None:
    """Return one order with its lines; None when there is none of that number."""
    if number >= 2**63:  # beyond what a database can hold
        return None
    found = rows(OF_NUMBER, {"number": number})
    return {**found[0], "items": rows(LINES, {"number": number})} if found else None


def place(asked: Mapping[str, Any], catalogue: Mapping[int, Mapping[str, Any]]) -> int:
    """Write an order that is in order, with the catalogue's prices; return its number."""
    prices = [catalogue[line["product"]]["price_cents"] for line in asked["items"]]
    total = sum(
        line["quantity"] * price for line, price in zip(asked["items"], prices, strict=True)
    )
    order = Order(
        reference=token(4), customer=asked["customer"], placed_at=stamp(), total_cents=total
    )
    with transaction() as session:
        session.add(order)
        session.flush()  # the database gives the number
        number = order.id
        session.add_all(
            OrderLine(
                order_id=number,
                position=position,
                product_id=line["product"],
                quantity=line["quantity"],
                price_cents=prices[position],
            )
            for position, line in enumerate(asked["items"])
        )
    return number
