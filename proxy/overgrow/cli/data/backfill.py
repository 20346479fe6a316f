"""`overgrow data backfill`: copies the rows that existed before the triggers; pauses, resumes and stops a running copy."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.data.declared import load_declaration, require_move
from overgrow.cli.data.opened import opened_database, require_mapping
from overgrow.cli.data.progress import ProgressLine
from overgrow.cli.failures import Failed
from overgrow.data.backfill import Backfill, FillPace, FillSurroundings, is_held
from overgrow.data.database import Database, DatabaseAway
from overgrow.data.declaration import TableDeclaration
from overgrow.data.ledger import MoveState, read_state, write_state
from overgrow.data.throttle import ThrottleGate, Throttles
from overgrow.durations import parse_duration_s

WANTED = {"pause": "pause", "resume": "run", "stop": "stop"}


class DurationOption(click.ParamType[float]):
    """A duration such as 50ms or 5m, in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds."""
        if isinstance(value, float):
            return value
        found = parse_duration_s(str(value), "ms", "s", "m", "h", "d")
        if found is None:
            self.fail(f"{value!r} is not a duration. Write 50ms, 2s or 5m.", param, ctx)
        return found


@click.command(short_help="Copy the rows that existed before the triggers.")
@click.argument("table")
@click.option("--pause", "asked", flag_value="pause", help="Have the running copy wait.")
@click.option("--resume", "asked", flag_value="resume", help="Have it go on.")
@click.option("--stop", "asked", flag_value="stop", help="Have it end after its batch.")
@click.option("--restart", is_flag=True, help="Begin with the first row again.")
@click.option("--dry-run", is_flag=True, help="Say what would be copied; copy nothing.")
@click.option(
    "--batch",
    type=click.IntRange(1, 100_000),
    default=10_000,
    metavar="N",
    help="Rows in a batch at most. [default: 10000]",
)
@click.option(
    "--delay",
    type=DurationOption(),
    default=0.0,
    metavar="TIME",
    help="Wait after each batch, such as 50ms.",
)
@click.option(
    "--max-load", type=float, metavar="N", help="Wait while the load of this machine is higher."
)
@click.option(
    "--throttle-query",
    metavar="SQL",
    help="Wait while the query gives a value other than 0 and NULL.",
)
@click.option(
    "--throttle-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Wait while the file exists.",
)
@click.option(
    "--throttle-http", metavar="URL", help="Wait while a HEAD request is not answered 200."
)
@click.option(
    "--patience",
    type=DurationOption(),
    default=300.0,
    metavar="TIME",
    help="How long to wait for a database that went away. [default: 5m]",
)
@shared_options
def backfill(
    call: Invocation,
    table: str,
    asked: str | None,
    restart: bool,  # noqa: FBT001  click's
    dry_run: bool,  # noqa: FBT001  as above
    **pace: Any,
) -> None:
    """Copy the rows of TABLE's legacy table in batches, while both apps write.

    Each batch is a short transaction that holds its checkpoint too. After a crash, the same command goes on with the
    next row. A batch takes about 40 ms; it gives way whenever a writer holds a lock.
    """
    declaration = load_declaration(call)
    move = require_move(declaration, table)
    with opened_database(call, declaration) as database:
        if asked is not None:
            _ask_running(call, database, move, asked)
        elif dry_run:
            _print_dry(call, database, move)
        else:
            _copy(call, database, move, _pace(**pace), restart=restart)


def _pace(
    batch: int,
    delay: float,
    patience: float,
    **throttles: Any,
) -> FillPace:
    names = {
        "max_load": "max_load",
        "throttle_query": "query",
        "throttle_file": "file",
        "throttle_http": "http",
    }
    gate = ThrottleGate(
        Throttles(**{names[name]: value for name, value in throttles.items()}).checks()
    )
    return FillPace(batch, delay, gate, patience)


def _copy(
    call: Invocation, database: Database, move: TableDeclaration, pace: FillPace, *, restart: bool
) -> None:
    with database.read() as connection:
        mapping = require_mapping(call, connection, move)
    line = ProgressLine(move.name)
    with _asked_to_end() as ended:
        around = FillSurroundings(line.show, lambda: bool(ended))
        try:
            state = Backfill(database, mapping, pace, around).run(restart=restart)
        except DatabaseAway as away:
            line.end()
            raise Failed(
                away.code, f"{away.what}.", f"What is copied stays. {_resume_line(move)}"
            ) from away
    line.end()
    _print_end(call, move, state)


@contextmanager
def _asked_to_end() -> Iterator[list[int]]:
    """Yield a list that gets the number of an INT or TERM; the second one ends the process as usual."""
    ended: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, _frame: object) -> None:
        ended.append(number)
        signal.signal(number, before[number])

    for one in (signal.SIGINT, signal.SIGTERM):
        before[one] = signal.signal(one, note)
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _resume_line(move: TableDeclaration) -> str:
    return f"To go on: overgrow data backfill {move.name}"


def _payload(state: MoveState) -> dict[str, Any]:
    return {
        "table": state.table_name,
        "state": state.fill_state,
        "rows": state.fill_rows or 0,
        "total": state.fill_total or 0,
        "wanted": state.fill_wanted,
    }


def _print_end(call: Invocation, move: TableDeclaration, state: MoveState) -> None:
    rows = f"{state.fill_rows or 0:,} of {state.fill_total or 0:,} rows"
    if state.fill_state == "done":
        text = f"{move.name}: copied {rows}. Next: overgrow data verify {move.name}"
        call.print_result(_payload(state), text)
        return
    raise Failed("backfill-stopped", f"{move.name}: stopped after {rows}.", _resume_line(move))


def _print_dry(call: Invocation, database: Database, move: TableDeclaration) -> None:
    with database.read() as connection:
        require_mapping(call, connection, move)
        state = read_state(connection, move.name)
    copied = (
        f"{state.fill_rows or 0:,} rows are copied" if state.fill_mapping else "nothing is copied"
    )
    text = f"{move.name} is at {state.stage}; {copied}. Without --dry-run the rows of {move.source} are copied."
    call.print_result(_payload(state), text)


def _ask_running(call: Invocation, database: Database, move: TableDeclaration, asked: str) -> None:
    """Write down what is wanted of the running copy; exit 1 if none runs."""
    with database.write() as connection:
        state = read_state(connection, move.name)
        if not is_held(state, time.time()):
            raise Failed(
                "backfill-missing", f"No backfill of {move.name} runs.", _resume_line(move)
            )
        write_state(connection, move.name, fill_wanted=WANTED[asked])
        state = read_state(connection, move.name)
    holder = state.holder
    text = f"{move.name}: asked pid {holder.get('pid')} on {holder.get('host')} to {asked}."
    call.print_result(_payload(state), text)
