"""Makes what `overgrow data guard` writes: table_guard.py with the owners from data.yaml, and two lines in env.py.

Pure, except for finding and reading the folder of the migrations. The guard itself is table_guard.py of this package,
copied as text, so that the team's migrations need nothing of Overgrow.
"""

from __future__ import annotations

import ast
import configparser
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from overgrow.data.declaration import DataDeclaration

GUARD_FILE = "table_guard.py"
ENV_FILE = "env.py"
_NO_OWNERS = "OWNERS: dict[str, str] = {}\n"
_COMMENT = "# Migrations change only what is ours: `overgrow data guard` writes table_guard.py from data.yaml."
_USUAL_FOLDERS = ("migrations", "alembic")  # Flask-Migrate's, and Alembic's own


class GuardError(Exception):
    """The guard cannot be written. The error has the reason and the fix."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


@dataclass(frozen=True, slots=True)
class GuardFile:
    """One file of the guard: its present content (None: it does not exist), and the content that it should have."""

    path: Path
    before: str | None
    after: str

    @property
    def is_current(self) -> bool:
        """Whether nothing needs to be written."""
        return self.before == self.after


def owners_of(declaration: DataDeclaration) -> dict[str, str]:
    """Return the owner of each table. If another table comes from a table, that table is legacy's by default."""
    owners = {table.name: table.owner for table in declaration.tables.values()}
    for table in declaration.moves:
        owners.setdefault(table.source or "", "legacy")
    return owners


def render_guard(owners: Mapping[str, str]) -> str:
    """Return the text of table_guard.py for these owners."""
    source = Path(__file__).with_name(GUARD_FILE).read_text("utf-8")
    before, mark, after = source.partition(_NO_OWNERS)
    assert mark, "table_guard.py has lost its line of owners"  # noqa: S101 - a test renders it
    lines = "".join(
        f"    {json.dumps(name, ensure_ascii=False)}: {json.dumps(owner)},\n"  # as formatters want it
        for name, owner in owners.items()
    )
    return f"{before}OWNERS: dict[str, str] = {{\n{lines}}}\n{after}"


def guard_env(text: str, where: str) -> str:
    """Return the text of env.py with the guard around Alembic's context.

    If there is no place for it, raise GuardError.
    """
    try:
        body = ast.parse(text).body
    except SyntaxError as error:
        what = f"{where} cannot be read as Python: {error.msg}, line {error.lineno}."
        raise GuardError(what, "Mend it, then run the command again.") from None
    if (imported := next(_context_imports(body), None)) is None:
        what = f"{where} does not import Alembic's context."
        fix = "Write `from alembic import context` at its top, then run the command again."
        raise GuardError(what, fix)
    statement, name = imported
    if f"{GUARD_FILE}" in text and f"{name} = load_python_file(" in text:
        return text
    lines = text.splitlines(keepends=True)
    if not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    at, last = statement.end_lineno or statement.lineno, _last_import_line(body, statement)
    guarded = f'{name} = load_python_file({name}.script.dir, "{GUARD_FILE}").guard({name})\n'
    return "".join(
        [
            *(*lines[:at], "from alembic.util import load_python_file\n"),
            *(*lines[at:last], f"\n{_COMMENT}\n", guarded),
            *lines[last:],
        ]
    )


def _context_imports(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Yield the statements that import Alembic's context, and the name it gets."""
    for each in body:
        if isinstance(each, ast.ImportFrom) and each.module == "alembic":
            for alias in each.names:
                if alias.name == "context":
                    yield each, alias.asname or alias.name


def _last_import_line(body: list[ast.stmt], statement: ast.stmt) -> int:
    """Return the line after which the guard begins: the end of the block of imports that contains `statement`."""
    last = statement
    for each in body[body.index(statement) + 1 :]:
        if not isinstance(each, ast.Import | ast.ImportFrom):
            break
        last = each
    return last.end_lineno or last.lineno


def find_migrations(folder: Path) -> Path:
    """Return the folder of the migrations below the folder of data.yaml.

    If there is none or several, raise GuardError.
    """
    found = [each for each in dict.fromkeys(_candidates(folder)) if (each / ENV_FILE).is_file()]
    if len(found) == 1:
        return found[0]
    if not found:
        what = f"No Alembic environment below {folder}: neither the script_location of alembic.ini nor migrations/ or alembic/ has an env.py."
        raise GuardError(what, "Name its folder: overgrow data guard --migrations FOLDER.")
    what = f"Several Alembic environments below {folder}: {', '.join(map(str, found))}."
    raise GuardError(what, "Name one: overgrow data guard --migrations FOLDER.")


def _candidates(folder: Path) -> Iterator[Path]:
    for ini in sorted([folder / "alembic.ini", *folder.glob("*/alembic.ini")]):
        if (location := _script_location(ini)) is not None:
            yield location.resolve()
    parents = [folder, *(each for each in sorted(folder.iterdir()) if each.is_dir())]
    for parent in parents:
        for name in _USUAL_FOLDERS:
            yield (parent / name).resolve()


def _script_location(ini: Path) -> Path | None:
    """Return the folder that an alembic.ini names. If it names none, as with Flask-Migrate, return its own folder."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(ini.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return None
    text = parser.get("alembic", "script_location", fallback="")
    if not text:
        return ini.parent
    place = text.replace("%(here)s", str(ini.parent))
    return ini.parent / place  # an absolute one stays


def plan_guard(migrations: Path, declaration: DataDeclaration) -> tuple[GuardFile, GuardFile]:
    """Return both files with their present content and the content that they should have."""
    env = migrations / ENV_FILE
    try:
        text = env.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = f"{env} cannot be read: {getattr(error, 'strerror', None) or error}."
        fix = "Name the folder of your migrations: overgrow data guard --migrations FOLDER."
        raise GuardError(what, fix) from error
    guard = migrations / GUARD_FILE
    written = guard.read_text("utf-8", "replace") if guard.is_file() else None
    return (
        GuardFile(guard, written, render_guard(owners_of(declaration))),
        GuardFile(env, text, guard_env(text, str(env))),
    )
