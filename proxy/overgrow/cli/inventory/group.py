"""The command group `overgrow inventory`; each command's module is imported when it runs, because SQLAlchemy is slow."""

from __future__ import annotations

import importlib
from typing import Any

import click

COMMANDS = {
    "scan": "overgrow.cli.inventory.scan:scan",
    "list": "overgrow.cli.inventory.listing:list_endpoints",
    "confirm": "overgrow.cli.inventory.decide:confirm",
    "ignore": "overgrow.cli.inventory.decide:ignore",
}


class InventoryCommands(click.Group):
    """A group that imports only the module of the command that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names in the order in which one uses them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  as above
        """Import one command and return it; None if there is no command of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: Any = getattr(importlib.import_module(module), name)
        return command  # type: ignore[no-any-return]


@click.group(cls=InventoryCommands, short_help="List legacy's endpoints from its access logs.")
def inventory() -> None:
    """Show which endpoints legacy has: from access logs, grouped into templates, reviewed by you."""
