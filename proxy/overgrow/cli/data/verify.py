"""`overgrow data verify`: whether both tables hold the same."""

from __future__ import annotations

from typing import Any

import click

from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.data.declared import load_declaration, require_move
from overgrow.cli.data.opened import opened_database, require_mapping
from overgrow.cli.failures import AlreadyPrinted, Failed
from overgrow.data.database import Database
from overgrow.data.declaration import TableDeclaration
from overgrow.data.ledger import read_state
from overgrow.data.stages import LAST
from overgrow.data.verify import ValueDifference, VerifyResult
from overgrow.data.verify import verify as compare
from overgrow.text import count_text, printable


@click.command(short_help="Compare both tables by checksums.")
@click.argument("table")
@click.option("--dry-run", is_flag=True, help="Say what would be compared; compare nothing.")
@shared_options
def verify(call: Invocation, table: str, dry_run: bool) -> None:  # noqa: FBT001  click's
    """Compare TABLE with its legacy table: checksums of key ranges, and rows where those differ.

    Both sides of a range are read at the same moment, so writes may go on. Equal numbers, times and JSON
    are equal however they are written; NULL and '' differ. Exit 1 if a row differs.
    """
    declaration = load_declaration(call)
    move = require_move(declaration, table)
    with opened_database(call, declaration) as database:
        if dry_run:
            call.print_result({"table": table}, f"{table} would be compared with {move.source}.")
        else:
            _print_result(call, move, _compare(call, database, move))


def _compare(call: Invocation, database: Database, move: TableDeclaration) -> VerifyResult:
    with database.read() as connection:
        state = read_state(connection, move.name)
        if state.stage == LAST:
            what = f"{move.name} is at {LAST}: {move.source} gets no writes, so the two part from now on."
            raise Failed("stage-refused", what, "The last verify before that counts.")
        mapping = require_mapping(call, connection, move)
    return compare(database, mapping)


def _print_result(call: Invocation, move: TableDeclaration, found: VerifyResult) -> None:
    counted = (
        f"{found.rows_old:,} rows of {move.source}, {found.rows_new:,} of {move.name}, "
        f"{count_text(found.ranges, 'range')}"
    )
    text = f"{move.name}: equal ({counted})."
    if not found.is_equal:
        text = "\n".join(map(_difference_text, found.differences))
    call.print_result(_payload(move, found), text)
    if found.is_equal:
        return
    what = f"{move.name}: {count_text(found.different, 'row')} not equal ({counted})."
    fix = f"At dual_write and shadow, overgrow data backfill {move.name} --restart copies all rows again."
    if any(one.what == f"missing in {move.source}" for one in found.differences):
        fix += f" Rows that only {move.name} has stay: delete those that legacy has deleted."
    raise AlreadyPrinted("data-differs", what, fix)


def _payload(move: TableDeclaration, found: VerifyResult) -> dict[str, Any]:
    return {
        "table": move.name,
        "equal": found.is_equal,
        "rows_old": found.rows_old,
        "rows_new": found.rows_new,
        "different": found.different,
        "ranges": found.ranges,
        "unequal_ranges": found.unequal_ranges,
        "differences": [one._asdict() for one in found.differences],
    }


def _difference_text(one: ValueDifference) -> str:
    where = f"key {' '.join(one.key)}"
    if one.column is None:
        return printable(f"{where}: {one.what}", keep="")
    values = f"{one.expected!r} expected, {one.found!r} found"
    return printable(f"{where}, {one.column}: {values}", keep="")
