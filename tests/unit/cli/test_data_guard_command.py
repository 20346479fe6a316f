"""`overgrow data guard`, and what `data check` tells of the guard."""

from __future__ import annotations

import pytest

DATA = """\
version: 1
tables:
  users: {owner: legacy}
  notes: {owner: flask}
"""


@pytest.fixture
def migrations(overgrow):
    """The folder of an Alembic environment beside data.yaml."""
    (overgrow.folder / "data.yaml").write_text(DATA)
    folder = overgrow.folder / "migrations"
    folder.mkdir()
    (folder / "env.py").write_text("from alembic import context\n\nconfig = context.config\n")
    return folder


@pytest.mark.usefixtures("migrations")
def test_the_guard_is_written_once(overgrow):
    first = overgrow("data", "guard").stdout
    second = overgrow("data", "guard").stdout

    assert "migrations/table_guard.py: written" in first
    assert "migrations/env.py: written" in first
    assert "migrations/table_guard.py: is up to date" in second
    assert "guarded by the owners of 2 tables" in second


def test_a_dry_run_writes_nothing_and_shows_the_line(overgrow, migrations):
    shown = overgrow("data", "guard", "--dry-run").stdout

    assert (
        '+context = load_python_file(context.script.dir, "table_guard.py").guard(context)' in shown
    )
    assert [path.name for path in migrations.iterdir()] == ["env.py"]


def test_the_guard_as_json(overgrow, migrations):
    _, printed = overgrow.json("data", "guard")

    assert printed["owners"] == {"users": "legacy", "notes": "flask"}
    assert printed["written"] == [str(migrations / "table_guard.py"), str(migrations / "env.py")]


def test_the_mode_and_the_link_of_env_stay(overgrow, migrations):
    kept = overgrow.folder / "kept.py"
    (migrations / "env.py").rename(kept)
    kept.chmod(0o640)
    (migrations / "env.py").symlink_to(kept)

    overgrow("data", "guard")

    assert (migrations / "env.py").is_symlink()
    assert kept.stat().st_mode & 0o777 == 0o640
    assert "table_guard.py" in kept.read_text()


def test_a_named_folder_without_env_is_refused(overgrow, migrations):
    told = overgrow.fails("data", "guard", "--migrations", str(migrations.parent))

    assert "env.py cannot be read: No such file or directory." in told
    assert "--migrations FOLDER" in told


def test_check_tells_when_the_guard_is_missing_or_out_of_date(overgrow, migrations):
    missing = overgrow("data", "check").stdout
    overgrow("data", "guard")
    current = overgrow.json("data", "check")[1]["guard"]
    (overgrow.folder / "data.yaml").write_text(DATA + "  tags: {owner: flask}\n")
    outdated = overgrow("data", "check").stdout

    assert f"{migrations} has no guard. Write it: overgrow data guard" in missing
    assert current == "current"
    assert "is out of date. Write it: overgrow data guard" in outdated
