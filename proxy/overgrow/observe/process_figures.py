"""Reads the operating system's figures of a front door's process: processor time, memory, open files.

The worker that answers a scrape reads the figures of all processes, so that they are right even for a process
that hangs. Rule: a figure that cannot be read is missing, never 0. All figures are missing on systems other
than Linux.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")


class ProcessFigures(NamedTuple):
    """The figures of one process. A figure is None if this process may not read it."""

    cpu_s: float  # user and system time since it started
    resident_bytes: int
    started_s: float  # unix time, to a second
    open_fds: int | None
    max_fds: int | None


def read_process(pid: int, proc: Path = PROC) -> ProcessFigures | None:
    """Return the figures of a process; None if it has ended, or if there is no /proc."""
    try:
        # The name of the command stands in brackets, and may have brackets and spaces itself.
        fields = (proc / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        ticks_per_s = os.sysconf("SC_CLK_TCK")
        return ProcessFigures(
            cpu_s=(int(fields[11]) + int(fields[12])) / ticks_per_s,
            resident_bytes=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
            started_s=_boot_time_s(proc) + int(fields[19]) / ticks_per_s,
            open_fds=_count_fds(proc / str(pid) / "fd"),
            max_fds=_max_fds(proc / str(pid) / "limits"),
        )
    except (OSError, ValueError, IndexError):
        return None


def _boot_time_s(proc: Path) -> float:
    for line in (proc / "stat").read_text("utf-8").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    raise ValueError("no btime in /proc/stat")


def _count_fds(folder: Path) -> int | None:
    try:
        return len(os.listdir(folder))  # noqa: PTH208 - thousands of names, of which only the number is needed
    except OSError:  # of another user
        return None


def _max_fds(limits: Path) -> int | None:
    """Return the soft limit of open files; None if there is no limit, or it cannot be read."""
    with suppress(OSError, ValueError, IndexError):
        for line in limits.read_text("utf-8").splitlines():
            if line.startswith("Max open files"):
                return int(line.split()[3])
    return None
