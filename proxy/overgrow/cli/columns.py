"""Tables for people, as wide as the terminal; for a pipe one line per row, however long."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterable, Sequence
from itertools import zip_longest

GAP = "  "
NARROWEST = 6  # a first column with less room than this stands above its row throughout
FOLDED = 12  # another column is never folded to less than this


def columns(
    rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset(), width: int | None = None
) -> str:
    """Rows as aligned text, the columns numbered by `right` set flush right.

    Where that is wider than `width`, long first cells get a line of their own and the rest of
    their row stands below, still in its columns; where that does not do, long texts are folded.
    """
    table = [list(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    if width is not None:
        widths = _fit_widths(widths, right, width)
    return "\n".join(line for row in table for line in _lines(row, widths, right))


def _fit_widths(widths: list[int], right: Collection[int], width: int) -> list[int]:
    """The widths made to fit, as far as that can be done: the first, then the widest of the texts."""
    first, *others = widths
    spare = width - sum(others) - len(GAP) * len(others)
    if first <= spare:
        return widths
    if spare >= NARROWEST:
        return [spare, *others]
    texts = [at for at in range(1, len(widths)) if at not in right]
    fitted = [0, *others]
    while spare < 0 and texts and fitted[widest := max(texts, key=fitted.__getitem__)] > FOLDED:
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
    """A cell as lines of its column, broken between words where there are any."""
    return textwrap.wrap(cell, width, break_on_hyphens=False) if len(cell) > width else [cell]


def _line(cells: Sequence[str], widths: list[int], right: Collection[int]) -> str:
    padded = (
        cell.rjust(width) if at in right else cell.ljust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return GAP.join(padded).rstrip()


def screen_width() -> int | None:
    """The columns of the terminal (COLUMNS beats it); None for a pipe or a file."""
    if os.environ.get("COLUMNS", "").isdigit() or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return None
