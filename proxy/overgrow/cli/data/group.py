"""The command group `overgrow data`; each command's module is imported when it runs, because SQLAlchemy is slow."""

from __future__ import annotations

import importlib
from typing import Any

import click

# command -> module and function; in the order in which a move needs them.
COMMANDS = {
    "check": "overgrow.cli.data.check:check",
    "stage": "overgrow.cli.data.stage:stage",
    "backfill": "overgrow.cli.data.backfill:backfill",
    "verify": "overgrow.cli.data.verify:verify",
    "contract": "overgrow.cli.data.contract:contract",
    "status": "overgrow.cli.data.status:status",
    "guard": "overgrow.cli.data.guard:guard",
}


class DataCommands(click.Group):
    """A group that imports only the module of the command that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names in the order in which a move needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  as above
        """Import one command and return it; None if there is no command of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: Any = getattr(importlib.import_module(module), name)
        return command  # type: ignore[no-any-return]


@click.group(cls=DataCommands, short_help="Move a table of the shared database in stages.")
def data() -> None:
    """Move tables of the database that both apps use, as data.yaml beside the table declares it.

    Each table is owned by legacy, shared or flask. A table of ours that comes from a legacy table moves in
    stages: none, dual_write, shadow, live, ramp_down, complete.
    """
