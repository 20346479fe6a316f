"""The writer of one worker: it takes records without delaying requests, and stores them in batches.

Rule: `put` takes constant time, never waits for the store and never raises. If the queue is full, the record is
dropped and counted. One thread, which the first record starts, stores a batch every second or every 500
records. While the store is unavailable, the thread tries again, less and less often. It is not a daemon thread:
it ends with `close`, or by itself after the main thread has ended. Create the writer after the fork.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL

from overgrow.evidence import Record
from overgrow.store.engine import without_password
from overgrow.store.pruning import Retention
from overgrow.store.retrying_store import RetryingStore, TakenCounts

POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The limits of a writer: interval and size of batches, number of waiting records, and interval of deletions."""

    flush_s: float = 1.0
    batch_records: int = 500
    queue_records: int = 10_000
    prune_s: float = 60.0
    retention: Retention = field(default_factory=Retention)


@dataclass(frozen=True, slots=True)
class WriterCounts:
    """What a writer has done so far, for metrics. `problem` says why the store cannot be used; None if it can.

    Every record that `put` gets is accepted or dropped. Every accepted record is stored, refused or waiting.
    """

    accepted: int
    stored: int
    dropped: int
    refused: int
    waiting: int
    problem: str | None


class Writer:
    """Takes records from any thread and stores them. `counter_folder` is the folder of the loss counters."""

    def __init__(
        self,
        url: URL,
        counter_folder: Path | None = None,
        limits: BatchLimits | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._limits = limits or BatchLimits()
        self._store = RetryingStore(url, counter_folder, now)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._queue: list[Record] = []
        self._pending: list[Record] = []
        self._accepted = self._dropped = 0
        self._taken = TakenCounts(0, 0)
        self._pruned_at_s = time.monotonic()
        self._thread: threading.Thread | None = None
        self._closing = False

    def __repr__(self) -> str:
        return f"<Writer {without_password(self._store.url)}: {self.counts}>"

    @property
    def counts(self) -> WriterCounts:
        """The counts so far."""
        with self._lock:
            waiting = len(self._queue) + len(self._pending)
            accepted, dropped, refused = self._accepted, self._dropped, self._store.refused
        stored = accepted - waiting - refused
        return WriterCounts(accepted, stored, dropped, refused, waiting, self._store.problem)

    def put(self, record: Record) -> None:
        """Queue a record, or drop and count it. This method never waits for the store and never raises."""
        with self._lock:
            if self._is_full() or not self._start_thread():
                self._dropped += 1
            else:
                self._queue.append(record)
                self._accepted += 1
            self._store.note_counts(TakenCounts(self._accepted, self._dropped))
            due = len(self._queue) == self._limits.batch_records
        if due:
            self._wake.set()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until all records are stored. If that takes longer than `timeout_s`, return False."""
        deadline = time.monotonic() + timeout_s
        while self.counts.waiting and time.monotonic() < deadline:
            self._wake.set()
            time.sleep(0.005)
        return not self.counts.waiting

    def close(self, timeout_s: float = 5.0) -> bool:
        """Store the waiting records and end the thread. If some records are left after `timeout_s`, return False."""
        with self._lock:
            self._closing = True
            thread = self._thread
        self._wake.set()
        if thread is not None:
            thread.join(timeout_s)
        return not self.counts.waiting

    def _is_full(self) -> bool:
        waiting = len(self._queue) + len(self._pending)
        return self._closing or waiting >= self._limits.queue_records

    def _start_thread(self) -> bool:
        """If no thread runs yet, start one. If the system cannot start one, return False."""
        if self._thread is None:
            thread = threading.Thread(target=self._run_thread, name="overgrow-store", daemon=False)
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread
        return self._thread is not None

    def _run_thread(self) -> None:
        self._store.start_counting()
        with self._lock:
            self._store.note_counts(TakenCounts(self._accepted, self._dropped))
        pause_s = self._limits.flush_s
        while not self._is_ending():
            self._wait(pause_s)
            pause_s = self._limits.flush_s if self._store_waiting() else self._store.pause_s
        self._store_waiting()
        with self._lock:
            self._store.close(TakenCounts(self._accepted, self._dropped))

    def _wait(self, pause_s: float) -> None:
        """Wait for at most `pause_s`, or until the thread is woken or has to end."""
        until = time.monotonic() + pause_s
        while not self._is_ending() and not self._wake.is_set() and time.monotonic() < until:
            self._wake.wait(min(POLL_S, pause_s))
        self._wake.clear()

    def _is_ending(self) -> bool:
        # Without `close`, the interpreter waits for this thread to end.
        return self._closing or not threading.main_thread().is_alive()

    def _store_waiting(self) -> bool:
        """Store the waiting records. If the store is unavailable, return False."""
        while records := self._pending or self._take_queue():
            if not self._store.put(records, self._taken):
                return False
            with self._lock:
                self._pending = []
        self._prune()
        return True

    def _take_queue(self) -> list[Record]:
        with self._lock:
            self._pending, self._queue = self._queue, []
            self._taken = TakenCounts(self._accepted, self._dropped)
        return self._pending

    def _prune(self) -> None:
        """Delete old evidence every `prune_s`. If that fails, try again at the next time."""
        if time.monotonic() - self._pruned_at_s >= self._limits.prune_s:
            self._pruned_at_s = time.monotonic()
            self._store.prune(self._limits.retention)
