"""Whether both tables hold the same: checksums of key ranges, and rows only where those differ.

Each range is read on both sides in one transaction, so both sides are seen at the same moment and writes that go on
change nothing about the result. A range that differs is read once more, row by row.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from overgrow.data.canonical import SQLITE_FUNCTION, canonical_sql, canonical_text
from overgrow.data.crossing import Crossing, to_new
from overgrow.data.database import Connection, Database, DataError, execute
from overgrow.data.keys import Key, KeyRange, ascending
from overgrow.data.ledger import MoveState, create_ledger, read_state, write_state
from overgrow.data.mapping import MappedColumn, TableMapping
from overgrow.data.sql import quote, quote_list
from overgrow.data.stages import LAST

RANGE_ROWS = 5_000
MOST_SHOWN = 20
_CHECKSUM = "overgrow_checksum"


class ValueDifference(NamedTuple):
    """One value that differs: the key, the column of the new table, what the mapping gives, and what is there.

    A column of None stands for a whole row, which one of the tables lacks.
    """

    key: tuple[str, ...]
    column: str | None
    expected: str | None
    found: str | None
    what: str  # differs, missing in TABLE


class VerifyResult(NamedTuple):
    """What a verify found; `differences` are the first ones."""

    rows_old: int
    rows_new: int
    different: int
    ranges: int
    unequal_ranges: int
    differences: tuple[ValueDifference, ...]

    @property
    def is_equal(self) -> bool:
        """Whether both tables hold the same."""
        return not self.different


def verify(
    database: Database,
    mapping: TableMapping,
    *,
    now_s: float | None = None,
    range_rows: int = RANGE_ROWS,
    report: Callable[[int], None] = lambda _: None,
) -> VerifyResult:
    """Compare both tables and write the outcome into the ledger."""
    before = _state_of(database, mapping.new.name)
    comparison = _ChecksumPass(database, to_new(mapping, database.kind), range_rows)
    found = comparison.compare(report)
    with database.write() as connection:
        create_ledger(connection)
        write_state(
            connection,
            mapping.new.name,
            verify_at=time.time() if now_s is None else now_s,
            verify_mapping=mapping.fingerprint,
            verify_rows=found.rows_new,
            verify_different=found.different,
        )
        _refuse_other_move(before, read_state(connection, mapping.new.name))
    return found


def _state_of(database: Database, table: str) -> MoveState:
    with database.read() as connection:
        return read_state(connection, table)


def _refuse_other_move(before: MoveState, after: MoveState) -> None:
    """Refuse an outcome of two moves: the first ranges were compared before the backfill or the triggers changed.

    At `complete` the tables part, and the verify before that step must stay the last one.
    """
    same = before.mapping == after.mapping and before.fill_started == after.fill_started
    if not same or (after.stage == LAST != before.stage):
        table = after.table_name
        what = f"{table} went from {before.stage} to {after.stage} while its tables were compared, so the outcome counts for neither"
        fix = "" if after.stage == LAST else f"Run overgrow data verify {table} again."
        raise DataError("stage-refused", what, fix)


class _ChecksumPass:
    """One pass over both tables, range after range."""

    def __init__(self, database: Database, crossing: Crossing, range_rows: int) -> None:
        self._database, self._crossing, self._range_rows = database, crossing, range_rows
        self._differences: list[ValueDifference] = []
        self._different = 0

    def compare(self, report: Callable[[int], None]) -> VerifyResult:
        rows_old = rows_new = ranges = unequal = 0
        after: Key | None = None
        is_last = False
        while not is_last:
            with self._database.read() as connection:
                _add_functions(connection)
                until = self._end_of_range(connection, after)
                is_last = until is None
                keys = KeyRange(after, until)
                old, new = self._checksums(connection, keys)
                if old != new:
                    unequal += 1
                    self._compare_rows(connection, keys)
            rows_old, rows_new, ranges = rows_old + old[0], rows_new + new[0], ranges + 1
            after = until
            report(rows_old)
        shown = tuple(self._differences)
        return VerifyResult(rows_old, rows_new, self._different, ranges, unequal, shown)

    def _end_of_range(self, connection: Connection, after: Key | None) -> Key | None:
        """Return the last key of the next range; None for the rest of both tables."""
        names = self._crossing.source.key
        where, values = KeyRange(after, None).condition(names)
        row = execute(
            connection,
            f"SELECT {quote_list(names)} FROM {self._crossing.source_table} WHERE {where} "
            f"ORDER BY {ascending(names)} LIMIT 1 OFFSET {self._range_rows - 1}",
            values,
        ).first()
        return None if row is None else tuple(row)

    def _sides(self, keys: KeyRange) -> Iterator[tuple[str, list[Any]]]:
        """Yield a SELECT of key and canonical values for either side: what the mapping gives, and what is there."""
        columns = self._crossing.target.columns
        kind = self._crossing.kind
        given = [canonical_sql(one.expression, one, kind) for one in columns]
        there = [canonical_sql(quote(one.name), one, kind) for one in columns]
        sides = (
            (self._crossing.source_table, self._crossing.source.key, given),
            (self._crossing.target_table, self._crossing.target.key, there),
        )
        for table, names, values in sides:
            where, limits = keys.condition(names)
            cells = ", ".join(f"{value} AS c{at}" for at, value in enumerate(values))
            yield f"SELECT {cells} FROM {table} WHERE {where} ORDER BY {ascending(names)}", limits

    def _checksums(
        self, connection: Connection, keys: KeyRange
    ) -> tuple[tuple[int, str], tuple[int, str]]:
        columns = self._crossing.target.columns
        old, new = (
            _checksum_of(connection, select, values, columns)
            for select, values in self._sides(keys)
        )
        return old, new

    def _compare_rows(self, connection: Connection, keys: KeyRange) -> None:
        columns = self._crossing.target.columns
        at = [index for index, one in enumerate(columns) if one.name in self._crossing.target.key]
        sides = []
        for select, values in self._sides(keys):
            rows = execute(connection, select, values).all()
            sides.append({tuple(str(row[index]) for index in at): tuple(row) for row in rows})
        old, new = sides
        for key in dict.fromkeys([*old, *new]):
            self._compare_row(key, old.get(key), new.get(key))

    def _compare_row(
        self, key: tuple[str, ...], given: tuple[Any, ...] | None, there: tuple[Any, ...] | None
    ) -> None:
        if given == there:
            return
        self._different += 1
        if given is None or there is None:
            half = self._crossing.target if there is None else self._crossing.source
            self._show(ValueDifference(key, None, None, None, f"missing in {half.name}"))
            return
        for column, expected, found in zip(
            self._crossing.target.columns, given, there, strict=True
        ):
            if expected != found:
                self._show(ValueDifference(key, column.name, expected, found, "differs"))

    def _show(self, difference: ValueDifference) -> None:
        if len(self._differences) < MOST_SHOWN:
            self._differences.append(difference)


def _checksum_of(
    connection: Connection, select: str, values: list[Any], columns: tuple[MappedColumn, ...]
) -> tuple[int, str]:
    """Return the number of rows and a checksum of them, in the order of their keys."""
    cells = [f"c{at}" for at in range(len(columns))]
    if connection.dialect.name == "sqlite":
        row = execute(
            connection, f"SELECT count(*), {_CHECKSUM}({', '.join(cells)}) FROM ({select})", values
        ).one()
        return int(row[0]), str(row[1])
    # A length before each value keeps ('a', 'bc') and ('ab', 'c') apart, and '-' is NULL.
    texts = " || ".join(f"coalesce(length({cell})::text || ':' || {cell}, '-')" for cell in cells)
    row = execute(
        connection,
        f"SELECT count(*), coalesce(sum(hashtextextended({texts}, 0)::numeric), 0), "
        f"coalesce(sum(hashtextextended({texts}, 7)::numeric), 0) FROM ({select}) AS side",
        values,
    ).one()
    return int(row[0]), f"{row[1]} {row[2]}"


class _Checksum:
    """An aggregate of SQLite: SHA-256 over rows of texts."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def step(self, *cells: str | None) -> None:
        """Add a row."""
        texts = ("-" if cell is None else f"{len(cell)}:{cell}" for cell in cells)
        self._hash.update("\x1f".join(texts).encode("utf-8", "surrogatepass"))

    def finalize(self) -> str:
        """Return the checksum."""
        return self._hash.hexdigest()


def _add_functions(connection: Connection) -> None:
    """Give a connection to SQLite the functions that PostgreSQL has."""
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.create_function(SQLITE_FUNCTION, 2, canonical_text, deterministic=True)
        driver.create_aggregate(_CHECKSUM, -1, _Checksum)
