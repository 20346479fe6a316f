"""What Alembic runs: the connection comes from migrating.py, and only our own tables are looked at."""

from __future__ import annotations

from alembic import context

from proxy.store.tables import PREFIX, VERSION_TABLE, metadata


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Leave tables alone that are not ours: the database may be shared."""
    return kind != "table" or (name or "").startswith(PREFIX)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    include_name=include_name,
)
with context.begin_transaction():
    context.run_migrations()
