"""Triggers of PostgreSQL, as statements. Pure.

One function and one trigger for each direction. The functions run with the rights of their owner, because legacy's role
may have no rights on the new table. A trigger of the new table does not fire for backfill, which sets BACKFILL_SETTING
for its own transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from overgrow.data.crossing import Crossing, to_new, to_old
from overgrow.data.mapping import TableMapping
from overgrow.data.sql import key_of_row, quote, quote_table, quote_text
from overgrow.data.triggers.names import object_name

BACKFILL_SETTING = "overgrow.backfill"


def create_sync(mapping: TableMapping, leader: str, search_path: Sequence[str]) -> Iterator[str]:
    """Yield the statements that create functions and triggers of both directions; `leader` is legacy or flask."""
    table = mapping.new.name
    forward, backward = to_new(mapping, "postgresql"), to_old(mapping, "postgresql")
    yield from _create_way(forward, table, "to_new", search_path, is_leader=leader == "legacy")
    yield from _create_way(backward, table, "to_old", search_path, is_leader=leader == "flask")


def drop_sync(mapping: TableMapping) -> Iterator[str]:
    """Yield the statements that drop all triggers and functions of a table's move."""
    found = [*sync_triggers(mapping), *block_triggers(mapping)]
    names = [(quote(name), quote_table(table, "postgresql")) for name, table in found]
    yield from (f"DROP TRIGGER IF EXISTS {name} ON {table}" for name, table in names)
    yield from (f"DROP FUNCTION IF EXISTS {name}()" for name, _ in names)


def sync_triggers(mapping: TableMapping) -> Iterator[tuple[str, str]]:
    """Yield name and table of each trigger that joins the tables."""
    for way, table in (("to_new", mapping.old.name), ("to_old", mapping.new.name)):
        yield object_name(mapping.new.name, way), table
        yield object_name(mapping.new.name, f"{way}_truncate"), table


def block_triggers(mapping: TableMapping) -> Iterator[tuple[str, str]]:
    """Yield name and table of each trigger that refuses writes to the legacy table."""
    for role in ("block", "block_truncate"):
        yield object_name(mapping.new.name, role), mapping.old.name


def create_blocks(mapping: TableMapping) -> Iterator[str]:
    """Yield the statements that refuse all writes to the legacy table."""
    why = f"{mapping.old.name} gets no writes any more: its rows are in {mapping.new.name}"
    name = quote(object_name(mapping.new.name, "block"))
    yield _refusing_function(name, why)
    old = quote_table(mapping.old.name, "postgresql")
    yield (
        f"CREATE TRIGGER {name} BEFORE INSERT OR UPDATE OR DELETE ON {old} "
        f"FOR EACH ROW EXECUTE FUNCTION {name}()"
    )
    yield _truncate_trigger(quote(object_name(mapping.new.name, "block_truncate")), old, name)


def _refusing_function(name: str, why: str) -> str:
    raising = f"RAISE EXCEPTION USING MESSAGE = {quote_text(why)}, ERRCODE = 'restrict_violation'"
    head = f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
    return f"{head} {quote_body(f'BEGIN {raising}; END')}"


def quote_body(body: str) -> str:
    """Return a function's body between dollar quotes that it does not contain itself."""
    tag = "$overgrow$"
    while tag in body:
        tag = f"{tag[:-1]}_$"
    return f"{tag}\n{body}{tag}"


def _truncate_trigger(name: str, table: str, function: str) -> str:
    return f"CREATE TRIGGER {name} BEFORE TRUNCATE ON {table} EXECUTE FUNCTION {function}()"


def _create_way(
    crossing: Crossing, table: str, way: str, search_path: Sequence[str], *, is_leader: bool
) -> Iterator[str]:
    name = quote(object_name(table, way))
    path = ", ".join(map(quote, [*search_path, "pg_temp"]))
    yield (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
        f"SET search_path = {path} AS {quote_body(_body(crossing, way, is_leader=is_leader))}"
    )
    when = ""
    if way == "to_old":
        when = f" WHEN (current_setting('{BACKFILL_SETTING}', true) IS DISTINCT FROM 'on')"
    yield (
        f"CREATE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {crossing.source_table} "
        f"FOR EACH ROW{when} EXECUTE FUNCTION {name}()"
    )
    why = f"TRUNCATE would not reach {crossing.target.name}; use DELETE, or end the move first"
    refuse = quote(object_name(table, f"{way}_truncate"))
    yield _refusing_function(refuse, why)
    yield _truncate_trigger(refuse, crossing.source_table, refuse)


def _body(crossing: Crossing, way: str, *, is_leader: bool) -> str:
    """Return the function's body.

    If the writing table does not lead, its new row is inserted without ON CONFLICT. If the leading table has
    the key already, this is an error of the writer.
    """
    new, old = (key_of_row(row, crossing.source.key) for row in ("NEW", "OLD"))
    target, insert = crossing.target_table, crossing.insert(crossing.source_is(new))
    upsert = crossing.insert(crossing.source_is(new), conflict=crossing.on_conflict_update())
    gone = f"NOT EXISTS (SELECT 1 FROM {crossing.source_table} WHERE {crossing.source_is(old)})"
    unseen = _refuse_unseen(crossing) if way == "to_new" else ""
    values = crossing.update_values(new)
    update = (
        f"IF {new} IS DISTINCT FROM {old} THEN\n      {crossing.update(new, old)};\n      is_met := FOUND;\n      {unseen}\n"
        + (f"    ELSE\n      {values};\n      is_met := FOUND;\n" if values else "")
        + "    END IF"
    )
    return f"""#variable_conflict use_column
DECLARE
  is_met boolean := false;
BEGIN
  IF TG_OP = 'DELETE' THEN
    DELETE FROM {target} WHERE {crossing.target_is(old)} AND {gone};
    is_met := FOUND;
    {unseen}
    RETURN NULL;
  END IF;
  IF TG_OP = 'INSERT' THEN
    IF NOT {crossing.stands_for(new)} THEN
      {upsert if is_leader else insert};
    END IF;
    RETURN NULL;
  END IF;
  IF {new} IS DISTINCT FROM {old} OR NOT {crossing.stands_for(new)} THEN
    {update};
    IF NOT is_met AND NOT {crossing.stands_for(new)} THEN
      {upsert};
    END IF;
  END IF;
  RETURN NULL;
END
"""


def _refuse_unseen(crossing: Crossing) -> str:
    """Return the lines after a statement about the copy of OLD, for the case that it met no copy.

    A transaction that is REPEATABLE READ or SERIALIZABLE does not see a copy that backfill made after it began, so
    it would leave the copy behind. An INSERT meets that copy in the index, and fails with 40001, after which such apps
    try again. Without a copy the inserted row is deleted at once.
    """
    target, old = crossing.target_table, key_of_row("OLD", crossing.source.key)
    silence = f"PERFORM set_config('{BACKFILL_SETTING}', 'on', true)"
    speak = f"PERFORM set_config('{BACKFILL_SETTING}', 'off', true)"
    return f"""IF NOT is_met AND current_setting('transaction_isolation') NOT LIKE 'read %' THEN
      BEGIN
        {silence};
        {crossing.insert_of_record("OLD")};
        IF FOUND THEN
          DELETE FROM {target} WHERE {crossing.target_is(old)};
        END IF;
        {speak};
      EXCEPTION WHEN integrity_constraint_violation THEN NULL;
      END;
    END IF;"""
