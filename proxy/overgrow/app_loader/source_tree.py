"""Finds the source files below a folder, whether imported or not, for the automatic reload during development.

The files are found on disk, because the list of imported modules lacks a module whose import failed. The next
change of such a module must cause a reload.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path

MOST_FILES = 5_000
SOURCES = (".py", ".html", ".jinja", ".jinja2", ".j2")
_SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", "dist-packages", "venv"})

SourceTimes = Mapping[str, int]  # path -> when it was changed, in ns


def scan_sources(folder: Path) -> SourceTimes:
    """Return the time of the last change of each source file below a folder, for at most MOST_FILES files."""
    times: dict[str, int] = {}
    for path in _source_files(folder):
        with suppress(OSError):  # removed while we looked
            times[path] = os.stat(path).st_mtime_ns  # noqa: PTH116  thousands of them
        if len(times) >= MOST_FILES:
            break
    return times


def remove_stale_bytecode(folder: Path) -> None:
    """Remove cached bytecode that is older than its source.

    Python compares only whole seconds and sizes, so it would miss an edit that keeps the size within the same second.
    """
    for source in _source_files(folder):
        if source.endswith(".py"):
            cached = Path(cache_from_source(source))
            with suppress(OSError):
                if cached.stat().st_mtime_ns <= Path(source).stat().st_mtime_ns:
                    cached.unlink()


def _source_files(folder: Path) -> Iterator[str]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED and name[0] != "."]
        for name in names:
            if name.endswith(SOURCES):
                yield os.path.join(root, name)  # noqa: PTH118  as above
