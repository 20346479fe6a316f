"""The tables of orders. Legacy made them, and both shops write them."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from migrated.database import Model


class Order(Model):
    """One order; its number grows and is never used again."""

    __tablename__ = "orders"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - SQLAlchemy's own declaration

    id: Mapped[int] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(Text)
    customer: Mapped[str] = mapped_column(Text)
    placed_at: Mapped[str] = mapped_column(Text)
    total_cents: Mapped[int]


class OrderLine(Model):
    """One line of an order, at its position."""

    __tablename__ = "order_lines"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own declaration

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    quantity: Mapped[int]
    price_cents: Mapped[int]
