"""The new shop's Alembic environment: it leaves legacy's tables alone, and its models say what they are."""

from __future__ import annotations

import io
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from migrated import database
from overgrow.data.declaration import parse_declaration
from overgrow.data.guard.writing import find_migrations, plan_guard
from tests.story.stub import ROOT

INI = ROOT / "migrated/alembic.ini"


@pytest.fixture
def config(tmp_path, monkeypatch):
    """The environment over a file that legacy has made."""
    file = tmp_path / "shop.sqlite3"
    database.prepare(file)
    monkeypatch.setenv("SHOP_DATA", str(file))
    monkeypatch.delenv("SHOP_DB", raising=False)
    config = Config(output_buffer=io.StringIO(), stdout=io.StringIO())
    config.set_main_option("script_location", str(INI.parent / "migrations"))
    return config


def schema(file: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name NOT LIKE 'alembic%'"
        )
        return sorted(found.fetchall(), key=str)


def test_the_guard_of_the_demo_is_the_one_of_its_declaration():
    text = (ROOT / "data.yaml").read_bytes()
    declaration = parse_declaration(text, file="data.yaml", env={}).declaration

    files = plan_guard(find_migrations(ROOT), declaration)

    assert [each.path.name for each in files if not each.is_current] == []


def test_the_migrations_leave_legacys_tables_as_they_are(config):
    file = Path(os.environ["SHOP_DATA"])
    before = schema(file)

    command.upgrade(config, "head")
    command.downgrade(config, "base")
    command.upgrade(config, "head")

    assert schema(file) == before


def test_the_models_say_what_legacys_tables_are(config):
    command.upgrade(config, "head")

    command.check(config)  # it raises at the first difference


def test_the_sql_for_a_server_needs_no_server(config, monkeypatch):
    monkeypatch.setenv("SHOP_MIGRATIONS_DB", "postgresql+psycopg://migrator@nowhere/shop")

    command.upgrade(config, "head", sql=True)

    assert "CREATE TABLE alembic_version" in config.output_buffer.getvalue()


def test_a_revision_that_drops_a_table_of_legacy_is_refused(config, tmp_path):
    versions = tmp_path / "versions"
    versions.mkdir()
    (versions / "0002_tidy.py").write_text(
        "from alembic import op\n\nrevision = '0002'\ndown_revision = '0001'\n\n\n"
        "def upgrade():\n    op.drop_table('users')\n"
    )
    config.set_main_option("version_locations", f"{INI.parent}/migrations/versions {versions}")
    config.set_main_option("path_separator", "space")

    with pytest.raises(CommandError, match="the table users is not ours: its owner is legacy"):
        command.upgrade(config, "head")
