"""A table that a flip is about to write, judged as the workers will: beside the table that took effect last."""

from __future__ import annotations

import time
from collections.abc import Mapping

from overgrow.table.editing.transaction import Turn
from overgrow.table.judging import Judged, kept_now, table_in
from overgrow.table.reading.parse import Loaded
from overgrow.table.reading.settling import STANDS_S, lost_end
from overgrow.table.reading.weakened import with_nothing_weakened


def beside_last_good(loaded: Loaded, turn: Turn, env: Mapping[str, str]) -> Judged:
    """Judge a table that is to be written in this turn beside the one that took effect last.

    `lost` is told only of a file that somebody wrote in place a moment ago.
    """
    kept, found = kept_now(turn.state), turn.found
    former = None if kept is None or kept.data == turn.data else table_in(kept, turn.config, env)
    if kept is None or former is None or loaded.table is None:
        return Judged(loaded, None)
    is_in_place = kept.source == (found.st_dev, found.st_ino)
    is_fresh = time.time() - max(found.st_mtime, found.st_ctime) < STANDS_S
    lost = lost_end(loaded.table, former) if is_in_place and is_fresh else None
    return Judged(with_nothing_weakened(loaded, str(turn.config), former), None, lost)
