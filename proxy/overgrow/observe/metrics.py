"""Counters and histograms of every worker, in memory-mapped files that outlive it.

Each worker slot, not each process, has one set of files. A worker that boots in slot 2 continues the files of the
worker that had slot 2 before. So the number of files stays bounded, and totals stay exact over restarts. They are
exact even after kill -9, because the kernel writes a mapped page to its file. Gauges are the exception: they start
again with each worker, and a scrape leaves out those of slots that nobody holds.

The files have the format of prometheus_client's multiprocess mode; overgrow.observe.exposition reads them. The library's global
switch (an environment variable read at import) is not used, because it would also change the metrics of the app we
serve. Labels are route names, never paths, so that a client cannot make new series.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from prometheus_client.mmap_dict import mmap_key

from overgrow.exchange import Exchange, Failure
from overgrow.observe.counted_families import LE
from overgrow.observe.mapped_counters import Cell, Ledger, add_counts_of, open_ledger
from overgrow.observe.metric_list import BUCKETS_S, METRICS
from overgrow.observe.recent_counts import RecentCounts, Ring
from overgrow.observe.recent_rates import Gain

__all__ = ["BUCKETS_S", "METRICS", "Metrics", "is_error"]


def is_error(status: int, failure: Failure | None) -> bool:
    """Whether the user got an error: a 5xx of the front door or of a side, or a response that broke off."""
    return status >= 500 or (failure is not None and failure.party in ("legacy", "migrated"))


class _LedgerFiles:
    """The ledgers of one slot. Each ledger is opened when it is first needed."""

    def __init__(self, folder: Path, slot: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"gauge_livesum_{slot}.db").unlink(missing_ok=True)
        self._folder, self._slot = folder, slot
        self._ledgers: dict[str, Ledger] = {}

    def cell(self, kind: str, key: str) -> Cell:
        prefix = "gauge_livesum" if kind in ("gauge", "slot") else kind
        ledger = self._ledgers.get(prefix)
        if ledger is None:
            ledger = self._ledgers[prefix] = open_ledger(self._folder / f"{prefix}_{self._slot}.db")
        return ledger.cell(key)

    @property
    def location(self) -> tuple[Path, int]:
        """The folder of these files, and their slot."""
        return self._folder, self._slot

    def lost_ledgers(self, folder: Path) -> list[Ledger]:
        """Return the ledgers that a reader of `folder` cannot find: they were removed or are in another folder."""
        ledgers = list(self._ledgers.values())
        return [one for one in ledgers if folder != self._folder or one.was_removed]

    def reopen(self, folder: Path, slot: int) -> _LedgerFiles:
        """Open files of the same kinds for `slot` in `folder`. Missing files are created."""
        files = _LedgerFiles(folder, slot)
        for prefix in list(self._ledgers):
            files._ledgers[prefix] = open_ledger(folder / f"{prefix}_{slot}.db")
        return files

    def add_lost_counts(self, lost: Sequence[Ledger], files: _LedgerFiles) -> None:
        """Add the numbers of the ledgers of `files` that are in `lost`."""
        for prefix, ledger in files._ledgers.items():
            if ledger in lost:
                add_counts_of(self._ledgers[prefix], ledger)

    def close(self) -> None:
        for ledger in self._ledgers.values():
            ledger.close()
        self._ledgers.clear()


class _Series(NamedTuple):
    """All counters for one combination of route, side and status."""

    requests: Cell
    seconds_sum: Cell
    seconds: tuple[Cell, ...]  # one per bucket
    request_bytes: Cell
    response_bytes: Cell
    errors: Cell
    recent: Ring


class _CountsAtGain(NamedTuple):
    """The counts of one route and side at the last call of `take_gains`."""

    seconds: Cell
    seconds_sum: float  # the value of `seconds` then
    counts: tuple[float, ...]  # errors, then the buckets


class Metrics:
    """A Sink that counts every exchange for one worker slot. Thread-safe; counting an exchange takes about 2 us."""

    def __init__(self, folder: Path, slot: int) -> None:
        self._files = _LedgerFiles(folder, slot)
        self._recent = RecentCounts(folder, slot)
        self._lock = Lock()
        self._series: dict[tuple[str, str, int], _Series] = {}
        self._cells: dict[tuple[str, ...], Cell] = {}
        self._taken: dict[tuple[str, str], _CountsAtGain] = {}  # at the last `take_gains`

    # Map 17 (docs/architecture.md#a-request-by-numbers)
    def record(self, exchange: Exchange) -> None:
        """Count one exchange."""
        decision, status, failure = exchange.decision, exchange.status, exchange.failure
        duration_s, route = exchange.duration_s, decision.route
        key = (route.name if route else "default", decision.side, status)
        with self._lock:
            series = self._series.get(key)
            if series is None:
                series = self._series[key] = self._series_of(key)
            # Not by Cell.add, because these three numbers change with every request.
            cell = series.requests
            cell.doubles[cell.at] += 1
            cell = series.seconds_sum
            cell.doubles[cell.at] += duration_s
            cell = series.seconds[bisect_left(BUCKETS_S, duration_s)]
            cell.doubles[cell.at] += 1
            series.recent.count(exchange.started_at)
            if exchange.request_bytes:
                series.request_bytes.add(exchange.request_bytes)
            if exchange.response_bytes:
                series.response_bytes.add(exchange.response_bytes)
            if failure is not None:
                self._count_failure(failure)
                if failure.code == "client-timeout":
                    place = (decision.route_name, decision.side, failure.party)
                    self._cell("overgrow_client_timeouts_total", *place).add(1)
            fell = exchange.fallback
            if fell is not None:
                self._cell("overgrow_fallbacks_total", decision.route_name, fell.code).add(1)
            if is_error(status, failure):
                series.errors.add(1)

    def count_failure(self, failure: Failure) -> None:
        """Count a failure without an exchange: the server itself refused the request."""
        with self._lock:
            self._count_failure(failure)

    def _count_failure(self, failure: Failure) -> None:
        self._cell("overgrow_failures_total", failure.code, failure.party).add(1)

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a counter of METRICS that has no labels."""
        with self._lock:
            self._cell(name).add(amount)

    def add(self, name: str, *labels: str) -> None:
        """Add one to a counter of METRICS, with values for its labels in their order."""
        with self._lock:
            self._cell(name, *labels).add(1)

    def set(self, name: str, value: float) -> None:
        """Set this worker's part of a gauge of METRICS. A scrape adds up the parts of all living workers, or shows each."""
        with self._lock:
            self._cell(name).set(value)

    def repair_files(self, folder: Path, slot: int) -> None:
        """Continue in the files of `slot` in `folder`. If readers no longer find the former files, add their counts.

        This method calls the file system: do not call it in the event loop.
        """
        with self._lock:
            files, recent = self._files, self._recent
        lost = files.lost_ledgers(folder)
        if (folder, slot) == files.location and not lost and not recent.was_removed:
            return
        again, rings = files.reopen(folder, slot), RecentCounts(folder, slot)
        with self._lock:
            again.add_lost_counts(lost, files)
            self._files, self._recent = again, rings
            self._series.clear()
            self._cells.clear()
            self._taken = {place: self._take_counts(*place) for place in self._taken}
        files.close()
        recent.close()

    def take_gains(self) -> list[Gain]:
        """Return what each route and side has gained since the last call."""
        gains = []
        for place, before in tuple(self._taken.items()):
            if before.seconds.value == before.seconds_sum:  # it grows with every request
                continue
            with self._lock:  # for one place at a time: requests wait for this lock
                now = self._taken[place] = self._take_counts(*place)
            pairs = zip(now.counts, before.counts, strict=True)
            errors, *buckets = (int(one - was) for one, was in pairs)
            gains.append(Gain(*place, errors, tuple(buckets)))
        return gains

    def _take_counts(self, route: str, side: str) -> _CountsAtGain:
        seconds = self._cell("overgrow_request_duration_seconds_sum", route, side)
        return _CountsAtGain(seconds, seconds.value, self._read_counts(route, side))

    def _read_counts(self, route: str, side: str) -> tuple[float, ...]:
        """Return the errors and the buckets of a route and side."""
        name = "overgrow_request_duration_seconds_bucket"
        buckets = (self._cell(name, route, side, le).value for le in LE)
        return (self._cell("overgrow_errors_total", route, side).value, *buckets)

    def close(self) -> None:
        """Close the files, which keep their counts. Do not record afterwards."""
        with self._lock:
            self._series.clear()
            self._cells.clear()
            self._files.close()
            self._recent.close()

    def _series_of(self, key: tuple[str, str, int]) -> _Series:
        route, side, status = key
        if (route, side) not in self._taken:
            self._taken[route, side] = self._take_counts(route, side)
        return _Series(
            self._cell("overgrow_requests_total", route, side, str(status)),
            self._cell("overgrow_request_duration_seconds_sum", route, side),
            tuple(
                self._cell("overgrow_request_duration_seconds_bucket", route, side, le) for le in LE
            ),
            self._cell("overgrow_request_bytes_total", route, side),
            self._cell("overgrow_response_bytes_total", route, side),
            self._cell("overgrow_errors_total", route, side),
            self._recent.ring(route, side),
        )

    def _cell(self, sample: str, *values: str) -> Cell:
        cell = self._cells.get((sample, *values))
        if cell is None:
            name = sample.removesuffix("_sum").removesuffix("_bucket")
            kind, text, labels = METRICS[name]
            if sample.endswith("_bucket"):
                labels = (*labels, "le")
            key = mmap_key(name.removesuffix("_total"), sample, [*labels], [*values], text)
            cell = self._cells[(sample, *values)] = self._files.cell(kind, key)
        return cell
