"""Tells which tables of a database are ours. The database may be shared, and other tables must not be touched."""

from __future__ import annotations

from overgrow.store.tables import PREFIX


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Return whether Alembic may touch a table: it may if the table is ours."""
    return kind != "table" or (name or "").startswith(PREFIX)
