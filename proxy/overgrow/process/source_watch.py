"""Automatic reload during development: notices that a source file was saved, and runs `overgrow reload`.

One worker watches, in a thread beside its event loop. Rule: this module decides only when to reload. The
command imports the code in a separate process. If a file is half-written, the command prints the fault on
standard error, and the workers keep serving the last good code.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from overgrow.app_loader.source_tree import SourceTimes, scan_sources

logger = logging.getLogger("overgrow")

POLL_S = 0.5


class SourceState(NamedTuple):
    """When each source file was last changed, and which app the table names.

    If one of these changes, a reload is due.
    """

    times: SourceTimes
    app: str | None


class SourceWatch:
    """Finds source code that has changed since the last reload and that nobody is writing any more."""

    def __init__(self, folder: Path, import_began_s: float) -> None:
        self._folder = folder
        self._began_ns = int(import_began_s * 1e9)
        self._seen: SourceState | None = None
        self._tried: SourceState | None = None

    def find_change(self, app: str | None) -> str | None:
        """Return a text on what has changed since the last reload.

        Return None if everything is the same, or if files still change. A change is returned once, as soon as two
        scans in a row have the same result.
        """
        found = SourceState(scan_sources(self._folder), app)
        if self._tried is None:  # the first look: what is older than the import runs already
            older = {path: at for path, at in found.times.items() if at <= self._began_ns}
            self._tried = SourceState(older, app)
        is_settled, self._seen = found == self._seen, found
        if not is_settled or found == self._tried:
            return None
        before, self._tried = self._tried, found
        return _describe(before, found, self._folder)


def _describe(before: SourceState, after: SourceState, folder: Path) -> str:
    names = before.times.keys() | after.times.keys()
    changed = sorted(name for name in names if before.times.get(name) != after.times.get(name))
    if not changed:
        return f"app: {after.app}"
    rest = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{Path(changed[0]).relative_to(folder)}{rest}"


def run_reload(config: Path, state: Path, what: str) -> None:
    """Run the command, which prints its result on standard error."""
    logger.info("reloading why=%r", f"{what} changed")
    words = [sys.executable, "-m", "overgrow.cli.main", "reload"]
    places = ["--config", str(config), "--state", str(state)]
    subprocess.run([*words, *places], stdin=subprocess.DEVNULL, check=False)  # noqa: S603 - our own command
