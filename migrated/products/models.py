"""The table of products. Legacy made it and changes it; here it is only read."""

from __future__ import annotations

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from migrated.database import Model


class Product(Model):
    """One product."""

    __tablename__ = "products"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    category: Mapped[str] = mapped_column(Text)
    price_cents: Mapped[int]
    in_stock: Mapped[int]  # 0 or 1
    description: Mapped[str] = mapped_column(Text)
