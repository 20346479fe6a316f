"""Columns for more facts about a pair: shapes, places, and how items were paired.

Earlier versions also stored distances between times in two notations, and between numbers and texts. This
version deletes these distances. If a rule covered a difference because of such a distance, the difference is
open until the responses are compared again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_UNBOUNDED = 1e308
_PART = sa.table(
    "overgrow_group_part",
    sa.column("control_type", sa.Text()),
    sa.column("candidate_type", sa.Text()),
    sa.column("gap", sa.Double()),
    sa.column("gap_s", sa.Double()),
    sa.column("one_type", sa.Integer()),
)


def upgrade() -> None:
    """Add the columns, and delete distances that the present comparison does not measure."""
    added = (
        sa.Column("alike", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("one_type", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("place", sa.Text(), nullable=False, server_default=""),
        sa.Column("other", sa.Text(), nullable=False, server_default=""),
        sa.Column("paired", sa.Text(), nullable=False, server_default=""),
    )
    for column in added:
        op.add_column("overgrow_group_part", column)
    types = (_PART.c.control_type, _PART.c.candidate_type)
    numbers = sa.and_(*(each.in_(("int", "float")) for each in types))
    op.execute(_PART.update().values(gap_s=_UNBOUNDED))
    op.execute(_PART.update().where(types[0] == types[1]).values(one_type=1))
    op.execute(
        _PART.update()
        .where(sa.not_(numbers), sa.or_(*(each != "str" for each in types)))
        .values(gap=_UNBOUNDED)
    )
