"""`overgrow data guard`: writes the guard of migrations into the team's Alembic environment."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.data.declared import load_declaration
from overgrow.cli.failures import Failed
from overgrow.cli.file_deadline import AnyPath, file_deadline
from overgrow.data.guard.writing import (
    GuardError,
    GuardFile,
    find_migrations,
    owners_of,
    plan_guard,
)
from overgrow.files import replace_file
from overgrow.text import count_text


@click.command(short_help="Keep migrations away from tables that are not ours.")
@click.option(
    "--migrations",
    type=AnyPath(),
    metavar="FOLDER",
    help="The folder with env.py. [default: found]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be written.")
@shared_options
def guard(call: Invocation, migrations: Path | None, *, dry_run: bool) -> None:
    """Write table_guard.py beside Alembic's env.py, and the line in env.py that uses it.

    Run it again after a change of data.yaml. The file needs nothing of Overgrow: it stays when Overgrow goes.
    """
    declaration = load_declaration(call)
    with _guard_errors_as_failures(), file_deadline(call):
        folder = migrations or find_migrations(call.config.parent.absolute())
        files = plan_guard(folder, declaration)
        if not dry_run:
            _write(files)
    owners = owners_of(declaration)
    payload = {
        "migrations": str(folder),
        "owners": owners,
        "written": [str(each.path) for each in files if not each.is_current and not dry_run],
        "would_write": [str(each.path) for each in files if not each.is_current],
    }
    text = _differences(files) if dry_run else _report(files, len(owners))
    call.print_result(payload, text)


@contextmanager
def _guard_errors_as_failures() -> Iterator[None]:
    try:
        yield
    except GuardError as error:
        raise Failed("migrations-unusable", error.what, error.fix) from error
    except OSError as error:
        what = f"{error.filename} cannot be written: {error.strerror or error}."
        raise Failed("file-unusable", what, "Check the permissions of its folder.") from error


def _write(files: Sequence[GuardFile]) -> None:
    """Write the files that have changed. The guard comes first, because env.py loads it."""
    for each in files:
        if not each.is_current:
            target = each.path.resolve()
            mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
            replace_file(target, each.after.encode(), mode=mode)


def _report(files: Sequence[GuardFile], tables: int) -> str:
    told = {True: "is up to date", False: "written"}
    lines = [f"{short_path(each.path)}: {told[each.is_current]}" for each in files]
    return "\n".join(
        [*lines, f"Migrations are guarded by the owners of {count_text(tables, 'table')}."]
    )


def short_path(path: Path) -> Path:
    """Return a path below the working directory as relative to it; any other as it is."""
    try:
        return path.relative_to(Path.cwd())
    except (ValueError, OSError):
        return path


def _differences(files: Sequence[GuardFile]) -> str:
    """Return the differences as a patch. Of a new file, return only the name."""
    lines: list[str] = []
    for each in files:
        if each.before is None:
            lines.append(f"{short_path(each.path)}: would be written")
        elif each.is_current:
            lines.append(f"{short_path(each.path)}: is up to date")
        else:
            old, new = each.before.splitlines(), each.after.splitlines()
            name = str(short_path(each.path))
            lines += difflib.unified_diff(old, new, name, name, lineterm="")
    return "\n".join(lines)
