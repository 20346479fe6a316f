"""`overgrow data stage`: one step of a table's move, forward or back."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace

import click

from overgrow.cli.context import Invocation, load_valid_table, non_blank_reason, shared_options
from overgrow.cli.data.declared import data_file, load_declaration, read_data_file, require_move
from overgrow.cli.data.opened import opened_database, require_mapping
from overgrow.cli.failures import Failed
from overgrow.cli.file_deadline import file_deadline
from overgrow.data.database import Connection, Database, DatabaseLocked
from overgrow.data.declaration import DataDeclaration, TableDeclaration
from overgrow.data.editing import write_stage
from overgrow.data.ledger import read_state
from overgrow.data.route_rules import is_read, stage_problems
from overgrow.data.stages import LAST, STAGE_NAMES
from overgrow.data.staging import StagePlan, carry_out, plan_step
from overgrow.files import replace_file
from overgrow.routing.model import RouteTable
from overgrow.table.editing.history import lock_history
from overgrow.table.editing.stage_notes import StageChange, record_stage
from overgrow.table.file_lock import LockHeld
from overgrow.table.state_dir import login_name
from overgrow.yaml_file.problem import Problem

ATTEMPTS = 10  # while others hold locks on the tables
PAUSE_S = 0.5


@click.command(short_help="Move a table one stage forward or back.")
@click.argument("table")
@click.argument("stage", type=click.Choice(STAGE_NAMES))
@click.option(
    "--dry-run", is_flag=True, help="Print the SQL and what would undo it; change nothing."
)
@click.option(
    "--reason", metavar="TEXT", callback=non_blank_reason, help="Why; the history keeps it."
)
@shared_options
def stage(call: Invocation, table: str, stage: str, dry_run: bool, reason: str | None) -> None:  # noqa: FBT001  click's
    """Move TABLE one step: none, dual_write, shadow, live, ramp_down, complete, or one step back.

    The triggers in the database, the stage in data.yaml and an entry of the history change together. A step
    that would lose writes or show half-moved rows is refused, with what to do first.
    """
    declaration = load_declaration(call)
    move = require_move(declaration, table)
    with opened_database(call, declaration) as database:
        if _is_repair(database, move, stage):
            _write_file(call, move, stage)
            call.print_result(
                {"table": table, "from": move.stage, "to": stage}, _repair_text(call, move, stage)
            )
            return
        routes = _require_routes(call, declaration, move, stage)
        with database.read() as connection:
            plan = _plan(call, connection, move, stage)
        if not dry_run:
            plan = _make_step(call, database, move, plan, reason)
    _print_plan(call, plan, routes, is_dry=dry_run)


def _is_repair(database: Database, move: TableDeclaration, stage: str) -> bool:
    """Return whether the database has this stage already, and only the file says another."""
    with database.read() as connection:
        return read_state(connection, move.name).stage == stage != move.stage


def _repair_text(call: Invocation, move: TableDeclaration, stage: str) -> str:
    return f"{move.name} was at {stage} in the database already; {data_file(call)} says so now."


def _plan(call: Invocation, connection: Connection, move: TableDeclaration, to: str) -> StagePlan:
    state = read_state(connection, move.name)
    mapping = require_mapping(call, connection, move)
    return plan_step(connection, mapping, state, to, time.time())


def _require_routes(
    call: Invocation, declaration: DataDeclaration, move: TableDeclaration, to: str
) -> list[str]:
    """Return the lines that the route table lacks at this stage; exit 1 if a route is where the stage does not allow it."""
    if not move.routes:
        return []
    table = load_valid_table(call)
    moved = replace(move, stage=to)
    after = replace(declaration, tables={**declaration.tables, move.name: moved})
    problems = [
        one for one in stage_problems(after, table, str(call.config)) if one.route in move.routes
    ]
    if to == LAST:
        still = _routes_of_legacy(problems, table)
        if not still:
            return [f"{one.route}: reversible: false" for one in problems]
        problems = still
    if problems:
        what = f"{move.name} cannot go to {to} while its routes are where they are."
        fixes = " ".join(_flip_of(one, table, to) for one in problems)
        raise Failed("stage-refused", what, fixes, problems)
    return []


def _routes_of_legacy(problems: Sequence[Problem], table: RouteTable) -> list[Problem]:
    by_name = {route.name: route for route in table.routes}
    return [one for one in problems if one.route and by_name[one.route].target == "legacy"]


def _flip_of(problem: Problem, table: RouteTable, to: str) -> str:
    route = next(one for one in table.routes if one.name == problem.route)
    side = "migrated" if to == LAST else "legacy"
    kind = "" if is_read(route) else " (it writes)"
    return f"First: overgrow flip {problem.route} {side}{kind}."


def _make_step(
    call: Invocation,
    database: Database,
    move: TableDeclaration,
    plan: StagePlan,
    reason: str | None,
) -> StagePlan:
    """Carry out the step: the database first, then the history and the file, which a second run would repair."""
    try:
        with file_deadline(call) as deadline, lock_history(call.state) as journal:
            made = deadline.pausing(_carry_out)(call, database, move, plan)
            change = StageChange(login_name(), move.name, made.from_, made.to, reason)
            record_stage(call.state, journal, change)
            _write_file(call, move, made.to)
    except LockHeld as held:
        what = f"{held.filename} cannot be locked: {held.strerror}."
        raise Failed("locked", what, "Nothing was changed. Try again.") from held
    return made


def _carry_out(
    call: Invocation, database: Database, move: TableDeclaration, plan: StagePlan
) -> StagePlan:
    """Plan again and carry out in one transaction; try again while others hold locks on the tables."""
    for left in reversed(range(ATTEMPTS)):
        try:
            with database.write() as connection:
                fresh = _plan(call, connection, move, plan.to)
                carry_out(connection, fresh)
        except DatabaseLocked:
            if not left:
                raise
            time.sleep(PAUSE_S)
        else:
            return fresh
    return plan


def _write_file(call: Invocation, move: TableDeclaration, to: str) -> None:
    path = data_file(call)
    try:
        data = read_data_file(call)
        after = write_stage(data, move.name, to, file=str(path), env=os.environ)
        if after != data:
            replace_file(path.resolve(), after, mode=path.stat().st_mode & 0o777)
    except OSError as error:
        what = f"The database is at {to}, but {path} cannot be written: {error.strerror or error}."
        fix = f"Write stage: {to} at {move.name} there by hand, or run the command again."
        raise Failed("file-unwritable", what, fix) from error


def _print_plan(call: Invocation, plan: StagePlan, lines: Sequence[str], *, is_dry: bool) -> None:
    payload = {
        "table": plan.table,
        "from": plan.from_,
        "to": plan.to,
        "done": not is_dry,
        "statements": list(plan.statements),
        "undo": plan.undo,
        "notes": list(plan.notes),
        "add": list(lines),
    }
    text = [f"{one};" for one in plan.statements] if is_dry else []
    verb = "would go" if is_dry else "went"
    undo = f"To undo it: {plan.undo}" if plan.undo else "It cannot be undone"
    text.append(f"{plan.table} {verb} from {plan.from_} to {plan.to}. {undo}")
    text += plan.notes
    if lines:
        text.append(f"Add to {call.config}, so that no request can reach legacy any more:")
        text += [f"  {line}" for line in lines]
    call.print_result(payload, "\n".join(text))
