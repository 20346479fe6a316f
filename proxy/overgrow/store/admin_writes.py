"""What commands write into the store: an index of flips.jsonl, and resets of a route's evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, delete, insert
from sqlalchemy.exc import SQLAlchemyError

from overgrow.evidence import EvidenceReset, Flip
from overgrow.store import tables
from overgrow.store.cells import storable_text
from overgrow.store.engine import StoreError, without_password
from overgrow.store.row_builder import row_of_flip


def index_flips(engine: Engine, flips: Iterable[Flip]) -> int:
    """Rebuild the index of flips.jsonl from the lines of that file; return the number of lines.

    Raises:
        StoreError: if the store cannot be written now.

    """
    rows = [row_of_flip(each) for each in flips]
    with _transaction(engine) as connection:
        connection.execute(delete(tables.flip))
        if rows:
            connection.execute(insert(tables.flip), rows)
    return len(rows)


def reset_evidence(engine: Engine, reset: EvidenceReset) -> None:
    """Delete the evidence of a route, because the route's code has changed; record who reset the evidence and why.

    Raises:
        StoreError: if the store cannot be written now.

    """
    row = {
        "route": storable_text(reset.route),
        "at": reset.at,
        "who": storable_text(reset.who),
    }
    with _transaction(engine) as connection:
        for table in (tables.shape_count, *tables.OF_GROUPS):
            connection.execute(delete(table).where(table.c.route == storable_text(reset.route)))
        connection.execute(insert(tables.restart), {**row, "why": storable_text(reset.why)})


@contextmanager
def _transaction(engine: Engine) -> Iterator[Connection]:
    """Run one transaction. If it fails, raise StoreError."""
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise StoreError(
            f"The store {without_password(engine.url)} cannot be written: {cause}."
        ) from error
