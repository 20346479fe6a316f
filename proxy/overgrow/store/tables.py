"""Defines the tables of the store, and how two observations of one row merge. It uses SQLAlchemy Core.

Rule: a table that workers write holds counts by hour. Its primary key says what is counted. The `info` of every
other column says how the column merges: `sum`, `min`, `max`, `last` or `shared`. Therefore every write is the
same kind of upsert, any number of workers can write in any order, and the number of keys limits the size of a
table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from overgrow.evidence import FallbackRecord
from overgrow.store.cells import Row, hour_of, storable_text

metadata = MetaData()
PREFIX = "overgrow_"  # a PostgreSQL database may be shared
VERSION_TABLE = f"{PREFIX}version"


def _key(name: str) -> Column[str]:
    return Column(name, Text, primary_key=True)


def _number_key(name: str) -> Column[int]:
    return Column(name, Integer, primary_key=True, autoincrement=False)


def _count(name: str = "times") -> Column[int]:
    return Column(name, BigInteger, nullable=False, info={"merge": "sum"})


def _earliest(name: str) -> Column[float]:
    return Column(name, Double, nullable=False, info={"merge": "min"})


def _greatest(name: str) -> Column[float]:
    return Column(name, Double, nullable=False, info={"merge": "max"})


def _text_if_equal(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, info={"merge": "shared"})


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, info={"merge": "last"})


shape_count = Table(
    f"{PREFIX}shape_count",
    metadata,
    _key("route"),
    _key("control"),
    _number_key("hour"),
    _key("method"),
    _key("template"),
    _key("query_keys"),  # names joined by &
    _number_key("status"),
    _number_key("signed_in"),
    _key("outcome"),  # served, matched, ignored, mismatched, not compared: REASON
    _count(),
    _earliest("first_at"),
    _greatest("last_at"),
)
mismatch_group = Table(
    f"{PREFIX}mismatch_group",
    metadata,
    _key("route"),
    _key("control"),
    _key("key"),
    _text("title"),
    Column("severity", Integer, nullable=False, info={"merge": "max"}),  # 0 low, 1 medium, 2 high
    _count(),
    _earliest("first_seen_at"),
    _greatest("last_seen_at"),
)
group_hour = Table(
    f"{PREFIX}group_hour",
    metadata,
    _key("route"),
    _key("control"),
    _key("key"),
    _number_key("hour"),
    _count(),
)
group_part = Table(
    f"{PREFIX}group_part",
    metadata,
    _key("route"),
    _key("control"),
    _key("key"),
    _key("kind"),
    _key("path"),
    _key("control_type"),
    _key("candidate_type"),
    _key("rule"),  # empty: none covered it
    Column("severity", Integer, nullable=False, info={"merge": "max"}),
    _greatest("gap"),  # UNBOUNDED: no tolerance covers it
    _greatest("gap_s"),
    Column("alike", Integer, nullable=False, info={"merge": "min"}),
    Column("one_type", Integer, nullable=False, info={"merge": "min"}),
    _text_if_equal("place"),
    _text_if_equal("other"),
    _text_if_equal("paired"),
)
example = Table(
    f"{PREFIX}example",
    metadata,
    _key("route"),
    _key("control"),
    _key("key"),
    _key("rank"),
    _greatest("at"),
    _text("pair"),
)
rule_hit = Table(
    f"{PREFIX}rule_hit",
    metadata,
    _key("route"),
    _key("rule"),
    _number_key("hour"),
    _count(),
    _greatest("last_at"),
)
noise = Table(
    f"{PREFIX}noise",
    metadata,
    _key("route"),
    _number_key("hour"),
    _key("boot"),  # each writer has one document an hour, and replaces it as it learns
    _text("learned"),
)
fallback = Table(
    f"{PREFIX}fallback",
    metadata,
    _key("route"),
    _number_key("hour"),
    _key("method"),
    _key("migrated"),
    _key("legacy"),
    _count(),
    _earliest("first_at"),
    _greatest("last_at"),
    _greatest("slowest_s"),
)
writer = Table(
    f"{PREFIX}writer",
    metadata,
    _key("boot"),  # one process's writer
    _number_key("hour"),  # in which it began
    Column(
        "number", BigInteger, nullable=False, info={"merge": "max"}
    ),  # of the last record stored
    Column("dropped", BigInteger, nullable=False, info={"merge": "max"}),
    _greatest("last_at"),
)
loss = Table(
    f"{PREFIX}loss",
    metadata,
    _key("boot"),
    _number_key("hour"),
    Column("lost", BigInteger, nullable=False, info={"merge": "max"}),
    _greatest("last_at"),
)
flip = Table(
    f"{PREFIX}flip",
    metadata,
    _number_key("number"),
    Column("key", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("route", Text),
    Column("from_", Text),
    Column("to", Text),
    Column("before", Text),
    Column("after", Text),
    Column("undoes", Text),
    Column("why", Text),
    Column("evidence", Text),
)
restart = Table(
    f"{PREFIX}restart",
    metadata,
    _key("route"),
    Column("at", Double, primary_key=True, autoincrement=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
)
# The history of requests. `door` is one front door: several may share a store, and each writes rows of its own.
history_door = Table(
    f"{PREFIX}history_door",
    metadata,
    _key("door"),
    Column("turn", BigInteger, nullable=False),  # grows with each write, so no two writers mix
    Column("writer", Text, nullable=False),  # the process that wrote last
    Column("rolled_until", BigInteger, nullable=False),  # unix seconds
    Column("last_at", Double, nullable=False),
)
history_series = Table(
    f"{PREFIX}history_series",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("door", Text, nullable=False),
    Column("route", Text, nullable=False),  # empty: all routes together
    Column("side", Text, nullable=False),
    # The counters as they were when their gains were last stored, in the same transaction.
    Column("mark", LargeBinary, nullable=False),
    UniqueConstraint("door", "route", "side", name=f"uq_{PREFIX}history_series"),
)


def _history_rows(name: str, *key: str) -> Table:
    """Return a table of counts, clustered by its key in SQLite."""
    columns = (Column(each, BigInteger, primary_key=True, autoincrement=False) for each in key)
    counts = Column("counts", LargeBinary, nullable=False)
    return Table(f"{PREFIX}{name}", metadata, *columns, counts, sqlite_with_rowid=False)


# `at` is the unix time at which the row's span begins. New rows of short spans are written every second, so they
# stand together. Charts read one series of the others, so the rows of each series stand together.
history_second = _history_rows("history_second", "at", "series")
history_minute = _history_rows("history_minute", "series", "at")
history_hour = _history_rows("history_hour", "series", "at")
# The inventory of legacy's endpoints. A scan writes its own rows, one scan at a time: `turn` sees to that.
inventory_path = Table(
    f"{PREFIX}inventory_path",
    metadata,
    _key("path"),
    Column("requests", BigInteger, nullable=False, info={"merge": "last"}),
    Column("first_at", Double, nullable=False, info={"merge": "last"}),
    Column("last_at", Double, nullable=False, info={"merge": "last"}),
    _text("counts"),
)
inventory_log = Table(f"{PREFIX}inventory_log", metadata, _key("id"), _text("progress"))
inventory_decision = Table(
    f"{PREFIX}inventory_decision",
    metadata,
    _key("template"),
    Column("state", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", Double, nullable=False),
)
inventory_turn = Table(
    f"{PREFIX}inventory_turn",
    metadata,
    _number_key("id"),
    Column("turn", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
)

UNBOUNDED = 1e308
SEVERITIES = ("low", "medium", "high")
HOURLY = (shape_count, group_hour, rule_hit, noise, fallback, writer, loss)  # pruned by `hour`
OF_GROUPS = (mismatch_group, group_part, example, group_hour)


def _fallback_row(record: FallbackRecord) -> Row:
    return {
        "route": storable_text(record.route),
        "hour": hour_of(record.at),
        "method": storable_text(record.method),
        "migrated": storable_text(record.migrated),
        "legacy": storable_text(record.legacy),
        "times": 1,
        "first_at": record.at,
        "last_at": record.at,
        "slowest_s": record.duration_s,
    }


# Records that are one row of one table. Others share rows, or are bounded in number: RowBuilder knows them.
ROWS: Mapping[type[Any], tuple[Table, Callable[[Any], Row]]] = MappingProxyType(
    {FallbackRecord: (fallback, _fallback_row)}
)
