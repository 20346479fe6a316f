"""What every command shares: the options --config, --state and --json, the settings, the exit codes.

Exit 0: done; 1: a problem was found, or the command refused; 2: bad usage. Nothing here imports the app.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial, wraps
from pathlib import Path
from typing import Any, NamedTuple

import click

from overgrow.cli.env_file import env_file_option
from overgrow.cli.failures import (
    Failed,
    InvalidTable,
    failure_of_review,
    print_as_json,
    unknown_route,
)
from overgrow.cli.file_deadline import AnyPath, file_deadline
from overgrow.cli.output import echo_safe
from overgrow.files import ANSWER_S, within
from overgrow.routing.model import RouteTable
from overgrow.settings import SettingError, Settings, settings_from
from overgrow.shadow.review.refusal import ReviewRefused
from overgrow.table.judging import unreadable_problem
from overgrow.table.reading.parse import AppRule, Draft, ParsedTable, parse, parse_drafts
from overgrow.table.reading.table_file import decode_text, read_table_file
from overgrow.table.running import find_table
from overgrow.table.state_dir import ensure_state_dir
from overgrow.yaml_file.tree import YamlSyntaxError

CONFIG_HELP = "The route table. [default: routes.yaml]"
STATE_HELP = "State folder. [default: .overgrow beside the table]"


class Invocation(NamedTuple):
    """One invocation: its settings, where its state is, and whether to print JSON."""

    settings: Settings
    json: bool

    @property
    def config(self) -> Path:
        """The route table's path."""
        return self.settings.config

    @property
    def state(self) -> Path:
        """The state folder; created if it does not exist."""
        asked = self.settings.state
        with file_deadline(self):
            return _state_dir(self.config.absolute(), asked.absolute() if asked else None)

    @property
    def state_wanted(self) -> Path:
        """The path of the state folder: the value of --state, or else the folder beside the table.

        The folder may not exist.
        """
        return (self.settings.state or self.config.parent / ".overgrow").absolute()

    @property
    def state_or_wanted(self) -> Path:
        """The state folder for the kill switch, created if need be.

        If the file system does not respond in time, the folder is neither checked nor created.
        """
        asked = self.settings.state
        find = partial(_state_dir, self.config.absolute(), asked.absolute() if asked else None)
        try:
            return within(ANSWER_S, self.state_wanted, find)
        except OSError:
            return self.state_wanted

    @property
    def state_to_read(self) -> Path:
        """The state folder for a command that only reads. Such a command does not create the folder."""
        wanted = self.state_wanted
        with file_deadline(self):
            if not wanted.exists() and os.access(wanted.parent, os.W_OK):
                return wanted
        return self.state

    def print_result(self, data: Any, text: str) -> None:
        """Print the result: JSON with --json, else the text for people."""
        echo_safe(json.dumps(data, indent=2) if self.json else text)


class OrderedGroup(click.Group):
    """A command group that lists its commands in the order of their definition."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names in the order of their definition."""
        return list(self.commands)


def non_blank_reason(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Return the text of --reason; None if it was left out."""
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty. Say why in a sentence.")
    return value.strip() if value else None


@cache
def _state_dir(config: Path, asked: Path | None) -> Path:
    """Return the state folder. The result is cached, so that a problem with the folder is logged only once."""
    return ensure_state_dir(config, asked)


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --config, --state and --json, and pass it an Invocation first."""

    @env_file_option
    @click.option("--config", type=AnyPath(), metavar="FILE", help=CONFIG_HELP)
    @click.option("--state", type=AnyPath(), metavar="DIR", help=STATE_HELP)
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, errors too.")
    @wraps(command)
    def wrapper(config: Path | None, state: Path | None, as_json: bool, **given: Any) -> Any:  # noqa: FBT001
        flags = {
            "config": config or _find_running_table(state),
            "state": state,
            "admin": given.pop("admin", None),
        }
        try:
            with _fail_on_errors():
                return command(Invocation(settings_of(flags), as_json), **given)
        except Failed as failure:
            if as_json:
                print_as_json(failure)
            raise

    return wrapper


def _find_running_table(asked_state: Path | None) -> Path | None:
    """Return the table of the front door that runs on the state folder; print a note that names the table.

    Return None if the user named a table, if no front door runs, or if it runs `routes.yaml` of the current
    folder.
    """
    if os.environ.get("OVERGROW_CONFIG"):
        return None
    state = asked_state or Path(os.environ.get("OVERGROW_STATE") or ".overgrow")
    table = find_table(state)
    if table is None or table == Path("routes.yaml").absolute():
        return None
    named = table.relative_to(Path.cwd()) if table.is_relative_to(Path.cwd()) else table
    echo_safe(f"note: the front door that runs on {state} serves {named}", err=True)
    return named


@contextmanager
def _fail_on_errors() -> Iterator[None]:
    """Turn ReviewRefused and unexpected OSErrors into failures with a reason, so that no traceback is printed."""
    try:
        yield
    except ReviewRefused as refused:
        raise failure_of_review(refused) from refused
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of the output has gone; click ends quietly
            raise
        where = f"{error.filename}: " if error.filename else ""
        fix = "Check its permissions, that it is the right kind of file, and that its disk is not full."
        raise Failed("file-unusable", f"{where}{error.strerror or error}.", fix) from error


def settings_of(flags: dict[str, Any]) -> Settings:
    """Return the settings and put the table's folder first on sys.path. If a setting is invalid, exit 2."""
    try:
        settings = settings_from(os.environ, flags)
    except SettingError as error:
        raise click.UsageError(str(error)) from error
    folder = str(settings.config.parent.resolve())
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    return settings


def read_table(call: Invocation) -> bytes:
    """Return the bytes of the table. If it cannot be read, exit 1 with the fix."""
    try:
        with file_deadline(call):
            return read_table_file(call.config)
    except OSError as error:
        what = f"{call.config} cannot be read: {error.strerror or error}."
        raise Failed("file-missing", what, unreadable_problem(call.config, error).fix) from error


def load_table(call: Invocation, rules: Sequence[AppRule] | None) -> ParsedTable:
    """Parse the table as the front door does."""
    return parse(read_table(call), file=str(call.config), env=os.environ, rules=rules)


def load_valid_table(call: Invocation) -> RouteTable:
    """Return the table without importing the app. If the table is invalid, exit 1 with every problem."""
    loaded = load_table(call, None)
    if loaded.table is None:
        raise InvalidTable(call.config, loaded.problems)
    return loaded.table


def drafts(call: Invocation) -> list[Draft]:
    """Return the entries under `routes`, valid or not. If the file is not YAML, exit 1 with the problem."""
    try:
        return parse_drafts(decode_text(read_table(call)), os.environ)
    except YamlSyntaxError:
        raise InvalidTable(call.config, load_table(call, None).problems) from None


def require_route(call: Invocation, name: str) -> None:
    """If the table, valid or not, has no route with this name, exit 1 with the nearest names."""
    names = [draft.name for draft in drafts(call) if draft.name]
    if name not in names:
        raise unknown_route(call.config, name, names)
