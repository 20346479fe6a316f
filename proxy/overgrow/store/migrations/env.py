"""The script that Alembic runs; its connection comes from migrating.py."""

from __future__ import annotations

from alembic import context

from overgrow.store.migrations.ours import include_name
from overgrow.store.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    include_name=include_name,
)
with context.begin_transaction():
    context.run_migrations()
