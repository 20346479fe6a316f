"""One step from a stage to the next or the one before: what must be true first, the statements, and what undoes it.

`plan_step` only reads. `carry_out` runs the statements and writes the ledger in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from overgrow.data.crossing import to_new
from overgrow.data.database import DataError, execute
from overgrow.data.ids import own_ids, share_ids
from overgrow.data.ledger import NO_FILL, MoveState, create_ledger, write_state
from overgrow.data.mapping import TableMapping
from overgrow.data.sql import key_of_row, quote_list
from overgrow.data.stages import FIRST, LAST, STAGE_NAMES, steps_between
from overgrow.data.sync import create_blocks, create_sync, drop_sync, missing_triggers
from overgrow.text import ago, count_text

FRESH_S = 24 * 3600.0  # how old a verify may be when a stage relies on it


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A step that may be made: its statements, the changes of the ledger, and the command that undoes it; None if nothing does."""

    table: str
    from_: str
    to: str
    statements: tuple[str, ...]
    ledger: Mapping[str, Any]
    undo: str | None
    notes: tuple[str, ...] = field(default=())


def plan_step(
    connection: Connection, mapping: TableMapping, state: MoveState, to: str, now_s: float
) -> StagePlan:
    """Return the plan of a step.

    Raises:
        DataError: if the step skips a stage, or if what it relies on is not true.

    """
    table = mapping.new.name
    _refuse_skipped(table, state.stage, to)
    steps = _FORWARD if steps_between(state.stage, to) > 0 else _BACK
    if to not in (FIRST, LAST) and state.stage != FIRST:
        _refuse_other_mapping(mapping, state)
    if steps is _FORWARD:
        _require_triggers(connection, mapping, state)
    made = steps[to](connection, mapping, state, now_s)
    undo = None if to == LAST else f"overgrow data stage {table} {state.stage}"
    ledger = {"stage": to, "stage_at": now_s, **made.ledger}
    return StagePlan(table, state.stage, to, made.statements, ledger, undo, made.notes)


def carry_out(connection: Connection, plan: StagePlan) -> None:
    """Run the statements of a plan and write the ledger; the caller commits."""
    create_ledger(connection)
    for statement in plan.statements:
        execute(connection, statement).close()
    write_state(connection, plan.table, **plan.ledger)


@dataclass(frozen=True, slots=True)
class _StepParts:
    """What one step needs besides the line of the ledger that every step writes."""

    statements: tuple[str, ...] = ()
    ledger: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _refuse_skipped(table: str, current: str, to: str) -> None:
    if current == LAST:
        what = f"{table} is at {LAST}: its legacy table has missed the writes since then"
        fix = f"Nothing leads back from {LAST}. overgrow data contract {table} ends the move."
        raise DataError("stage-refused", what, fix)
    steps = steps_between(current, to)
    if abs(steps) == 1:
        return
    if steps == 0:
        raise DataError("stage-refused", f"{table} is at {to} already", "Nothing was changed.")
    step = 1 if steps > 0 else -1
    first = STAGE_NAMES[STAGE_NAMES.index(current) + step]
    what = f"{table} is at {current}, and {to} is {abs(steps)} steps away; stages change one by one"
    raise DataError("stage-refused", what, f"First: overgrow data stage {table} {first}.")


def _refuse_other_mapping(mapping: TableMapping, state: MoveState) -> None:
    if mapping.fingerprint != state.mapping:
        table = state.table_name
        what = f"the mapping of {table} was edited at {state.stage}; its triggers carry out the former one"
        fix = f"Undo the edit, or go back to {FIRST}, one stage at a time."
        raise DataError("mapping-changed", what, fix)


def _require_triggers(connection: Connection, mapping: TableMapping, state: MoveState) -> None:
    """Refuse a step forward if a trigger is gone: writes since then have not crossed."""
    if missing := missing_triggers(connection, mapping, state.stage):
        what, fix = without_triggers(state, missing)
        raise DataError("triggers-absent", what, fix)


def without_triggers(state: MoveState, missing: Sequence[str]) -> tuple[str, str]:
    """Return what it means that triggers are missing, and the fix."""
    what = (
        f"{state.table_name} is at {state.stage}, and its trigger {missing[0]} is gone or disabled: "
        "writes since then may not have crossed"
    )
    if state.stage == LAST:
        return what, f"Look for rows that only the legacy table of {state.table_name} has."
    fix = f"Look at the rows that differ (overgrow data verify {state.table_name}), and go back to {FIRST}"
    return what, f"{fix}, one stage at a time: the way forward makes the triggers again."


# --- forward ------------------------------------------------------------------------------------------------


def _to_dual_write(
    connection: Connection, mapping: TableMapping, state: MoveState, _now_s: float
) -> _StepParts:
    _refuse_strangers(connection, mapping)
    ids = share_ids(connection, mapping, state.id_default)
    statements = (*create_sync(connection, mapping, "legacy"), *ids.statements)
    ledger = {**NO_FILL, "mapping": mapping.fingerprint, "id_default": ids.remember}
    note = f"Rows that exist already do not cross. Next: overgrow data backfill {mapping.new.name}"
    return _StepParts(statements, ledger, (note,))


def _refuse_strangers(connection: Connection, mapping: TableMapping) -> None:
    """Refuse a new table with rows that the legacy table does not have: nobody could say which table is right."""
    crossing = to_new(mapping, connection.dialect.name)
    own_key = key_of_row("strangers", mapping.new.key)
    statement = (
        f"SELECT {quote_list(mapping.new.key)} FROM {crossing.target_table} AS strangers WHERE NOT EXISTS "
        f"(SELECT 1 FROM {crossing.source_table} WHERE {crossing.source_is(own_key)}) LIMIT 3"
    )
    rows = execute(connection, statement).all()
    if rows:
        keys = ", ".join(" ".join(map(str, row)) for row in rows)
        what = f"{mapping.new.name} has rows that {mapping.old.name} does not have, such as {keys}"
        fix = f"Delete them, or add them to {mapping.old.name}."
        raise DataError("stage-refused", what, fix)


def _to_shadow(_: Connection, mapping: TableMapping, state: MoveState, _now_s: float) -> _StepParts:
    _require_filled(mapping, state)
    return _StepParts(notes=("Reads may move now: flip a read route, or shadow it first.",))


def _to_live(
    connection: Connection, mapping: TableMapping, state: MoveState, now_s: float
) -> _StepParts:
    _require_filled(mapping, state)
    _require_verified(mapping, state, now_s)
    ids = share_ids(connection, mapping, state.id_default)
    statements = (*create_sync(connection, mapping, "flask"), *ids.statements)
    return _StepParts(statements, {"id_default": ids.remember}, ("Writes may move now.",))


def _to_ramp_down(
    _: Connection, mapping: TableMapping, state: MoveState, _now_s: float
) -> _StepParts:
    _require_filled(mapping, state)
    return _StepParts(notes=("Flip the last routes to migrated.",))


def _to_complete(
    connection: Connection, mapping: TableMapping, state: MoveState, now_s: float
) -> _StepParts:
    _require_filled(mapping, state)
    _require_verified(mapping, state, now_s)
    kind = connection.dialect.name
    own = own_ids(mapping, kind, state.id_default, is_end=True)
    statements = (*create_blocks(connection, mapping), *own)
    return _StepParts(statements, {"id_default": None})


def _require_filled(mapping: TableMapping, state: MoveState) -> None:
    if not state.is_filled:
        table = mapping.new.name
        what = f"the backfill of {table} is not complete"
        raise DataError("stage-refused", what, f"Run overgrow data backfill {table}.")


def _require_verified(mapping: TableMapping, state: MoveState, now_s: float) -> None:
    table = mapping.new.name
    fix = f"Run overgrow data verify {table}."
    if state.verify_at is None or state.verify_mapping != mapping.fingerprint:
        raise DataError("stage-refused", f"{table} was not verified yet", fix)
    if state.verify_different:
        rows = count_text(state.verify_different, "row")
        raise DataError(
            "stage-refused", f"the last verify of {table} found {rows} that differ", fix
        )
    if now_s - state.verify_at > FRESH_S:
        what = f"the last verify of {table} was {ago(now_s - state.verify_at)}"
        raise DataError("stage-refused", what, fix)


# --- back ---------------------------------------------------------------------------------------------------


def _back_to_none(
    connection: Connection, mapping: TableMapping, state: MoveState, _now_s: float
) -> _StepParts:
    own = own_ids(mapping, connection.dialect.name, state.id_default)
    statements = (*drop_sync(connection, mapping), *own)
    ledger = {**NO_FILL, "mapping": None, "id_default": None}
    note = f"{mapping.new.name} keeps its rows, and misses the writes from now on."
    return _StepParts(statements, ledger, (note,))


def _back_without_statements(*_: object) -> _StepParts:
    return _StepParts()


def _back_to_shadow(
    connection: Connection, mapping: TableMapping, state: MoveState, _now_s: float
) -> _StepParts:
    ids = share_ids(connection, mapping, state.id_default)
    statements = (*create_sync(connection, mapping, "legacy"), *ids.statements)
    return _StepParts(statements, {"id_default": ids.remember})


_Plan = Callable[[Connection, TableMapping, MoveState, float], _StepParts]
_FORWARD: Mapping[str, _Plan] = {
    "dual_write": _to_dual_write,
    "shadow": _to_shadow,
    "live": _to_live,
    "ramp_down": _to_ramp_down,
    "complete": _to_complete,
}
_BACK: Mapping[str, _Plan] = {
    "none": _back_to_none,
    "dual_write": _back_without_statements,
    "shadow": _back_to_shadow,
    "live": _back_without_statements,
}
