"""The command group `overgrow inventory`; each command's module is imported when it runs, because SQLAlchemy is slow."""

from __future__ import annotations

import click

from overgrow.cli.lazy_group import LazyGroup

COMMANDS = {
    "scan": "overgrow.cli.inventory.scan:scan",
    "list": "overgrow.cli.inventory.listing:list_endpoints",
    "confirm": "overgrow.cli.inventory.decide:confirm",
    "ignore": "overgrow.cli.inventory.decide:ignore",
}


@click.group(
    cls=LazyGroup, places=COMMANDS, short_help="List legacy's endpoints from its access logs."
)
def inventory() -> None:
    """Show which endpoints legacy has: from access logs, grouped into templates, reviewed by you."""
