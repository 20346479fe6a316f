"""`overgrow init`: a first routes.yaml, with everything on legacy, and its schema for editors.

`init --add` adds routes for views that were written later; it changes nothing else in the table.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import click

from overgrow.cli.added_routes import AddedRoutes, add_routes, with_app
from overgrow.cli.context import Invocation, load_valid_table, shared_options
from overgrow.cli.failures import Failed, InvalidTable, failure_of
from overgrow.cli.file_deadline import LIMIT_S, file_deadline
from overgrow.cli.first_table import (
    FirstTable,
    FoundRule,
    SkippedRule,
    first_table,
    rules_in,
)
from overgrow.cli.legacy_answer import LegacyAnswer, ask_legacy
from overgrow.cli.output import echo_safe
from overgrow.cli.team_rules import import_app
from overgrow.cli.workers import is_door_running
from overgrow.routing.model import RouteTable
from overgrow.table.editing.history import WAIT_S
from overgrow.table.editing.rewrite import lines_to_change
from overgrow.table.editing.transaction import BOM, locked_for_edit, replace_table
from overgrow.table.judging import parse_last_good
from overgrow.table.last_good import read_last_good
from overgrow.table.reading.parse import ParsedTable, parse
from overgrow.table.reading.problems import EditRefused
from overgrow.table.reading.values import parse_app_name, parse_legacy_url
from overgrow.text import count_text
from overgrow.yaml_file.scalars import FieldError, fill_variables

SCHEMA = "routes.schema.json"
_WRITE_FIXES = {
    errno.ENOENT: "Create the folder",
    errno.EACCES: "Give this user the right to write in the folder",
    errno.ENOSPC: "Make room on the disk",
}
MOST_NAMES = 20  # that are shown to people
_LINE = re.compile(r" on line \d+")  # in messages about a text that nobody sees
HEAD = """\
# yaml-language-server: $schema={schema}
# The route table: who serves what. What no route names goes to the legacy app.
# Move an endpoint: overgrow flip NAME migrated    Put it back: overgrow rollback
version: 1
{app}

legacy:
  url: {url}

"""


NO_APP_YET = (
    "# app: MODULE:FACTORY   your Flask app, once there is one: overgrow init --add --app ..."
)


class InitOptions(NamedTuple):
    """The checked options. `written` is the URL as written, with variables; `url` is the URL with their values."""

    written: str
    url: str
    app: str | None


@click.command(short_help="Write a first routes.yaml, everything on legacy.")
@click.option(
    "--legacy",
    metavar="URL",
    help="The legacy app: http://HOST:PORT or unix:/PATH.",
)
@click.option("--app", metavar="MODULE:FACTORY", help="Your Flask app, if there is one already.")
@click.option("--add", is_flag=True, help="Add routes for new views; change nothing else.")
@shared_options
def init(call: Invocation, legacy: str | None, app: str | None, add: bool) -> None:  # noqa: FBT001  click's
    """Write routes.yaml: everything on legacy, one route per rule of your Flask app.

    Nothing moves until you flip. Without --app there are no routes yet. Flask's static files are left
    out; rules that a table cannot express are listed and left out. The command sends one request to
    legacy and prints the result. It writes routes.schema.json beside the table, so that editors complete
    and check it.

    An existing file is never overwritten. With --add it gets a route, target legacy, for each rule that
    has none; every other byte stays.
    """
    if add and os.path.lexists(call.config):
        _add(call, legacy, app)
        return
    if os.path.lexists(call.config):
        what = f"{call.config} already exists and was not changed."
        raise Failed(
            "file-exists", what, "Add routes to it with --add, or name another file with --config."
        )
    given = _check_options(call, legacy, app)
    line = NO_APP_YET if given.app is None else f"app: {given.app}"
    head = HEAD.format(schema=_schema_for(call.config), app=line, url=_url_scalar(given.written))
    rules = rules_in(_import_flask_app(call, given.app)) if given.app else []
    found, names = _valid_table(call, head, rules)
    schema = _write(call.config, head + found.text)
    _note_skipped(found.skipped)
    answer = ask_legacy(given.url)
    payload = {
        "file": str(call.config),
        "schema": str(schema.path),
        "routes": names,
        "skipped": [each._asdict() for each in found.skipped],
        "legacy": {"url": given.url, **answer.as_json()},
    }
    call.print_result(payload, _text(call, schema, names, given))
    _print_legacy_response(call, given.url, answer)


def _note_skipped(skipped: Sequence[SkippedRule]) -> None:
    for each in skipped:
        echo_safe(f"note: left out {each.rule}: {each.why}", err=True)


def _print_legacy_response(call: Invocation, url: str, answer: LegacyAnswer) -> None:
    """Print legacy's response. A missing response is only a note, because the table may be right anyway."""
    if answer.error is not None:
        what = f"legacy does not respond at {url} now: {answer.error}"
        echo_safe(
            f"note: {what}. If the address is wrong, fix legacy.url in {call.config}", err=True
        )
    elif not call.json:
        echo_safe(f"Legacy responds to GET /: {answer}.")


class Schema(NamedTuple):
    """The schema that the first line of a table names, and whether this command wrote the schema."""

    path: Path
    is_new: bool


def _text(call: Invocation, schema: Schema, names: list[str], given: InitOptions) -> str:
    config, option = call.config, _config_option(call.config)
    then = f"overgrow flip{option} ROUTE migrated"
    count = f"{count_text(len(names), 'route')}, all on legacy"
    if given.app is None:
        then, count = (
            f"with a Flask app: overgrow init --add{option} --app MODULE:FACTORY",
            "everything on legacy",
        )
    return (
        f"Wrote {config}: {count} {given.written}.\n"
        f"{'Wrote' if schema.is_new else 'Its schema is'} {schema.path}: with it your editor completes "
        "and checks fields.\n"
        f"Next: {_how_to_run(call, given.app)}, then {then}\n"
        "With OVERGROW_EXPOSE=1 (set by overgrow dev) the header X-Overgrow of a response says who answered."
    )


def _how_to_run(call: Invocation, app: str | None) -> str:
    option = _config_option(call.config)
    if not is_door_running(call.state_wanted):
        return f"overgrow serve{option}"
    if app is not None:  # The workers of `serve --legacy` have no app; new ones import it.
        return f"overgrow reload{option}"
    return "overgrow status shows that the running front door has it"


def _url_scalar(url: str) -> str:
    """Return an address as a YAML scalar."""
    is_plain = not re.search(r"\s|:$", url)
    return url if is_plain else "'" + url.replace("'", "''") + "'"


def _config_option(config: Path) -> str:
    return "" if config == Path("routes.yaml") else f" --config {shlex.quote(str(config))}"


def _check_options(call: Invocation, legacy: str | None, app: str | None) -> InitOptions:
    written = legacy or _legacy_that_runs(call)
    if written is None:
        raise click.UsageError("Missing option '--legacy URL': where the legacy app listens.")
    try:
        url = parse_legacy_url(fill_variables(written, "--legacy", os.environ), "--legacy")
        named = parse_app_name(app, "--app") if app else None
    except FieldError as bad:
        raise click.UsageError(f"{bad}. {bad.fix}") from bad
    return InitOptions(written if "${" in written else url, url, named)


def _legacy_that_runs(call: Invocation) -> str | None:
    """Return the legacy URL of the last-good table, which a front door started with --legacy writes.

    Return None if there is none.
    """
    with file_deadline(call):
        kept = read_last_good(call.state_wanted)
    table = None if kept is None else parse_last_good(kept, call.config, os.environ)
    return None if table is None else table.legacy.url


# --- init --add -----------------------------------------------------------------------------------


def _add(call: Invocation, legacy: str | None, app: str | None) -> None:
    """Add a route for each rule without a route. If the table has no line `app:`, add that line too."""
    table = load_valid_table(call)
    _require_same(call, table, legacy, app)
    name = app or call.settings.app or table.app
    if name is None:
        fix = "Name it: overgrow init --add --app MODULE:FACTORY."
        raise Failed(
            "app-missing", f"{call.config} names no app, so there are no rules to add.", fix
        )
    rules = rules_in(_import_flask_app(call, name))
    line = app if table.app is None and call.settings.app is None else None
    try:
        with file_deadline(call, LIMIT_S + 2 * WAIT_S):
            added = _edit(call, line, rules)
    except EditRefused as refused:
        raise failure_of(refused) from refused
    _note_skipped(added.skipped)
    payload = {
        "file": str(call.config),
        "routes": list(added.names),
        "skipped": [each._asdict() for each in added.skipped],
    }
    call.print_result(payload, _added_text(call, name, added))


def _require_same(call: Invocation, table: RouteTable, legacy: str | None, app: str | None) -> None:
    """If --legacy or --app differs from the table, exit 2."""
    for option, given, stands in (
        ("--legacy", legacy and _check_options(call, legacy, None).url, table.legacy.url),
        ("--app", app and _check_options(call, table.legacy.url, app).app, table.app),
    ):
        if given and stands and given != stands:
            what = f"{option} is {given}, but {call.config} says {stands}"
            raise click.UsageError(f"{what}. Leave the option out, or change the table.")


def _edit(call: Invocation, app: str | None, rules: Sequence[FoundRule]) -> AddedRoutes:
    def read(text: str) -> ParsedTable:
        return parse(text.encode(), file=str(call.config), env=os.environ, rules=None)

    with locked_for_edit(call.config, call.state, os.environ) as turn:
        text = with_app(turn.text, app, NO_APP_YET) if app else turn.text
        loaded = read(text)
        if loaded.table is None:
            raise InvalidTable(call.config, loaded.problems)
        added = add_routes(text, loaded.table, rules, read)
        if added.text != turn.text:
            mark = BOM if turn.data.startswith(BOM) else b""
            replace_table(
                turn, mark + added.text.encode(), None, lines_to_change(turn.text, added.text)
            )
    return added


def _added_text(call: Invocation, app: str, added: AddedRoutes) -> str:
    if not added.names:
        return f"Nothing to add: {call.config} already has a route for each rule of {app} that a table can express."
    rest = len(added.names) - MOST_NAMES
    names = ", ".join(added.names[:MOST_NAMES]) + (f" and {rest:,} more" if rest > 0 else "")
    option = _config_option(call.config)
    then = f"Next: overgrow flip{option} ROUTE migrated"
    if is_door_running(call.state):  # with the app of before, or none
        then = f"Next: overgrow reload{option}, then overgrow flip{option} ROUTE migrated"
    return f"Added {count_text(len(added.names), 'route')} to {call.config}, on legacy: {names}.\n{then}"


# --- a first table --------------------------------------------------------------------------------


def _import_flask_app(call: Invocation, name: str) -> Any:
    team = import_app(replace(call.settings, app=name))
    if team.flask is None:
        fix = "Fix the import, or name another app with --app MODULE:FACTORY."
        raise Failed("app-import", f"{team.why}.", fix)
    return team.flask


def _schema_for(config: Path) -> str:
    """Return the path of the schema that the first line of a new table names.

    In a checkout of Overgrow it is the schema in the package, otherwise a copy beside the table.

    A copy works offline, in every editor and for every colleague. An existing copy is not replaced.
    """
    packaged = Path("proxy/overgrow") / SCHEMA
    if (config.parent / packaged).is_file():
        return packaged.as_posix()
    return SCHEMA


def _valid_table(
    call: Invocation, head: str, rules: Sequence[FoundRule]
) -> tuple[FirstTable, list[str]]:
    """Return (table, names): the first table without routes that clash with others, and the names of its routes."""
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
    """Write the table and the schema that its first line names. If one cannot be written, write neither."""
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
        fix = _WRITE_FIXES.get(error.errno or 0, "Fix the file system it is on")
        what = f"{what} Nothing was written."
        raise Failed("file-unwritable", what, f"{fix}, or name another with --config.") from error
    return Schema(schema, schema in made)
