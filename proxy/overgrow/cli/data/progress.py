"""The progress of a backfill on standard error: a bar in a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from overgrow.data.backfill import FillProgress
from overgrow.text import duration_text

TERMINAL_S = 0.2
LINE_S = 10.0
BAR = 24


class ProgressLine:
    """Shows where a backfill stands, not more often than a reader can use."""

    def __init__(self, table: str, now: Callable[[], float] = time.monotonic) -> None:
        self._table, self._now = table, now
        self._is_terminal = sys.stderr.isatty()
        self._shown_s = float("-inf")
        self._waits_for: str | None = None

    def show(self, progress: FillProgress) -> None:
        """Show a progress, if it is time or if something new holds the backfill up."""
        pause_s = TERMINAL_S if self._is_terminal else LINE_S
        is_new = progress.waits_for != self._waits_for or progress.state in ("done", "stopped")
        if not is_new and self._now() - self._shown_s < pause_s:
            return
        self._shown_s, self._waits_for = self._now(), progress.waits_for
        text = progress_text(self._table, progress)
        sys.stderr.write(f"\r\033[K{text}" if self._is_terminal else f"{text}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """End the line of a terminal."""
        if self._is_terminal:
            sys.stderr.write("\n")


def progress_text(table: str, progress: FillProgress) -> str:
    """Return a progress as a line: bar, rows, rate, and the time that is left."""
    share = min(1.0, progress.rows / progress.total) if progress.total else 1.0
    full = int(share * BAR)
    bar = "#" * full + "." * (BAR - full)
    text = f"{table} [{bar}] {progress.rows:,} of {progress.total:,} rows, {progress.rows_per_s:,.0f} rows/s"
    if progress.waits_for:
        return f"{text}, waits: {progress.waits_for}"
    left_s = progress.left_s
    return text if left_s is None or share == 1 else f"{text}, {duration_text(left_s)} left"
