"""Drops notes on canaries that a flip left in the table on purpose, so that a normal flip causes no warning.

A flip to migrated leaves the canary beside the target, so that a rollback finds it. A note says that such a
canary has no effect. If somebody wrote the canary by hand, the note stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path

from overgrow.files import ANSWER_S, within
from overgrow.table.editing.history import JOURNAL, History, read_history
from overgrow.table.reading.parse import ParsedTable
from overgrow.yaml_file.problem import Problem

DORMANT = "canary-dormant"


def without_flip_notes(loaded: ParsedTable, state: Path) -> ParsedTable:
    """Return a parsed table without the notes on canaries that a flip left in the table."""
    return loaded._replace(notes=drop_flip_notes(loaded.notes, state))


def drop_flip_notes(notes: Iterable[Problem], state: Path) -> tuple[Problem, ...]:
    """Return the notes except those on canaries that a flip left. If the history cannot be read, return all notes."""
    notes = tuple(notes)
    if all(note.code != DORMANT for note in notes):
        return notes
    try:
        left = _flipped_away(within(ANSWER_S, state / JOURNAL, partial(read_history, state)))
    except OSError:
        return notes
    return tuple(note for note in notes if note.code != DORMANT or note.route not in left)


def _flipped_away(history: History) -> Collection[str]:
    """Return the routes whose latest recorded change set the target to migrated or gone."""
    last: dict[str, str | None] = {}
    abandoned = {entry.undoes for entry in history.entries if entry.action == "abandoned"}
    for entry in history.entries:
        if entry.action in {"flip", "rollback"} and entry.key not in abandoned:
            for change in entry.changes:
                last[str(change.route or entry.route)] = entry.to
    return {route for route, to in last.items() if to in {"migrated", "gone"}}
