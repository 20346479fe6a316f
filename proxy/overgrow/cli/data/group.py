"""The command group `overgrow data`; each command's module is imported when it runs, because SQLAlchemy is slow."""

from __future__ import annotations

import click

from overgrow.cli.lazy_group import LazyGroup

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


@click.group(
    cls=LazyGroup, places=COMMANDS, short_help="Move a table of the shared database in stages."
)
def data() -> None:
    """Move tables of the database that both apps use, as data.yaml beside the table declares it.

    Each table is owned by legacy, shared or flask. A table of ours that comes from a legacy table moves in
    stages: none, dual_write, shadow, live, ramp_down, complete.
    """
