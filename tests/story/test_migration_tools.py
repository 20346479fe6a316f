"""The tools beside the guard that docs/moving-data.md names: locks by squawk, up and down by pytest-alembic."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.programs import is_missed
from tests.story.stub import ROOT

TOOLS = ROOT / ".venv/migration-tools/bin"
PAGE = (ROOT / "docs/moving-data.md").read_text("utf-8")
LOCKING = """\
from alembic import op
import sqlalchemy as sa

revision = "0002"
down_revision = "0001"


def upgrade():
    op.create_table("notes", sa.Column("id", sa.BigInteger, primary_key=True))
    op.execute("ALTER TABLE notes ALTER COLUMN id TYPE text")
"""


@pytest.fixture
def tools():
    """The folder of the tools; the test is skipped where they are not installed."""
    if not (TOOLS / "squawk").exists():
        is_missed("squawk and pytest-alembic are not here: make .venv/.migration-tools-installed")
    return TOOLS


def test_pytest_alembic_runs_the_demos_revisions_up_and_down(tools, tmp_path):
    (example,) = re.findall(r"^```python\n(import pytest.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "test_migrations.py").write_text(example)
    command = [tools / "python", "-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider"]

    done = subprocess.run(
        [*command, "--rootdir", tmp_path, tmp_path],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_squawk_names_a_lock_in_the_sql_of_a_revision(tools, tmp_path):
    guard = ROOT / "migrated/migrations/table_guard.py"
    migrations = tmp_path / "migrations"
    (migrations / "versions").mkdir(parents=True)
    for name in ("env.py", "versions/0001_start.py"):
        (migrations / name).write_bytes((guard.parent / name).read_bytes())
    owned = guard.read_text().replace("OWNERS: dict[str, str] = {", 'OWNERS = {"notes": "flask",')
    (migrations / guard.name).write_text(owned)
    (migrations / "versions/0002_locking.py").write_text(LOCKING)
    (tmp_path / "alembic.ini").write_text((ROOT / "migrated/alembic.ini").read_text())
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SHOP_DB": "postgresql+psycopg://x/y"}

    sql = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "0001:head", "--sql"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    found = subprocess.run(
        [tools / "squawk", "--assume-in-transaction"],
        input=sql,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    ).stdout

    assert "changing-column-type" in found
    assert "require-lock-timeout" in found
