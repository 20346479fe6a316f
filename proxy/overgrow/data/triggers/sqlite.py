"""Triggers of SQLite, as statements. Pure.

The conflict policy of an outer statement, such as INSERT OR IGNORE, also holds for the statements of a trigger.
Therefore each trigger ends with a check that the write has arrived. If it has not, the outer statement fails.
"""

from __future__ import annotations

from collections.abc import Iterator

from overgrow.data.crossing import Crossing, to_new, to_old
from overgrow.data.mapping import TableMapping
from overgrow.data.sql import key_of_row, quote, quote_table, quote_text
from overgrow.data.triggers.names import object_name

DIRECTIONS = ("to_new", "to_old")
EVENTS = ("insert", "update", "delete")
ROLES = (*(f"{way}_{event}" for way in DIRECTIONS for event in EVENTS), "taken")
BLOCKS = tuple(f"block_{event}" for event in EVENTS)


def create_sync(mapping: TableMapping, leader: str) -> Iterator[str]:
    """Yield the statements that create the triggers of both directions; `leader` is legacy or flask."""
    forward, backward = to_new(mapping, "sqlite"), to_old(mapping, "sqlite")
    table = mapping.new.name
    yield from _create_way(forward, table, "to_new")
    yield from _create_way(backward, table, "to_old")
    yield _refuse_taken_key(forward if leader == "legacy" else backward, table)


def drop_sync(mapping: TableMapping) -> Iterator[str]:
    """Yield the statements that drop these triggers."""
    for name in (*sync_triggers(mapping), *block_triggers(mapping)):
        yield f"DROP TRIGGER IF EXISTS {quote(name)}"


def sync_triggers(mapping: TableMapping) -> Iterator[str]:
    """Yield the name of each trigger that joins the tables."""
    yield from (object_name(mapping.new.name, role) for role in ROLES)


def block_triggers(mapping: TableMapping) -> Iterator[str]:
    """Yield the name of each trigger that refuses writes to the legacy table."""
    yield from (object_name(mapping.new.name, role) for role in BLOCKS)


def create_blocks(mapping: TableMapping) -> Iterator[str]:
    """Yield the statements that refuse all writes to the legacy table."""
    old = quote_table(mapping.old.name, "sqlite")
    why = quote_text(
        f"{mapping.old.name} gets no writes any more: its rows are in {mapping.new.name}"
    )
    for event in EVENTS:
        name = quote(object_name(mapping.new.name, f"block_{event}"))
        yield (
            f"CREATE TRIGGER {name} BEFORE {event.upper()} ON {old} "
            f"BEGIN SELECT RAISE(ABORT, {why}); END"
        )


def _create_way(crossing: Crossing, table: str, way: str) -> Iterator[str]:
    new, old = (key_of_row(row, crossing.source.key) for row in ("NEW", "OLD"))
    fresh = f"NOT {crossing.stands_for(new)}"
    missing = f"NOT EXISTS (SELECT 1 FROM {crossing.target_table} WHERE {crossing.target_is(new)})"
    insert = crossing.insert(f"{crossing.source_is(new)} AND {missing}")
    arrived = _require_arrival(crossing, new)
    head = f"ON {crossing.source_table} FOR EACH ROW"
    yield _trigger(
        table,
        f"{way}_insert",
        f"AFTER INSERT {head} WHEN {fresh}",
        (crossing.update(new, new), insert, arrived),
    )
    moved = f"{fresh} OR {new} IS NOT {old}"
    yield _trigger(
        table,
        f"{way}_update",
        f"AFTER UPDATE {head} WHEN {moved}",
        (crossing.update(new, old), insert, arrived),
    )
    gone = f"NOT EXISTS (SELECT 1 FROM {crossing.source_table} WHERE {crossing.source_is(old)})"
    delete = f"DELETE FROM {crossing.target_table} WHERE {crossing.target_is(old)} AND {gone}"
    yield _trigger(table, f"{way}_delete", f"AFTER DELETE {head}", (delete,))


def _trigger(table: str, role: str, head: str, body: tuple[str, ...]) -> str:
    statements = " ".join(f"{statement};" for statement in body)
    return f"CREATE TRIGGER {quote(object_name(table, role))} {head} BEGIN {statements} END"


def _require_arrival(crossing: Crossing, key: str) -> str:
    why = quote_text(
        f"the write of {crossing.source.name} did not reach {crossing.target.name}: "
        "a constraint of that table, or a value that the mapping loses"
    )
    exists = f"EXISTS (SELECT 1 FROM {crossing.source_table} WHERE {crossing.source_is(key)})"
    arrived = crossing.arrives(key)
    return f"SELECT RAISE(ABORT, {why}) WHERE {exists} AND NOT {arrived}"


def _refuse_taken_key(crossing: Crossing, table: str) -> str:
    """Return the trigger that refuses an INSERT of a key that only the leading table has.

    `crossing` carries rows away from the leading table. A row from the leading table itself has the values of
    the mapping, and passes.
    """
    new = key_of_row("NEW", crossing.target.key)
    values = ", ".join(
        f"({one.expression}) AS c{at}" for at, one in enumerate(crossing.target.columns)
    )
    same = " AND ".join(
        f"(c{at} IS NEW.{quote(one.name)} COLLATE BINARY OR CAST(c{at} AS TEXT) IS CAST(NEW.{quote(one.name)} AS TEXT))"
        for at, one in enumerate(crossing.target.columns)
    )
    leads = f"{crossing.source_table} WHERE {crossing.source_is(new)}"
    why = quote_text(f"{crossing.source.name} has a row of this key already")
    condition = (
        f"EXISTS (SELECT 1 FROM {leads}) "
        f"AND NOT EXISTS (SELECT 1 FROM {crossing.target_table} WHERE {crossing.target_is(new)}) "
        f"AND NOT EXISTS (SELECT 1 FROM (SELECT {values} FROM {leads}) WHERE {same})"
    )
    head = f"BEFORE INSERT ON {crossing.target_table} FOR EACH ROW WHEN {condition}"
    return _trigger(table, "taken", head, (f"SELECT RAISE(ABORT, {why})",))
