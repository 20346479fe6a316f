"""Compares a declaration with its database: whether expressions run, types fit, and values come back unchanged.

Whether two expressions undo each other cannot be proved by reading them. Therefore sample values of each type,
and rows of the table itself, are converted there and back, in the same database.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from overgrow.data.catalog import TableShape, read_shape
from overgrow.data.crossing import Crossing, comparable, is_same, to_new, to_old, typed_value
from overgrow.data.database import execute, first_line
from overgrow.data.declaration import TableDeclaration
from overgrow.data.expressions import bare_column
from overgrow.data.mapping import FieldProblem, ResolvedMapping, TableMapping, resolve
from overgrow.data.samples import sample_rows
from overgrow.data.sql import quote, quote_table
from overgrow.yaml_file.problem import Problem
from overgrow.yaml_file.scalars import FieldError

SAMPLED_ROWS = 2_000  # of each end of the legacy table


def check_table(connection: Connection, table: TableDeclaration) -> ResolvedMapping:
    """Return the mapping of a table that moves, or every problem with it."""
    old = read_shape(connection, str(table.source))
    new = read_shape(connection, table.name)
    found = resolve(table, old, new)
    if found.mapping is None or old is None:
        return found
    problems = tuple(_problems_of_mapping(connection, found.mapping, old))
    return ResolvedMapping(None if problems else found.mapping, problems)


def as_problems(
    file: str, table: TableDeclaration, found: tuple[FieldProblem, ...]
) -> list[Problem]:
    """Return problems of a table with their places in data.yaml."""
    return [
        Problem(
            one.error.code, file, *table.place_of(one.field), None, one.error.message, one.error.fix
        )
        for one in found
    ]


def _problems_of_mapping(
    connection: Connection, mapping: TableMapping, old: TableShape
) -> Iterator[FieldProblem]:
    kind = connection.dialect.name
    expressions = [
        *_problems_of_expressions(connection, to_new(mapping, kind), "columns"),
        *_problems_of_expressions(connection, to_old(mapping, kind), "back"),
    ]
    yield from expressions
    if expressions:
        return
    types = [*_problems_of_types(connection, mapping)]
    yield from types
    if not types:
        yield from _problems_of_writes(connection, mapping)
        yield from _problems_of_round_trip(connection, mapping, old)


def attempt(connection: Connection, statement: str) -> str | None:
    """Run a statement in a savepoint that is then undone. Return why the statement fails; None if it works."""
    point = connection.begin_nested()
    try:
        execute(connection, statement).close()
    except DBAPIError as error:
        return first_line(error)
    finally:
        point.rollback()
    return None


def _problems_of_expressions(
    connection: Connection, crossing: Crossing, field: str
) -> Iterator[FieldProblem]:
    """Run each expression over the table from which it takes its values."""
    for column in crossing.target.columns:
        one = f"SELECT {quote(crossing.source.key[0])}, ({column.expression}) FROM {crossing.source_table} LIMIT 0"
        if why := attempt(connection, one):
            what = f"{crossing.target.name}.{column.name} cannot be computed from {crossing.source.name}: {why}"
            fix = f"Write SQL over the columns of {crossing.source.name}."
            yield FieldProblem(f"{field}.{column.name}", FieldError("expression-syntax", what, fix))


def _problems_of_types(connection: Connection, mapping: TableMapping) -> Iterator[FieldProblem]:
    if connection.dialect.name == "sqlite":
        return
    for half, field in ((mapping.new, "columns"), (mapping.old, "back")):
        for column in half.columns:
            null = typed_value("NULL", column)
            if why := attempt(connection, f"SELECT {null} IS NOT DISTINCT FROM {null}"):
                what = f"{half.name}.{column.name} has the type {column.type}, which cannot be compared: {why}"
                fix = "Give the column a type with equality, or move it in a later step."
                place = f"{field}.{column.name}"
                yield FieldProblem(place, FieldError("type-incomparable", what, fix))


def _problems_of_writes(connection: Connection, mapping: TableMapping) -> Iterator[FieldProblem]:
    """Have the database plan the writes, which shows values that do not fit into their columns' types."""
    kind = connection.dialect.name
    for crossing, field in ((to_new(mapping, kind), "columns"), (to_old(mapping, kind), "back")):
        if why := attempt(connection, f"EXPLAIN {crossing.insert('1 = 0')}"):
            what = (
                f"{crossing.target.name} does not take the values of {crossing.source.name}: {why}"
            )
            fix = "Write a CAST to the column's type."
            yield FieldProblem(field, FieldError("expression-syntax", what, fix))


def _problems_of_round_trip(
    connection: Connection, mapping: TableMapping, old: TableShape
) -> Iterator[FieldProblem]:
    """Convert samples and rows of the legacy table there and back, and report the columns whose values change."""
    kind = connection.dialect.name
    samples = sample_rows(old, mapping, kind)
    for column in mapping.old.columns:
        if bare_column(column.expression) is not None and not _is_computed(mapping, column.name):
            continue
        for source in (samples, _edge_rows(mapping, kind)):
            found = _first_loss(connection, mapping, column.name, source)
            if found is not None:
                before, after = found
                what = (
                    f"{mapping.old.name}.{column.name} does not come back the same: "
                    f"{before!s} becomes {after!s} on the way through {mapping.new.name}"
                )
                fix = (
                    "Round in the expression, or give the new column a type that holds every value."
                )
                yield FieldProblem(f"back.{column.name}", FieldError("mapping-lossy", what, fix))
                break


def _is_computed(mapping: TableMapping, old_name: str) -> bool:
    """Return whether the column goes through an expression, or into a column of another type."""
    old_type = next(one.type for one in mapping.old.columns if one.name == old_name)
    for column in mapping.new.columns:
        if bare_column(column.expression) == old_name:
            return column.type.lower() != old_type.lower()
    return True


def _edge_rows(mapping: TableMapping, kind: str) -> str:
    """Return a SELECT of rows at both ends of the legacy table."""
    table = quote_table(mapping.old.name, kind)
    key = ", ".join(map(quote, mapping.old.key))
    down = ", ".join(f"{quote(name)} DESC" for name in mapping.old.key)
    return (
        (
            f"SELECT * FROM (SELECT * FROM {table} ORDER BY {key} LIMIT {SAMPLED_ROWS}) AS first_rows "
            f"UNION SELECT * FROM (SELECT * FROM {table} ORDER BY {down} LIMIT {SAMPLED_ROWS}) AS last_rows"
        )
        if kind == "sqlite"
        else (
            f"(SELECT * FROM {table} ORDER BY {key} LIMIT {SAMPLED_ROWS}) "
            f"UNION ALL (SELECT * FROM {table} ORDER BY {down} LIMIT {SAMPLED_ROWS})"
        )
    )


def _first_loss(
    connection: Connection, mapping: TableMapping, name: str, rows: str
) -> tuple[object, object] | None:
    """Return (value, returned value) of a legacy column for the first row in which the two differ."""
    kind = connection.dialect.name
    column = next(one for one in mapping.old.columns if one.name == name)
    there = ", ".join(
        f"{stored_value(one.expression, one.type, kind)} AS {quote(one.name)}"
        for one in mapping.new.columns
    )
    back = f"SELECT before_, {stored_value(column.expression, column.type, kind)} AS after_"
    before = comparable("before_", column, kind)
    same = is_same(before, comparable("after_", column, kind), kind)
    statement = (
        f"SELECT before_, after_ FROM ({back} FROM (SELECT {quote(name)} AS before_, {there} "
        f"FROM ({rows}) AS legacy_rows) AS new_rows) AS round_trip WHERE NOT ({same}) LIMIT 1"
    )
    point = connection.begin_nested()
    try:
        found = execute(connection, statement).first()
    except DBAPIError as error:  # a sample that an expression cannot take, such as '' for a number
        return None if rows.startswith("SELECT * FROM (VALUES") else ("a value", first_line(error))
    finally:
        point.rollback()
    return None if found is None else (found[0], found[1])


def stored_value(expression: str, type_: str, kind: str) -> str:
    """Return an expression converted to the type of its column."""
    if kind == "postgresql":
        return f"CAST(({expression}) AS {type_})"
    upper = type_.upper()
    if (
        "INT" in upper
        or any(word in upper for word in ("CHAR", "CLOB", "TEXT", "BLOB"))
        or not upper
    ):
        return f"({expression})"
    return f"(CASE WHEN typeof({expression}) = 'integer' THEN CAST(({expression}) AS REAL) ELSE ({expression}) END)"
