"""Whether a command line, as documents and containers write it, would be understood.

`overgrow ...` is parsed by its own click tree, `python -m ...` by asking the module for --help.
Nothing is run: a command line that parses may still find a file missing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]


def objection_to(command: Sequence[str]) -> str | None:
    """Why the command line would be refused; None if it is understood."""
    program, *arguments = command
    if Path(program).name == "overgrow":
        return _objection_of_overgrow(arguments)
    if Path(program).name in {"python", "python3"} and arguments[:1] == ["-m"]:
        return _objection_of_module(arguments[1], arguments[2:])
    return f"{program} is not a program of this project"


def _objection_of_overgrow(arguments: list[str]) -> str | None:
    command, name, context = import_module("overgrow.cli.main").main, "overgrow", None
    arguments = list(_without_env_files(arguments))
    try:
        while True:
            context = command.make_context(name, arguments, parent=context)
            if not isinstance(command, click.Group) or not context._protected_args:
                return None
            rest = [*context._protected_args, *context.args]
            name, found, arguments = command.resolve_command(context, rest)
            if found is None or name is None:
                return f"overgrow has no command {rest[0]}"
            command = found
    except click.exceptions.Exit:
        return None  # --help and --version end by themselves
    except click.UsageError as refused:
        return refused.format_message()


def _without_env_files(arguments: Sequence[str]) -> Iterator[str]:
    """Give the arguments with an empty file for each `--env-file`, which is read while parsing."""
    before = ""
    for each in arguments:
        yield os.devnull if before == "--env-file" else each
        before = each


def _objection_of_module(module: str, options: list[str]) -> str | None:
    flags = [option for option in options if option.startswith("--")]
    shown = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if shown.returncode:
        return f"python -m {module} --help fails: {shown.stderr.strip()}"
    unknown = [flag for flag in flags if flag not in shown.stdout]
    return f"python -m {module} does not know {', '.join(unknown)}" if unknown else None
