"""`overgrow data check`: every problem of data.yaml, in file order: the text, the database, and the routes."""

from __future__ import annotations

from collections.abc import Sequence

import click

from overgrow.cli.context import Invocation, load_table, shared_options
from overgrow.cli.data.declared import data_file, parse_data_file
from overgrow.cli.data.dry_run import only_reads
from overgrow.cli.data.guarded import GuardReport, guard_report
from overgrow.cli.data.opened import opened_database
from overgrow.cli.failures import AlreadyPrinted, InvalidTable
from overgrow.cli.output import echo_safe
from overgrow.data.checking import as_problems, check_table
from overgrow.data.database import Connection
from overgrow.data.declaration import DataDeclaration, sorted_problems
from overgrow.data.ledger import MoveState, read_state
from overgrow.data.mapping import ResolvedMapping
from overgrow.data.route_rules import stage_problems
from overgrow.data.stages import stage_named
from overgrow.data.staging import without_triggers
from overgrow.data.sync import missing_triggers
from overgrow.text import count_text
from overgrow.yaml_file.problem import Problem


@click.command(short_help="Check data.yaml against its database and the routes.")
@click.option("--no-database", is_flag=True, help="Do not connect; skip what needs the database.")
@only_reads
@shared_options
def check(call: Invocation, no_database: bool) -> None:  # noqa: FBT001  click's
    """Report every problem of data.yaml, in file order. Exit 1 if there is one.

    Each table that moves is compared with the database: its columns, types and keys, whether values come back the
    same, and whether its triggers are those of the file. Its routes must be where its stage allows.
    """
    parsed = parse_data_file(call)
    problems = list(parsed.problems)
    if parsed.declaration is not None:
        if parsed.declaration.moves and not no_database:
            problems += _problems_of_database(call, parsed.declaration)
        problems += problems_of_routes(call, parsed.declaration)
    if no_database and not call.json:
        echo_safe("note: the database was not asked (--no-database)", err=True)
    guard = _guard_of(call, parsed.declaration, asks_role=not no_database)
    _report(call, parsed.declaration, problems, guard)


def _guard_of(
    call: Invocation, declaration: DataDeclaration | None, *, asks_role: bool
) -> GuardReport:
    if declaration is None:
        return GuardReport({}, [])
    return guard_report(call.config.parent.absolute(), declaration, asks_role=asks_role)


def problems_of_routes(call: Invocation, declaration: DataDeclaration) -> list[Problem]:
    """Return problems for the routes that their tables' stages do not allow.

    An empty list if the route table is invalid.
    """
    if not any(table.routes for table in declaration.moves):
        return []
    table = load_table(call, None).table
    return stage_problems(declaration, table, str(call.config)) if table else []


def _problems_of_database(call: Invocation, declaration: DataDeclaration) -> list[Problem]:
    found: list[Problem] = []
    with opened_database(call, declaration) as database, database.read() as connection:
        for table in declaration.moves:
            state = read_state(connection, table.name)
            checked = check_table(connection, table)
            if state.stage == table.stage == "complete" and checked.mapping is None:
                continue  # contracted: the legacy table may be gone
            found += as_problems(declaration.file, table, checked.problems)
            place = table.place_of("stage")
            why = _difference(table.stage, state, checked)
            if why := why or _missing_triggers(connection, state, checked):
                found.append(Problem(why[0], declaration.file, *place, None, why[1], why[2]))
    return list(sorted_problems(found))


def _difference(
    written: str, state: MoveState, checked: ResolvedMapping
) -> tuple[str, str, str] | None:
    """If the database is at another stage than the file says, return (code, what, fix)."""
    name = state.table_name
    if written != state.stage:
        what = f"table {name} is at stage {written} here, and at {state.stage} in the database"
        return "stage-differs", what, f"Run overgrow data stage {name} {state.stage}."
    is_synced = stage_named(state.stage).is_synced
    if is_synced and checked.mapping and checked.mapping.fingerprint != state.mapping:
        what = f"the mapping of {name} was edited at stage {state.stage}; its triggers carry out the former one"
        fix = f"Undo the edit, or go back first: overgrow data stage {name} none."
        return "mapping-changed", what, fix
    return None


def _missing_triggers(
    connection: Connection, state: MoveState, checked: ResolvedMapping
) -> tuple[str, str, str] | None:
    """If a trigger that the stage needs is gone, return (code, what, fix)."""
    if checked.mapping is None:
        return None
    missing = missing_triggers(connection, checked.mapping, state.stage)
    return ("triggers-absent", *without_triggers(state, missing)) if missing else None


def _report(
    call: Invocation,
    declaration: DataDeclaration | None,
    problems: Sequence[Problem],
    guard: GuardReport,
) -> None:
    file = data_file(call)
    if call.json:
        found = [problem.as_json() for problem in problems]
        call.print_result({"ok": not found, "problems": found, **guard.data}, "")
    if problems or declaration is None:
        failure = InvalidTable(file, problems)
        if call.json:
            raise AlreadyPrinted(failure.code, failure.message, failure.fix, failure.problems)
        raise failure
    if not call.json:
        ok = f"{file}: ok, {count_text(len(declaration.tables), 'table')}"
        echo_safe("\n".join([ok, *guard.lines]))
