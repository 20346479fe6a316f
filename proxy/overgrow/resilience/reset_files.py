"""Resets breakers by a file, `<state>/breakers/ROUTE.reset`: a command touches the file, and every worker sees this.

A file reaches all workers without a channel between them, and it works when the admin listener does not
respond. The file's modification time is the time of the latest request for a reset. Nobody deletes the file:
each worker resets the breakers once whenever the modification time changes.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

FOLDER = "breakers"
_SUFFIX = ".reset"


def request_reset(state: Path, route: str) -> Path:
    """Ask every worker to close the breakers of a route; workers check once a second.

    Raises:
        OSError: the state folder cannot be written.

    """
    file = state / FOLDER / f"{route}{_SUFFIX}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return file


class ResetWatcher:
    """The reset files that one worker has seen. Files that are older than the worker are ignored."""

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER
        self._seen = self._times()

    def new_requests(self) -> list[str]:
        """Return the routes whose reset was requested since the last call."""
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
