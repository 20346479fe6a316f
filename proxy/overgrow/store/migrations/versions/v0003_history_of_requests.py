"""The history of requests: rows of 10 seconds, a minute and an hour, their series, and their writers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "overgrow_history_door",
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("rolled_until", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("door"),
    )
    op.create_table(
        "overgrow_history_series",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("mark", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("door", "route", "side", name="uq_overgrow_history_series"),
    )
    _create_rows("overgrow_history_second", "at", "series")
    _create_rows("overgrow_history_minute", "series", "at")
    _create_rows("overgrow_history_hour", "series", "at")


def _create_rows(name: str, *key: str) -> None:
    columns = (
        sa.Column(each, sa.BigInteger(), autoincrement=False, nullable=False) for each in key
    )
    op.create_table(
        name,
        *columns,
        sa.Column("counts", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(*key),
        sqlite_with_rowid=False,
    )
