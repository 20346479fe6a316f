"""`overgrow data status`: the owner and the stage of each table, and how far its move is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from overgrow.cli.columns import columns, screen_width
from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.data.declared import load_declaration
from overgrow.cli.data.dry_run import only_reads
from overgrow.cli.data.opened import opened_database
from overgrow.cli.failures import Failed
from overgrow.cli.output import echo_safe
from overgrow.data.backfill import is_held
from overgrow.data.declaration import DataDeclaration, TableDeclaration
from overgrow.data.ledger import MoveState, read_state
from overgrow.text import rfc3339

HEAD = ("TABLE", "OWNER", "FROM", "STAGE", "BACKFILL", "VERIFY", "ROUTES")


@click.command(short_help="Show owner, stage and progress of each table.")
@click.option("--no-database", is_flag=True, help="Do not connect; show only data.yaml.")
@only_reads
@shared_options
def status(call: Invocation, no_database: bool) -> None:  # noqa: FBT001  click's
    """Show who owns each table of data.yaml, where it comes from, its stage, and how far its move is."""
    declaration = load_declaration(call)
    states: Mapping[str, MoveState] = {}
    if declaration.moves and not no_database:
        states = _read_states(call, declaration)
    tables = declaration.tables.values()
    payload = [_as_json(table, states.get(table.name)) for table in tables]
    rows = [HEAD, *(_row(table, states.get(table.name)) for table in tables)]
    call.print_result(payload, columns(rows, width=screen_width()))


def _read_states(call: Invocation, declaration: DataDeclaration) -> dict[str, MoveState]:
    """Return the states of the tables that move; print a note and return none if the database is away."""
    try:
        with opened_database(call, declaration) as database, database.read() as connection:
            return {table.name: read_state(connection, table.name) for table in declaration.moves}
    except Failed as failure:
        echo_safe(f"note: {failure.message} Only data.yaml is shown.", err=True)
        return {}


def _as_json(table: TableDeclaration, state: MoveState | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "table": table.name,
        "owner": table.owner,
        "from": table.source,
        "stage": table.stage if table.source else None,
        "routes": list(table.routes),
        "database": None,
    }
    if state is not None:
        found["database"] = {
            "stage": state.stage,
            "backfill": state.fill_state,
            "running": is_held(state, time.time()),
            "rows": state.fill_rows,
            "total": state.fill_total,
            "holder": dict(state.holder) or None,
            "verified": rfc3339(state.verify_at) if state.verify_at else None,
            "different": state.verify_different,
        }
    return found


def _row(table: TableDeclaration, state: MoveState | None) -> tuple[str, ...]:
    stage = table.stage if table.source else "-"
    if state is not None and state.stage != table.stage:
        stage += f" (database: {state.stage})"
    return (
        table.name,
        table.owner,
        table.source or "-",
        stage,
        _fill_text(state),
        _verify_text(state),
        ", ".join(table.routes) or "-",
    )


def _fill_text(state: MoveState | None) -> str:
    if state is None or state.fill_state is None:
        return "-"
    word = state.fill_state
    if word in ("running", "paused") and not is_held(state, time.time()):
        word = "interrupted"
    return f"{word}, {state.fill_rows or 0:,} of {state.fill_total or 0:,}"


def _verify_text(state: MoveState | None) -> str:
    if state is None or state.verify_at is None:
        return "-"
    outcome = f"{state.verify_different:,} differ" if state.verify_different else "equal"
    return f"{outcome}, {rfc3339(state.verify_at)}"
