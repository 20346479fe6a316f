"""What people write into the store: an index of the journal, and a fresh start for a route's evidence."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Engine, delete, insert

from proxy.store import tables
from proxy.store.records import Flip, Restart
from proxy.store.rows import flip_row, plain


def index_flips(engine: Engine, flips: Iterable[Flip]) -> int:
    """Make the index of flips.jsonl anew from its lines; return how many. The journal is the truth."""
    rows = [flip_row(each) for each in flips]
    with engine.begin() as connection:
        connection.execute(delete(tables.flip))
        if rows:
            connection.execute(insert(tables.flip), rows)
    return len(rows)


def begin_anew(engine: Engine, restart: Restart) -> None:
    """Forget what was found about a route, because its code has changed; who did it and why stays."""
    begun = {"route": plain(restart.route), "at": restart.at, "who": plain(restart.who)}
    with engine.begin() as connection:
        for table in (tables.shape_count, *tables.OF_GROUPS):
            connection.execute(delete(table).where(table.c.route == plain(restart.route)))
        connection.execute(insert(tables.restart), {**begun, "why": plain(restart.why)})
