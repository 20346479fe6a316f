"""The tables of the legacy shop are as they are; ours begin here.

Follows: nothing
"""

from __future__ import annotations

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing: legacy has made its tables."""


def downgrade() -> None:
    """Change nothing."""
