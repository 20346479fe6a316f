"""Judges a table that a flip is about to write. As in workers, it is compared with the last table that took effect."""

from __future__ import annotations

import time
from collections.abc import Mapping

from overgrow.table.editing.transaction import EditTransaction
from overgrow.table.judging import JudgedTable, parse_last_good, read_last_good_in_time
from overgrow.table.reading.parse import ParsedTable
from overgrow.table.reading.settling import STANDS_S, lost_end
from overgrow.table.reading.weakened import reject_weakened


def judge_beside_last_good(
    loaded: ParsedTable, transaction: EditTransaction, env: Mapping[str, str]
) -> JudgedTable:
    """Judge a table that is about to be written, compared with the last table that took effect.

    If somebody wrote the file in place a moment ago, it may be half-written, and the result may have `lost`.
    """
    kept, found = read_last_good_in_time(transaction.state), transaction.found
    former = (
        None
        if kept is None or kept.data == transaction.data
        else parse_last_good(kept, transaction.config, env)
    )
    if kept is None or former is None or loaded.table is None:
        return JudgedTable(loaded, None)
    is_in_place = kept.source == (found.st_dev, found.st_ino)
    is_fresh = time.time() - max(found.st_mtime, found.st_ctime) < STANDS_S
    lost = lost_end(loaded.table, former) if is_in_place and is_fresh else None
    return JudgedTable(reject_weakened(loaded, str(transaction.config), former), None, lost)
