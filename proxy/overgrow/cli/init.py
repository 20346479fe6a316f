"""`overgrow init`: a first routes.yaml, with everything on legacy, and its schema for editors."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import click

from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.failures import Failed
from overgrow.cli.first_table import FirstTable, FoundRule, first_table, rules_in
from overgrow.cli.output import echo_safe
from overgrow.cli.team_rules import import_app
from overgrow.table.reading.parse import parse
from overgrow.table.reading.values import (
    FieldError,
    fill_variables,
    parse_app_name,
    parse_legacy_url,
)

SCHEMA = "routes.schema.json"
_LINE = re.compile(r" on line \d+")  # of an attempt that nobody will see
HEAD = """\
# yaml-language-server: $schema={schema}
# The route table: who serves what. What no route names goes to the legacy app.
# Move an endpoint: overgrow flip NAME migrated    Put it back: overgrow rollback
version: 1
app: {app}

legacy:
  url: {url}

"""


class InitOptions(NamedTuple):
    """The two options, checked; `url` as it was written, variables and all."""

    url: str
    app: str


@click.command(short_help="Write a first routes.yaml, everything on legacy.")
@click.option(
    "--legacy", required=True, metavar="URL", help="The legacy app: http://HOST:PORT, unix:/PATH."
)
@click.option("--app", required=True, metavar="MODULE:FACTORY", help="Your Flask app.")
@shared_options
def init(call: Invocation, legacy: str, app: str) -> None:
    """Write routes.yaml with one route, target legacy, per rule of your Flask app.

    Nothing moves until you flip. Flask's own static files are left out; rules that a table cannot
    say are named and left out. Beside it goes routes.schema.json, by which editors complete and
    check the table. An existing file is never overwritten.
    """
    given = _check_options(legacy, app)
    if os.path.lexists(call.config):
        what = f"{call.config} exists already and was left alone."
        raise Failed("file-exists", what, "Name another with --config.")
    head = HEAD.format(schema=_schema_for(call.config), app=given.app, url=given.url)
    found, names = _valid_table(call, head, rules_in(_import_flask_app(call, given.app)))
    schema = _write(call.config, head + found.text)
    for skipped in found.skipped:
        echo_safe(f"note: left out {skipped.rule}: {skipped.why}", err=True)
    payload = {
        "file": str(call.config),
        "schema": str(schema.path),
        "routes": names,
        "skipped": [each._asdict() for each in found.skipped],
    }
    call.print_result(payload, _text(call.config, schema, names, given.url))


class Schema(NamedTuple):
    """The schema that a table's first line names, and whether this command put it there."""

    path: Path
    is_new: bool


def _text(config: Path, schema: Schema, names: list[str], url: str) -> str:
    option = "" if config == Path("routes.yaml") else f" --config {config}"
    return (
        f"Wrote {config}: {len(names)} route{'' if len(names) == 1 else 's'}, all on legacy {url}.\n"
        f"{'Wrote' if schema.is_new else 'Its schema is'} {schema.path}: what your editor completes "
        "and checks fields by.\n"
        f"Next: overgrow serve{option}, then overgrow flip{option} ROUTE migrated"
    )


def _check_options(legacy: str, app: str) -> InitOptions:
    try:
        parse_legacy_url(fill_variables(legacy, "--legacy", os.environ), "--legacy")
        return InitOptions(legacy, parse_app_name(app, "--app"))
    except FieldError as bad:
        raise click.UsageError(f"{bad}. {bad.fix}") from bad


def _import_flask_app(call: Invocation, name: str) -> Any:
    team = import_app(replace(call.settings, app=name))
    if team.flask is None:
        fix = "Mend the import, or name another app with --app MODULE:FACTORY."
        raise Failed("app-import", f"{team.why}.", fix)
    return team.flask


def _schema_for(config: Path) -> str:
    """Where the table's first line finds its schema: in a checkout of Overgrow, else a copy beside.

    A copy works offline, for every editor and every colleague; one that is there is kept.
    """
    packaged = Path("proxy/overgrow") / SCHEMA
    if (config.parent / packaged).is_file():
        return packaged.as_posix()
    return SCHEMA


def _valid_table(
    call: Invocation, head: str, rules: Sequence[FoundRule]
) -> tuple[FirstTable, list[str]]:
    """The first table and the names of its routes, without those that clash with another."""
    without: dict[str, str] = {}
    while True:
        found = first_table(rules, without)
        text = (head + found.text).encode()
        loaded = parse(text, file=str(call.config), env=os.environ, rules=None)
        if loaded.table is not None:
            by_line = sorted(loaded.table.routes, key=lambda route: route.line)
            return found, [route.name for route in by_line]
        clashing = {one.route: _LINE.sub("", one.message) for one in loaded.problems if one.route}
        if not clashing:
            what = "The app's rules do not make a valid table; nothing was written."
            raise Failed("invalid-table", what, "Write routes.yaml by hand.", loaded.problems)
        without |= clashing


def _write(config: Path, text: str) -> Schema:
    """Write the table, and beside it the schema that its first line names; both or neither."""
    schema = config.parent / _schema_for(config)
    made: list[Path] = []
    try:
        if not schema.exists():
            made.append(schema)
            schema.write_bytes(files("overgrow").joinpath(SCHEMA).read_bytes())
        with config.open("x", encoding="utf-8") as file:
            made.append(config)
            file.write(text)
    except OSError as error:
        for path in made:
            with suppress(OSError):
                path.unlink()
        what = f"{config} cannot be written: {error.strerror}."
        fix = "Make the folder" if error.errno == errno.ENOENT else "Nothing was written: mend that"
        raise Failed("file-unwritable", what, f"{fix}, or name another with --config.") from error
    return Schema(schema, schema in made)
