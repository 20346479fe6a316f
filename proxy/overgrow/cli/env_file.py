"""`--env-file FILE`: variables for one command, as docker compose and Flask read them.

A variable that is already in the environment keeps its value. The file is read first, so that every other
option and setting sees the variables.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import click

_SET_BY = "overgrow.env_file"  # in click's context: which file set a variable


def env_file_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --env-file."""
    return click.option(
        "--env-file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_load,
        help="Read NAME=VALUE lines into the environment first.",
    )(command)


def env_file_of(name: str) -> Path | None:
    """Return the file of --env-file that set this environment variable; None if no such file set it."""
    context = click.get_current_context(silent=True)
    found: Path | None = None if context is None else context.meta.get(_SET_BY, {}).get(name)
    return found


def _load(ctx: click.Context, _param: click.Parameter, value: Path | None) -> None:
    if value is None:
        return
    from dotenv import dotenv_values  # noqa: PLC0415 - for this option alone

    try:
        text = value.read_text("utf-8-sig")
    except OSError as error:
        what = f"{value} cannot be read: {error.strerror or error}."
        raise click.BadParameter(f"{what} Name a file of NAME=VALUE lines.") from error
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{value} is not UTF-8 text. Save it as UTF-8.") from error
    _require_readable(value, text)
    found = dotenv_values(stream=StringIO(text))
    for name, content in found.items():
        if content is None:
            what = f"{value} has a line {name!r} without an equals sign."
            raise click.BadParameter(f"{what} Write NAME=VALUE, or remove it.")
        if name not in os.environ:
            os.environ[name] = content
            ctx.meta.setdefault(_SET_BY, {})[name] = value


def _require_readable(file: Path, text: str) -> None:
    """If a line of the file is not NAME=VALUE, exit 2 and name the line; the library would only log it."""
    from dotenv.parser import parse_stream  # noqa: PLC0415 - as above

    for each in parse_stream(StringIO(text)):
        string = each.original.string
        line = each.original.line + string[: len(string) - len(string.lstrip())].count("\n")
        if each.error:
            what = f"line {line} of {file} is not NAME=VALUE."
            raise click.BadParameter(f"{what} Fix it, close its quotes, or begin it with #.")
        if "\0" in string:
            what = f"line {line} of {file} has a NUL character, which no variable can hold."
            raise click.BadParameter(f"{what} Remove it.")
