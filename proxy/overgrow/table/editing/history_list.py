"""Lists the history, the latest entry first.

A row says what undid the entry, and whether it still waits to be recorded. Pure. The command line, the API and
the page show the same rows. If a kill or resume could not be recorded yet, because another process held the
history, it is a row too, because it took effect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from overgrow.table.editing.history import History, HistoryEntry
from overgrow.table.editing.unrecorded import ACTIONS, Note

FLIPS = ("flip", "rollback")
TARGETS = ("legacy", "migrated", "gone")
WAITING = "not in the history yet; it took effect all the same"


class HistoryRow(NamedTuple):
    """One entry of the history.

    If another entry undid it, `undone_at` and `undone_by` are the time and author of that entry.
    """

    entry: HistoryEntry
    undone_at: str | None = None
    undone_by: str | None = None
    is_recorded: bool = True

    @property
    def is_abandoned(self) -> bool:
        """Whether the flip never took effect."""
        return self.undone_at is not None and self.undone_by is None

    def as_json(self) -> dict[str, Any]:
        """Return the row as `overgrow history --json` and /api/flips show it."""
        entry = self.entry
        return {
            "at": entry.at,
            "who": entry.who,
            "action": entry.action,
            "route": entry.route,
            "from": entry.from_,
            "to": entry.to,
            "before": entry.before,
            "after": entry.after,
            "why": entry.why,
            "evidence": entry.evidence,
            "overruled": list(entry.overruled),
            "undone": self.undone_at,
            "undone_by": self.undone_by,
            "recorded": self.is_recorded,
        }


def list_history(
    history: History, notes: Sequence[Note], route: str | None, *, with_kills: bool = False
) -> list[HistoryRow]:
    """Return the rows of a route or group:NAME, or all rows, the latest first.

    `notes` are kills and resumes that may not be recorded yet. With `with_kills`, kills and resumes belong to every
    route.
    """
    undone = {entry.undoes: entry for entry in history.entries if entry.undoes}
    recorded = {entry.id for entry in history.entries if entry.id}
    waiting = [_entry_of(note) for note in notes if note["id"] not in recorded]
    rows = [HistoryRow(entry, is_recorded=False) for entry in waiting]
    rows = [*(_row(entry, undone) for entry in history.entries), *rows]
    return [row for row in reversed(rows) if _is_about(row.entry, route, with_kills=with_kills)]


def count_flips(entries: Sequence[HistoryEntry]) -> dict[tuple[str, str], int]:
    """Return {(route, target): number of flips and rollbacks to this target}. A flip to a canary counts for `canary`.

    A flip of a group counts for each of its routes. A flip that never took effect counts too, because it was made.
    """
    counted: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        to = entry.to if entry.to in TARGETS else "canary"
        counted.update((route, to) for route in _flipped_routes(entry))
    return dict(counted)


def last_flips(entries: Sequence[HistoryEntry]) -> dict[str, str]:
    """Return {route: when it was last flipped or rolled back}."""
    return {route: entry.at for entry in entries for route in _flipped_routes(entry)}


def _flipped_routes(entry: HistoryEntry) -> set[str]:
    if entry.action not in FLIPS or not entry.route:
        return set()
    return {change.route or entry.route for change in entry.changes} or {entry.route}


def _row(entry: HistoryEntry, undone: Mapping[str, HistoryEntry]) -> HistoryRow:
    undoing = undone.get(entry.key)
    if undoing is None:
        return HistoryRow(entry)
    return HistoryRow(entry, undoing.at, None if undoing.action == "abandoned" else undoing.who)


def _is_about(entry: HistoryEntry, route: str | None, *, with_kills: bool) -> bool:
    """Whether an entry is about a route, or about a group to which the route belonged."""
    if route is None or (with_kills and entry.action in ACTIONS):
        return True
    return route == entry.route or any(change.route == route for change in entry.changes)


def _entry_of(note: Note) -> HistoryEntry:
    """Return a waiting note as an entry of the history, but without a hash."""
    facts = {"at": note["at"], "who": note["who"], "action": note["action"]}
    return HistoryEntry(
        key=note["id"],
        prev="",
        **facts,
        route=None,
        from_=None,
        to=None,
        before=None,
        after=None,
        why=note.get("why"),
        id=note["id"],
    )
