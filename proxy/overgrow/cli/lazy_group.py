"""A group of commands that imports only the module of the command that runs, so that each command starts fast."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose `places` map the name of a command to `module:function`, in the order of --help.

    For instance, `flip` does not import gunicorn.
    """

    def __init__(self, *args: Any, places: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the commands' names in the order of --help."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command. If there is none of this name, end with bad usage, which names a similar command."""
        if cmd_name not in self._places:
            near = difflib.get_close_matches(cmd_name, self._places, 1, cutoff=0.5)
            hint = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"There is no command {cmd_name!r}.{hint}")
        module, _, name = self._places[cmd_name].partition(":")
        command: Any = getattr(importlib.import_module(module), name)
        return command  # type: ignore[no-any-return]
