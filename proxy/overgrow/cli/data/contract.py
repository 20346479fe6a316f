"""`overgrow data contract`: drops the legacy table of a move that is complete."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import click

from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.data.backfill import DurationOption
from overgrow.cli.data.declared import data_file, load_declaration, require_move
from overgrow.cli.data.opened import opened_database, require_mapping
from overgrow.cli.failures import AlreadyPrinted, Failed
from overgrow.cli.output import echo_safe
from overgrow.data.contract import ContractPlan, plan_contract
from overgrow.data.database import Connection, execute
from overgrow.data.declaration import TableDeclaration
from overgrow.data.ledger import read_state, write_state
from overgrow.data.stages import LAST
from overgrow.files import ANSWER_S, within
from overgrow.observe.recent_counts import last_requests
from overgrow.table.editing.history import lock_history
from overgrow.table.editing.stage_notes import StageChange, record_stage
from overgrow.table.state_dir import login_name
from overgrow.text import ago, duration_text

UNUSED_S = 7 * 86_400.0


@click.command(short_help="Drop the legacy table of a complete move.")
@click.argument("table")
@click.option("--yes", is_flag=True, help="Drop it; without this the SQL is only printed.")
@click.option("--dry-run", is_flag=True, help="Print the SQL; drop nothing.")
@click.option(
    "--unused-for",
    type=DurationOption(),
    default=UNUSED_S,
    metavar="TIME",
    help="For how long no request may have reached legacy's routes. [default: 7d]",
)
@shared_options
def contract(call: Invocation, table: str, yes: bool, dry_run: bool, unused_for: float) -> None:  # noqa: FBT001  click's
    """Drop the legacy table of TABLE, and the triggers on it, at stage complete.

    The SQL of the way back is printed first. It is refused unless both tables were equal before complete, the legacy
    table got no writes since, and no request of the table's routes reached legacy for --unused-for.
    """
    declaration = load_declaration(call)
    move = require_move(declaration, table)
    with opened_database(call, declaration) as database:
        _require_unused(call, move, unused_for)
        with database.read() as connection:
            plan = _plan(call, connection, move, unused_for)
        if not call.json or not yes or dry_run:
            _print_plan(call, plan, is_done=False)
        if dry_run:
            return
        if not yes:
            what = f"{plan.source} was not dropped."
            raise AlreadyPrinted(
                "contract-unconfirmed", what, f"To drop it: overgrow data contract {table} --yes"
            )
        with lock_history(call.state) as journal, database.write() as connection:
            again = _plan(call, connection, move, unused_for)
            for statement in again.statements:
                execute(connection, statement).close()
            write_state(connection, table, mapping=None)
            change = StageChange(login_name(), table, LAST, "contracted", None)
            record_stage(call.state, journal, change)
    if call.json:
        _print_plan(call, plan, is_done=True)
    else:
        echo_safe(
            f"Dropped {plan.source}. Remove from, key, columns, back and stage of {table} in {data_file(call)}."
        )


def _plan(
    call: Invocation, connection: Connection, move: TableDeclaration, unused_s: float
) -> ContractPlan:
    state = read_state(connection, move.name)
    mapping = require_mapping(call, connection, move)
    return plan_contract(connection, mapping, state, unused_s, time.time())


def _require_unused(call: Invocation, move: TableDeclaration, unused_s: float) -> None:
    """Exit 1 if a request of the table's routes reached legacy in that time, or if nobody counted."""
    folder = call.state / "metrics"
    if not move.routes or not unused_s:
        return
    if not folder.is_dir():
        what = f"No front door has counted requests in {call.state}, so nobody knows whether legacy still gets some."
        fix = "Name its state folder with --state, or ask for no time: --unused-for 0s."
        raise Failed("stage-refused", what, fix)
    latest = within(ANSWER_S, folder, partial(last_requests, folder))
    _refuse_recent(move.routes, latest, unused_s)


def _refuse_recent(
    routes: Sequence[str], latest: dict[tuple[str, str], int], unused_s: float
) -> None:
    for route in routes:
        age_s = time.time() - latest.get((route, "legacy"), 0)
        if age_s < unused_s:
            what = f"legacy answered a request of {route} {ago(age_s)}, not yet {duration_text(unused_s)} ago."
            raise Failed("stage-refused", what, "Wait, or state a shorter time by --unused-for.")


def _print_plan(call: Invocation, plan: ContractPlan, *, is_done: bool) -> None:
    payload = {
        "table": plan.table,
        "drops": plan.source,
        "done": is_done,
        "way_back": list(plan.way_back),
        "statements": list(plan.statements),
    }
    lines = ["-- The way back:", *(f"{one};" for one in plan.way_back)]
    lines += ["-- What is dropped:", *(f"{one};" for one in plan.statements)]
    call.print_result(payload, "\n".join(lines))
