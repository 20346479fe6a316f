"""A reset by file: `<state>/breakers/ROUTE.reset`, touched by whoever resets, seen by every worker.

A file reaches all workers with no channel between them, works when the admin listener does not
answer, and leaves its time as a trace. Nobody deletes it: a worker acts when its time changes, so
that each acts once.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

FOLDER = "breakers"
_SUFFIX = ".reset"


def request_reset(state: Path, route: str) -> Path:
    """Ask every worker to close the breakers of a route; they look once a second.

    Raises:
        OSError: the state folder cannot be written.

    """
    file = state / FOLDER / f"{route}{_SUFFIX}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return file


class ResetWatcher:
    """What one worker has seen of the reset files. Those older than the worker do not count."""

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER
        self._seen = self._times()

    def new_requests(self) -> list[str]:
        """The routes asked for since the last look."""
        times = self._times()
        asked = [route for route, time_ns in times.items() if self._seen.get(route) != time_ns]
        self._seen = times
        return sorted(asked)

    def _times(self) -> dict[str, int]:
        times = {}
        for file in self._folder.glob(f"*{_SUFFIX}"):
            with suppress(OSError):  # removed while we looked
                times[file.name.removesuffix(_SUFFIX)] = file.stat().st_mtime_ns
        return times
