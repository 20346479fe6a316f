"""What every command shares: the options --config, --state and --json, settings, and how it ends.

Exit 0 done, 1 a problem found or refused, 2 bad usage.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import click

from proxy.loading.parse import AppRule, Loaded, parse
from proxy.loading.problems import Problem
from proxy.loading.state import state_dir
from proxy.settings import SettingError, Settings, settings_from


class Problems(click.ClickException):
    """Problems of a table, printed one a line; exit 1."""

    exit_code = 1

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))

    def show(self, file: Any = None) -> None:  # noqa: ARG002  click's signature
        """Print the problems as they are: their own prefix says where they stand."""
        click.echo(self.message, err=True)


class Call(NamedTuple):
    """One invocation: its settings, where its state is, and whether to print JSON."""

    settings: Settings
    json: bool

    @property
    def config(self) -> Path:
        """The route table's path."""
        return self.settings.config

    @property
    def state(self) -> Path:
        """The state directory, found or made at first use."""
        return state_dir(self.settings.config, self.settings.state)

    def answer(self, data: Any, text: str) -> None:
        """Print the result: JSON with --json, else the text for people."""
        click.echo(json.dumps(data, indent=2) if self.json else text)


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --config, --state and --json, and hand it a Call first."""

    @click.option("--config", type=click.Path(path_type=Path), help="The table. [routes.yaml]")
    @click.option("--state", type=click.Path(path_type=Path), help="State folder. [.overgrow]")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @wraps(command)
    def wrapped(config: Path | None, state: Path | None, as_json: bool, **given: Any) -> Any:  # noqa: FBT001
        flags = {"config": config, "state": state, "admin": given.pop("admin", None)}
        return command(Call(settings_of(flags), as_json), **given)

    return wrapped


def settings_of(flags: dict[str, Any]) -> Settings:
    """The settings, with the table's folder first on sys.path; exit 2 for one that is wrong."""
    try:
        settings = settings_from(os.environ, flags)
    except SettingError as error:
        raise click.UsageError(str(error)) from error
    folder = str(settings.config.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return settings


def fail(message: str) -> NoReturn:
    """End with exit 1 and a message that says what, where, why and the fix."""
    raise click.ClickException(message)


def read_table(call: Call) -> bytes:
    """The bytes of the table; exit 1 with the fix if there are none."""
    try:
        return call.config.read_bytes()
    except OSError as error:
        fail(
            f"{call.config} cannot be read: {error.strerror or error}. "
            "Create it with overgrow init, or name another with --config."
        )


def loaded_table(call: Call, rules: Sequence[AppRule] | None) -> Loaded:
    """Parse the table as the front door does."""
    return parse(read_table(call), file=str(call.config), env=os.environ, rules=rules)


def columns(rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    """Rows as aligned text; `right` numbers the columns that are set flush right."""
    table = [list(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    )
    return "\n".join(lines)
