"""Tables for people, as wide as the terminal; for a pipe one line per row, however long."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence

GAP = "  "
NARROWEST = 6  # a first column with less room than this stands above its row throughout


def columns(
    rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset(), width: int | None = None
) -> str:
    """Rows as aligned text, the columns numbered by `right` set flush right.

    Where that is wider than `width`, long first cells get a line of their own and the rest of
    their row stands below, still in its columns.
    """
    table = [list(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    rest = sum(widths[1:]) + len(GAP) * (len(widths) - 1)
    if width is not None and widths[0] + rest > width:
        widths[0] = width - rest if width - rest >= NARROWEST else 0
    return "\n".join(line for row in table for line in _lines(row, widths, right))


def _lines(row: list[str], widths: list[int], right: frozenset[int]) -> list[str]:
    above, cells = [], row
    if len(row[0]) > widths[0]:
        above, cells = [row[0]], ["", *row[1:]]
    padded = (
        cell.rjust(width) if at in right else cell.ljust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return [*above, GAP.join(padded).rstrip()]


def screen_width() -> int | None:
    """The columns of the terminal (COLUMNS beats it); None for a pipe or a file."""
    if os.environ.get("COLUMNS", "").isdigit() or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return None
