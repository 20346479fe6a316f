"""Reads the gauge file of each living worker: its present connections, calls of the app, and threads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from overgrow.observe.mapped_counters import UNREADABLE, read_entries


class WorkerGauges(NamedTuple):
    """The figures of one worker.

    They are zero for a worker that has just started, and for a worker of an earlier version.
    """

    connections: int = 0
    calls: int = 0  # of the migrated app: those that run and those that wait for a thread
    waiting: int = 0
    stuck_threads: int = 0
    last_look_s: int = 0  # unix time at which its watcher last looked at all its files

    @property
    def running(self) -> int:
        """How many calls run in a thread."""
        return max(0, self.calls - self.waiting)


_NAMES = {
    "overgrow_connections": "connections",
    "overgrow_local_threads_busy": "calls",
    "overgrow_local_calls_waiting": "waiting",
    "overgrow_local_threads_stuck": "stuck_threads",
    "overgrow_watcher_last_look_timestamp_seconds": "last_look_s",
}


def read_gauges(folder: Path, slots: Iterable[int]) -> Mapping[int, WorkerGauges]:
    """Return the gauges of the workers in these slots. If a file cannot be read, the gauges are zero."""
    return {slot: _read_slot(folder / f"gauge_livesum_{slot}.db") for slot in slots}


def _read_slot(path: Path) -> WorkerGauges:
    found: dict[str, int] = {}
    with suppress(*UNREADABLE, TypeError, KeyError):
        for key, value, *_ in read_entries(str(path)):
            name = json.loads(key)[0]
            if name in _NAMES:
                found[_NAMES[name]] = int(value)
    return WorkerGauges(**found)
