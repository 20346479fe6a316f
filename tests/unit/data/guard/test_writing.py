"""What `overgrow data guard` writes, and where."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from overgrow.data.declaration import parse_declaration
from overgrow.data.guard.writing import (
    GuardError,
    find_migrations,
    guard_env,
    owners_of,
    plan_guard,
    render_guard,
)
from tests.unit.data.guard.team import OWNERS, TEMPLATE


def declared(text: str = OWNERS):
    return parse_declaration(text.encode(), file="data.yaml", env={}).declaration


def test_a_table_that_another_comes_from_is_legacys():
    assert owners_of(declared())["order_rows"] == "legacy"


def test_the_guard_has_the_owners_of_the_declaration():
    names = {}
    exec(
        re.search(r"^OWNERS.*?^}", render_guard(owners_of(declared())), re.MULTILINE | re.DOTALL)[
            0
        ],
        names,
    )

    assert names["OWNERS"] == owners_of(declared())


@pytest.mark.parametrize("name", ["it's", 'a "b"', "a\\b", "Größe", "{x}"])
def test_any_name_of_a_table_can_stand_in_the_guard(name):
    names = {}
    exec(
        re.search(r"^OWNERS.*?^}", render_guard({name: "legacy"}), re.MULTILINE | re.DOTALL)[0],
        names,
    )

    assert names["OWNERS"] == {name: "legacy"}


def test_the_guard_imports_nothing_of_overgrow():
    tree = ast.parse(render_guard({}))
    imported = {
        (each.module if isinstance(each, ast.ImportFrom) else each.names[0].name).partition(".")[0]
        for each in ast.walk(tree)
        if isinstance(each, ast.Import | ast.ImportFrom)
    }

    assert imported - sys.stdlib_module_names == {"alembic", "sqlalchemy"}


@pytest.mark.parametrize(
    "template", ["generic", "async", "multidb", "pyproject", "pyproject_async"]
)
def test_the_guard_goes_into_each_template_of_alembic(template):
    text = (TEMPLATE / template / "env.py").read_text("utf-8")

    guarded = guard_env(text, "env.py")

    ast.parse(guarded)
    before, _, after = guarded.partition(".guard(context)\n")
    assert "context." in after
    assert not re.search(
        r"context\.(?!script)", before.rpartition("from alembic import context")[2]
    )


FLASK_MIGRATE = """\
import logging
from logging.config import fileConfig

from flask import current_app

from alembic import context

# this is the Alembic Config object
config = context.config
"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param(
            FLASK_MIGRATE, "context = load_python_file(context.script.dir", id="Flask-Migrate"
        ),
        pytest.param(
            "from alembic import op, context as ctx\nx = 1\n",
            "ctx = load_python_file(ctx.",
            id="as",
        ),
        pytest.param(
            "from alembic import context", "context = load_python_file(", id="no line end"
        ),
        pytest.param(
            '"""Text."""\nfrom alembic import (\n  context,\n)\n', "context = load", id="brackets"
        ),
    ],
)
def test_the_guard_goes_into_env_after_the_imports(text, line):
    guarded = guard_env(text, "env.py")

    ast.parse(guarded)
    assert line in guarded
    assert guard_env(guarded, "env.py") == guarded


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import alembic\n", "does not import Alembic's context"),
        ("", "does not import Alembic's context"),
        ("def (", "cannot be read as Python"),
    ],
)
def test_an_env_without_a_place_for_the_guard_is_refused(text, why):
    with pytest.raises(GuardError, match=why):
        guard_env(text, "env.py")


def environment(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "env.py").write_text("from alembic import context\n")
    return folder


@pytest.mark.parametrize("place", ["migrations", "alembic", "app/migrations"])
def test_the_usual_folders_of_migrations_are_found(tmp_path, place):
    made = environment(tmp_path / place)

    assert find_migrations(tmp_path) == made


@pytest.mark.parametrize("location", ["db/moves", "%(here)s/db/moves"])
@pytest.mark.parametrize("ini", ["alembic.ini", "app/alembic.ini"])
def test_the_folder_that_alembic_ini_names_is_found(tmp_path, ini, location):
    (tmp_path / ini).parent.mkdir(exist_ok=True)
    (tmp_path / ini).write_text(f"[alembic]\nscript_location = {location}\n")
    made = environment((tmp_path / ini).parent / "db/moves")

    assert find_migrations(tmp_path) == made


def test_no_folder_of_migrations_is_a_refusal_with_the_option(tmp_path):
    with pytest.raises(GuardError, match="No Alembic environment below") as refused:
        find_migrations(tmp_path)

    assert "--migrations FOLDER" in refused.value.fix


def test_several_folders_of_migrations_are_named(tmp_path):
    environment(tmp_path / "migrations")
    environment(tmp_path / "billing/migrations")

    with pytest.raises(GuardError, match=r"migrations, .*billing/migrations"):
        find_migrations(tmp_path)


def test_a_folder_without_env_is_a_refusal(tmp_path):
    with pytest.raises(GuardError, match=r"env\.py cannot be read: No such file"):
        plan_guard(tmp_path, declared())


def test_the_command_of_alembic_shows_the_refusal_alone(file_team):
    """A person at a terminal gets one line and no traceback."""
    file_team.metadata.clear()
    text = file_team.env.read_text().replace('config.attributes["metadata"]', "None")
    text = text.replace("fileConfig(config.config_file_name)", "pass")
    file_team.env.write_text(text)
    (file_team.folder / "alembic.ini").write_text(
        f"[alembic]\nscript_location = %(here)s/migrations\nsqlalchemy.url = {file_team.url}\n"
    )
    file_team.write('op.drop_table("users")')

    shown = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=file_team.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert shown.returncode != 0
    assert "Traceback" not in shown.stderr + shown.stdout
    assert (
        "r0.py:14: the table users is not ours: its owner is legacy" in shown.stderr + shown.stdout
    )
