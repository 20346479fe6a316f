"""Formats text tables for people, at most as wide as the terminal.

In a pipe or a file, each row is one line of any length.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterable, Sequence
from itertools import zip_longest

GAP = "  "
MIN_FIRST_WIDTH = 6  # with less room, each first cell gets a line of its own
MIN_FOLDED_WIDTH = 12  # no other column is folded to less than this


def columns(
    rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset(), width: int | None = None
) -> str:
    """Return rows as aligned text; the columns whose numbers are in `right` are right-aligned.

    If the rows are wider than `width`, a long cell of the first column gets a line of its own, above the other cells
    of its row. If the rows are still too wide, long texts are folded.
    """
    table = [list(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    if width is not None:
        widths = _fit_widths(widths, right, width)
    return "\n".join(line for row in table for line in _lines(row, widths, right))


def _fit_widths(widths: list[int], right: Collection[int], width: int) -> list[int]:
    """Return widths at which a row fits if possible: shrink the first column, then the widest columns of text."""
    first, *others = widths
    spare = width - sum(others) - len(GAP) * len(others)
    if first <= spare:
        return widths
    if spare >= MIN_FIRST_WIDTH:
        return [spare, *others]
    texts = [at for at in range(1, len(widths)) if at not in right]
    fitted = [0, *others]
    while (
        spare < 0
        and texts
        and fitted[widest := max(texts, key=fitted.__getitem__)] > MIN_FOLDED_WIDTH
    ):
        fitted[widest] -= 1
        spare += 1
    return fitted


def _lines(row: list[str], widths: list[int], right: Collection[int]) -> list[str]:
    above, cells = [], row
    if len(row[0]) > widths[0]:
        above, cells = [row[0]], ["", *row[1:]]
    folded = [_fold_cell(cell, width) for cell, width in zip(cells, widths, strict=True)]
    return above + [_line(line, widths, right) for line in zip_longest(*folded, fillvalue="")]


def _fold_cell(cell: str, width: int) -> list[str]:
    """Return a cell as lines that are no wider than its column; break lines at blanks where possible."""
    return textwrap.wrap(cell, width, break_on_hyphens=False) if len(cell) > width else [cell]


def _line(cells: Sequence[str], widths: list[int], right: Collection[int]) -> str:
    padded = (
        cell.rjust(width) if at in right else cell.ljust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return GAP.join(padded).rstrip()


def screen_width() -> int | None:
    """Return the width of the terminal, or COLUMNS if set; None for a pipe or a file."""
    if os.environ.get("COLUMNS", "").isdigit() or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return None
