"""Records in the history that a table of the database changed its stage.

The stage is in data.yaml and in the database; the history only says who changed it, when, from where and why. Rollback
never undoes such an entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from overgrow.table.editing.history import HistoryEntry, append
from overgrow.table.live import utc_now

STAGE = "stage"  # the action of such an entry
TABLE_PREFIX = "data:"  # before the table's name, where other entries name a route


class StageChange(NamedTuple):
    """A change of stage: by whom, of which table, from where to where, and why."""

    who: str
    table: str
    from_: str
    to: str
    why: str | None


def record_stage(state: Path, descriptor: int, change: StageChange) -> HistoryEntry:
    """Append the entry to the locked history; raise OSError if it cannot be written."""
    facts = {
        "at": utc_now(),
        "who": change.who,
        "action": STAGE,
        "route": f"{TABLE_PREFIX}{change.table}",
        "from": change.from_,
        "to": change.to,
        **({"why": change.why} if change.why else {}),
    }
    return append(state, descriptor, facts)


def stages_since(entries: Sequence[HistoryEntry], key: str) -> list[HistoryEntry]:
    """Return the changes of stage after the entry with this key."""
    keys = [entry.key for entry in entries]
    after = entries[keys.index(key) + 1 :] if key in keys else ()
    return [entry for entry in after if entry.action == STAGE]
