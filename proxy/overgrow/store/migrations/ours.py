"""Which tables of a database are ours: it may be shared, and nothing else is to be touched."""

from __future__ import annotations

from overgrow.store.tables import PREFIX


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Return whether Alembic may touch a table: only if it is one of ours."""
    return kind != "table" or (name or "").startswith(PREFIX)
