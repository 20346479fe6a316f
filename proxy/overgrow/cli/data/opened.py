"""Opens the database that data.yaml names, and turns its errors into failures of the command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from overgrow.cli.context import Invocation
from overgrow.cli.data.declared import data_file
from overgrow.cli.failures import Failed, InvalidTable
from overgrow.data.checking import as_problems, check_table
from overgrow.data.database import Connection, Database, DataError, open_database
from overgrow.data.declaration import DataDeclaration, TableDeclaration
from overgrow.data.mapping import TableMapping


@contextmanager
def opened_database(call: Invocation, declaration: DataDeclaration) -> Iterator[Database]:
    """Hold the open database inside the block. If it cannot be used, exit 1 with the reason."""
    if declaration.database is None:
        fix = "Write database: postgresql://USER@HOST/NAME or sqlite:///FILE."
        raise Failed("data-url", f"{declaration.file} names no database.", fix)
    with data_errors():
        database = open_database(declaration.database, data_file(call).absolute().parent)
        try:
            yield database
        finally:
            database.close()


@contextmanager
def data_errors() -> Iterator[None]:
    """Turn an error of the data into a failure of the command."""
    try:
        yield
    except DataError as error:
        raise Failed(error.code, f"{error.what}.", error.fix) from error


def require_mapping(
    call: Invocation, connection: Connection, table: TableDeclaration
) -> TableMapping:
    """Return the mapping of a table that moves. If it does not fit the database, exit 1 with every problem."""
    found = check_table(connection, table)
    if found.mapping is None:
        file = data_file(call)
        raise InvalidTable(file, as_problems(str(file), table, found.problems))
    return found.mapping
