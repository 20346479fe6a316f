"""What people write into the store: an index of the journal, and a fresh start for a route's evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, delete, insert
from sqlalchemy.exc import SQLAlchemyError

from overgrow.store import tables
from overgrow.store.engine import StoreError, shown
from overgrow.store.records import Flip, Restart
from overgrow.store.row_builder import flip_row, plain


def index_flips(engine: Engine, flips: Iterable[Flip]) -> int:
    """Make the index of flips.jsonl anew from its lines; return how many. The journal is the truth.

    Raises:
        StoreError: if it cannot be written now.

    """
    rows = [flip_row(each) for each in flips]
    with _writing(engine) as connection:
        connection.execute(delete(tables.flip))
        if rows:
            connection.execute(insert(tables.flip), rows)
    return len(rows)


def begin_anew(engine: Engine, restart: Restart) -> None:
    """Forget what was found about a route, because its code has changed; who did it and why stays.

    Raises:
        StoreError: if it cannot be written now.

    """
    begun = {"route": plain(restart.route), "at": restart.at, "who": plain(restart.who)}
    with _writing(engine) as connection:
        for table in (tables.shape_count, *tables.OF_GROUPS):
            connection.execute(delete(table).where(table.c.route == plain(restart.route)))
        connection.execute(insert(tables.restart), {**begun, "why": plain(restart.why)})


@contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    """One transaction."""
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise StoreError(f"The store {shown(engine.url)} cannot be written: {cause}.") from error
