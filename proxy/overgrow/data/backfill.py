"""Copies the rows that existed before the triggers, in batches, each in a short transaction of its own.

The last key of all is fixed at the start; what is written later crosses by the triggers. Each batch writes its checkpoint
in its own transaction, so a process that is killed loses at most one batch, and any process can go on from there.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from overgrow.data.crossing import Crossing, to_new
from overgrow.data.database import (
    Connection,
    Database,
    DatabaseAway,
    DatabaseLocked,
    DataError,
    execute,
)
from overgrow.data.keys import Key, KeyRange, ascending, descending, key_as_json, key_from_json
from overgrow.data.ledger import MoveState, advance_fill, read_line, read_state, write_state
from overgrow.data.mapping import TableMapping
from overgrow.data.sql import quote_list
from overgrow.data.triggers.postgres import BACKFILL_SETTING
from overgrow.text import ago

FIRST_ROWS, LEAST_ROWS = 500, 100
BATCH_S = 0.04  # how long a batch should hold its locks
BUSY_BATCH_S = 0.01  # the same in SQLite, while others write
LOCK_TIMEOUT_MS = (
    100  # below PostgreSQL's deadlock_timeout, so that in a deadlock this process gives way
)
SQLITE_LOCK_TIMEOUT_MS = 5_000
BUSY_S = 5.0  # how long others count as writing after their last write
BEAT_S = 1.0
STALE_S = 30.0  # after so long without a beat another host may take over
STAGES = ("dual_write", "shadow")


@dataclass(frozen=True, slots=True)
class FillPace:
    """How fast to copy: rows in a batch at most, a pause after each, and what holds the copying up."""

    most_rows: int = 10_000
    pause_s: float = 0.0
    hold: Callable[[Connection], str | None] = field(default=lambda _: None)
    patience_s: float = 300.0  # for a database that is away


class FillProgress(NamedTuple):
    """Where a backfill stands; `waits_for` says why it does not copy now."""

    rows: int
    total: int
    rows_per_s: float
    state: str
    waits_for: str | None = None

    @property
    def left_s(self) -> float | None:
        """How long the rest will take; None if nobody knows."""
        rest = max(0, self.total - self.rows)
        return rest / self.rows_per_s if self.rows_per_s > 0 else None


@dataclass(frozen=True, slots=True)
class FillSurroundings:
    """Who is told how far the copying is, who may end it, and how it waits."""

    report: Callable[[FillProgress], None] = field(default=lambda _: None)
    is_over: Callable[[], bool] = field(default=lambda: False)
    sleep: Callable[[float], None] = time.sleep


def process_identity() -> dict[str, Any]:
    """Return what names this process: host, pid, and when it began, because pids are used again."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "began": _beginning_of(os.getpid())}


def _beginning_of(pid: int) -> str | None:
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[19]
        )
    except (OSError, IndexError):
        return None


def is_held(state: MoveState, now_s: float) -> bool:
    """Return whether another living process copies the table."""
    holder = state.holder
    if not holder or state.fill_state not in ("running", "paused"):
        return False
    if holder.get("host") == socket.gethostname():
        began = _beginning_of(int(holder["pid"]))
        is_us = holder["pid"] == os.getpid()
        return not is_us and began is not None and began == holder.get("began")
    return now_s - (state.fill_beat or 0.0) < STALE_S


class Backfill:
    """One process that copies one table."""

    def __init__(
        self,
        database: Database,
        mapping: TableMapping,
        pace: FillPace,
        around: FillSurroundings | None = None,
    ) -> None:
        around = around or FillSurroundings()
        self._database, self._mapping, self._pace = database, mapping, pace
        self._report, self._is_over, self._sleep = around.report, around.is_over, around.sleep
        self._crossing: Crossing = to_new(mapping, database.kind)
        self._table = mapping.new.name
        self._me = json.dumps(process_identity())
        self._size = min(FIRST_ROWS, pace.most_rows)
        self._seen_version: int | None = None
        self._others_wrote_s = float("-inf")
        self._began_s, self._copied = 0.0, 0
        self._rows, self._total = 0, 0

    def run(self, *, restart: bool = False) -> MoveState:
        """Copy until all rows are copied or somebody stops it; return the state of the table.

        Raises:
            DataError: if it may not begin; DatabaseAway, if the database stays away.

        """
        self._began_s = time.monotonic()
        state = self._patiently(lambda: self._begin(restart=restart))
        while state.fill_state not in ("done", "stopped"):
            state = self._patiently(self._step)
        self._tell(state)
        return state

    # --- beginning ----------------------------------------------------------------------------------------------

    def _begin(self, *, restart: bool) -> MoveState:
        with self._write() as connection:
            state = read_state(connection, self._table)
            self._refuse(state)
            now_s = time.time()
            changes: dict[str, Any] = {
                "fill_holder": self._me,
                "fill_beat": now_s,
                "fill_wanted": "run",
                "fill_state": "running",
            }
            if restart or state.fill_mapping is None:
                changes |= self._first_checkpoint(connection, now_s)
            elif state.fill_state == "done":
                return state
            write_state(connection, self._table, **changes)
            return read_state(connection, self._table)

    def _refuse(self, state: MoveState) -> None:
        if state.stage not in STAGES:
            what = f"{self._table} is at {state.stage}; rows are copied at dual_write and shadow"
            fix = (
                f"Run overgrow data stage {self._table} dual_write."
                if state.stage == "none"
                else ""
            )
            raise DataError("stage-refused", what, fix)
        if self._mapping.fingerprint != (state.fill_mapping or state.mapping):
            what = f"the mapping of {self._table} was edited in the middle of its backfill"
            fix = f"Undo the edit, or go back first: overgrow data stage {self._table} none."
            raise DataError("mapping-changed", what, fix)
        if self._mapping.fingerprint != state.mapping:
            what = f"the mapping of {self._table} was edited; its triggers carry out the former one"
            fix = f"Undo the edit, or go back first: overgrow data stage {self._table} none."
            raise DataError("mapping-changed", what, fix)
        if is_held(state, time.time()):
            holder = state.holder
            when = ago(max(0.0, time.time() - (state.fill_started or 0.0)))
            what = f"pid {holder.get('pid')} on {holder.get('host')} copies {self._table} already, since {when}"
            fix = f"Watch it: overgrow data status. End it: overgrow data backfill {self._table} --stop."
            raise DataError("backfill-running", what, fix)

    def _first_checkpoint(self, connection: Connection, now_s: float) -> dict[str, Any]:
        source, key = self._crossing.source_table, self._crossing.source.key
        last = execute(
            connection,
            f"SELECT {quote_list(key)} FROM {source} ORDER BY {descending(key)} LIMIT 1",
        ).first()
        total = execute(connection, f"SELECT count(*) FROM {source}").scalar()
        return {
            "fill_mapping": self._mapping.fingerprint,
            "fill_last": None,
            "fill_end": None if last is None else key_as_json(tuple(last)),
            "fill_rows": 0,
            "fill_total": total,
            "fill_started": now_s,
            "verify_at": None,
        }

    # --- one step -----------------------------------------------------------------------------------------------

    def _step(self) -> MoveState:
        """Copy one batch, or wait; return the state afterwards."""
        with self._database.read() as connection:
            held = self._pace.hold(connection)
            state = read_line(connection, self._table)
            self._note_other_writers(connection)
        if self._is_over():
            return self._advance(fill_state="stopped")
        if state.fill_wanted == "stop":
            return self._advance(fill_state="stopped")
        if held or state.fill_wanted == "pause":
            state = self._advance(fill_state="paused" if not held else "running")
            self._tell(state, held or "it is paused")
            self._sleep(BEAT_S / 4)
            return state
        begin_s = time.monotonic()
        state = self._copy_batch()
        self._remember_version()
        self._give_way(time.monotonic() - begin_s)
        self._tell(state)
        return state

    def _advance(self, **changes: Any) -> MoveState:
        with self._write() as connection:
            return self._checkpoint(connection, **changes)

    def _checkpoint(self, connection: Connection, **changes: Any) -> MoveState:
        beat = {"fill_beat": time.time(), **changes}
        state = advance_fill(connection, self._table, self._me, **beat)
        if state is None:
            what = f"another process has taken over the backfill of {self._table}"
            raise DataError("backfill-running", what, "Watch it: overgrow data status.")
        return state

    def _copy_batch(self) -> MoveState:
        begin_s = time.monotonic()
        with self._write() as connection:
            state = read_line(connection, self._table)
            if state.fill_holder != self._me:
                return self._checkpoint(connection)
            after = key_from_json(state.fill_last) if state.fill_last else None
            end = key_from_json(state.fill_end) if state.fill_end else None
            last = self._end_of_batch(connection, after, end) if end is not None else None
            if last is None:
                return self._checkpoint(connection, fill_state="done", fill_holder=self._me)
            count = self._copy(connection, KeyRange(after, last))
            self._copied += count
            rows = (state.fill_rows or 0) + count
            state = self._checkpoint(
                connection, fill_last=key_as_json(last), fill_rows=rows, fill_state="running"
            )
        self._fit_size(time.monotonic() - begin_s)
        return state

    def _end_of_batch(self, connection: Connection, after: Key | None, end: Key) -> Key | None:
        """Return the last key of the next batch; None if no row is left."""
        names = self._crossing.source.key
        where, values = KeyRange(after, end).condition(names)
        rows = (
            f"SELECT {quote_list(names)} FROM {self._crossing.source_table} WHERE {where} "
            f"ORDER BY {ascending(names)} LIMIT {self._size}"
        )
        found = execute(
            connection,
            f"SELECT * FROM ({rows}) AS batch ORDER BY {descending(names)} LIMIT 1",
            values,
        ).first()
        return None if found is None else tuple(found)

    def _copy(self, connection: Connection, keys: KeyRange) -> int:
        """Copy the rows of a range; a row that is there already gets the legacy row's values.

        PostgreSQL: the legacy rows are locked until the commit, so no write passes between reading a row here and
        writing its copy.
        """
        where, values = keys.condition(self._crossing.source.key)
        conflict = self._crossing.on_conflict_update(only_if_different=True)
        if self._database.kind == "postgresql":
            execute(connection, f"SET LOCAL {BACKFILL_SETTING} = 'on'").close()
            locked = f"SELECT 1 FROM {self._crossing.source_table} WHERE {where} FOR SHARE"
            counted = execute(connection, f"SELECT count(*) FROM ({locked}) AS locked", values)
            count = int(counted.scalar() or 0)
        else:
            counted = execute(
                connection,
                f"SELECT count(*) FROM {self._crossing.source_table} WHERE {where}",
                values,
            )
            count = int(counted.scalar() or 0)
        execute(connection, self._crossing.insert(where, conflict=conflict), values).close()
        return count

    # --- pace -----------------------------------------------------------------------------------------------

    @property
    def _is_busy(self) -> bool:
        """Whether others have written to the SQLite file in the last moments."""
        return time.monotonic() - self._others_wrote_s < BUSY_S

    def _fit_size(self, took_s: float) -> None:
        """Choose the next batch's rows so that it holds its locks for as long as it should."""
        wanted_s = BUSY_BATCH_S if self._is_busy else BATCH_S
        factor = min(2.0, max(0.25, wanted_s / max(took_s, 0.001)))
        # A commit alone may take longer than that on a slow disk: smaller batches would only mean more of them.
        wanted = max(LEAST_ROWS, int(self._size * factor))
        self._size = min(self._pace.most_rows, wanted)

    def _note_other_writers(self, connection: Connection) -> None:
        """SQLite: notice commits of others since our last one; in PostgreSQL writers need not wait for each other."""
        if self._database.kind != "sqlite":
            return
        version = int(execute(connection, "PRAGMA data_version").scalar() or 0)
        if self._seen_version is not None and version != self._seen_version:
            self._others_wrote_s = time.monotonic()

    def _remember_version(self) -> None:
        """SQLite: remember the version of the file that our own commit made."""
        if self._database.kind == "sqlite":
            with self._database.read() as connection:
                version = execute(connection, "PRAGMA data_version").scalar()
            self._seen_version = int(version or 0)

    def _give_way(self, took_s: float) -> None:
        """Leave writers of a SQLite file a moment: they try again every few milliseconds, and get in only meanwhile."""
        pause_s = self._pace.pause_s
        if self._database.kind == "sqlite":
            pause_s = max(pause_s, took_s * 2 if self._is_busy else took_s / 4)
        if pause_s:
            self._sleep(pause_s)

    def _write(self) -> Any:
        timeout_ms = SQLITE_LOCK_TIMEOUT_MS if self._database.kind == "sqlite" else LOCK_TIMEOUT_MS
        return self._database.write(lock_timeout_ms=timeout_ms, is_synced=False)

    def _patiently(self, work: Callable[[], MoveState]) -> MoveState:
        """Do one piece of work; wait and try again while a lock is held or the database is away."""
        away_since_s: float | None = None
        while True:
            try:
                return work()
            except DatabaseLocked as locked:
                if self._is_over():
                    raise
                self._size = max(1, self._size // 2)
                self._report(FillProgress(self._rows, self._total, 0.0, "running", locked.what))
                self._sleep(0.05)
            except DatabaseAway as away:
                now_s = time.monotonic()
                away_since_s = now_s if away_since_s is None else away_since_s
                if self._is_over() or now_s - away_since_s > self._pace.patience_s:
                    raise
                self._report(FillProgress(self._rows, self._total, 0.0, "running", away.what))
                self._sleep(BEAT_S)

    def _tell(self, state: MoveState, waits_for: str | None = None) -> None:
        rate = self._copied / max(0.001, time.monotonic() - self._began_s)
        self._rows, self._total = state.fill_rows or 0, state.fill_total or 0
        progress = FillProgress(self._rows, self._total, rate, state.fill_state or "", waits_for)
        self._report(progress)
