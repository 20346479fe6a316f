"""`overgrow data status`: the owner and the stage of each table."""

from __future__ import annotations

import click

from overgrow.cli.columns import columns, screen_width
from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.data.declared import load_declaration
from overgrow.data.declaration import TableDeclaration


@click.command(short_help="Show the owner and the stage of each table.")
@shared_options
def status(call: Invocation) -> None:
    """Show who owns each table of data.yaml, where it comes from, and its stage."""
    tables = load_declaration(call).tables.values()
    payload = [
        {
            "table": table.name,
            "owner": table.owner,
            "from": table.source,
            "stage": table.stage if table.source else None,
            "routes": list(table.routes),
        }
        for table in tables
    ]
    rows = [("TABLE", "OWNER", "FROM", "STAGE", "ROUTES"), *map(_row, tables)]
    call.print_result(payload, columns(rows, width=screen_width()))


def _row(table: TableDeclaration) -> tuple[str, ...]:
    stage = table.stage if table.source else "-"
    return (table.name, table.owner, table.source or "-", stage, ", ".join(table.routes) or "-")
