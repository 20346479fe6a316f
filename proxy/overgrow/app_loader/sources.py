"""The files from which a process has imported the team's app, and whether they have changed since the import.

Workers keep the app they started with. If somebody has edited the app since, a missing rule is not a mistake in the
table, so the message must say so and name the fix.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

_NOT_THE_TEAMS = ("site-packages", "dist-packages")


class ChangedSource(NamedTuple):
    """A file that has changed since it was imported.

    `changed_s` is the time of the change; it is None if the file is gone.
    """

    path: Path
    changed_s: float | None


class ImportedSources:
    """The team's modules as this process imported them, below the table's folder."""

    def __init__(self, folder: Path, began_s: float) -> None:
        self._folder = folder.resolve()
        self.imported_s = time.time()
        self.began_s = began_s  # what changed while it was imported may be in it or not
        self._times = {path: _changed_s(path) for path in _module_files(self._folder)}

    @property
    def paths(self) -> tuple[Path, ...]:
        """The source files of these modules."""
        return tuple(self._times)

    def find_changed(self) -> ChangedSource | None:
        """Return the file that was changed most recently after its import; None if no file has changed."""
        changed = [
            ChangedSource(path, now)
            for path, then in self._times.items()
            if (now := _changed_s(path)) != then or self._is_of_the_import(now)
        ]
        return max(changed, key=lambda each: each.changed_s or 0.0, default=None)

    def _is_of_the_import(self, changed_s: float | None) -> bool:
        return changed_s is not None and self.began_s < changed_s <= self.imported_s

    def describe_change(self) -> str | None:
        """Return a sentence that says when the app was imported and which file has changed since.

        Return None if all files are unchanged.
        """
        found = self.find_changed()
        if found is None:
            return None
        name = found.path.relative_to(self._folder)
        when = "is gone" if found.changed_s is None else f"changed at {_clock(found.changed_s)}"
        return f"the workers imported the app at {_clock(self.imported_s)}, and {name} {when}"


def _module_files(folder: Path) -> Iterator[Path]:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "overgrow":
            continue
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py"):
            continue
        path = Path(file)
        if path.is_relative_to(folder) and not set(path.parts) & set(_NOT_THE_TEAMS):
            yield path


def _changed_s(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _clock(at_s: float) -> str:
    """Return a local time as HH:MM:SS, preceded by the date if it is not today."""
    then = datetime.fromtimestamp(at_s).astimezone()
    is_today = then.date() == datetime.now().astimezone().date()
    return then.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S")
