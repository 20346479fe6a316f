"""Alembic's environment: the database of the app, or SHOP_MIGRATIONS_DB with the role that may change its tables."""

from __future__ import annotations

import os
from logging.config import fileConfig
from typing import Any

from alembic import context
from alembic.util import load_python_file

from migrated.app import create_app
from migrated.database import db

# Migrations change only what is ours: `overgrow data guard` writes table_guard.py from data.yaml.
context = load_python_file(context.script.dir, "table_guard.py").guard(context)

config = context.config
if config.config_file_name is not None:
    fileConfig(config.config_file_name, disable_existing_loggers=False)
role = os.environ.get("SHOP_MIGRATIONS_DB")
app = create_app({"SHOP_DB": role} if role else None)
options: dict[str, Any] = {"target_metadata": db.metadata, "render_as_batch": True}

if context.is_offline_mode():
    with app.app_context():
        dialect = db.engine.dialect.name
    context.configure(dialect_name=dialect, literal_binds=True, **options)
    with context.begin_transaction():
        context.run_migrations()
else:
    with app.app_context():
        engine = config.attributes.get("connection") or db.engine  # pytest-alembic gives its own
    with engine.connect() as connection:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()
