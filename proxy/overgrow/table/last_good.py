"""Keeps the last table that took effect, with the app that ran and the file from which the table was read.

`last-good.yaml` is its text, byte for byte, and `last-good.json` holds the rest. Both are replaced by a rename.
If the state folder cannot be written, the table takes effect all the same, but is not kept.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from overgrow.files import replace_file
from overgrow.table.reading.parse import revision_of
from overgrow.table.reading.table_file import read_table_file

LAST_GOOD = "last-good.yaml"
FACTS = "last-good.json"

Source = tuple[int, int] | None  # device and inode of the file a table was read from; None: unknown


class LastGood(NamedTuple):
    """The bytes of the last table that took effect.

    `app` is the app that ran with the table; None if no app was recorded.
    """

    data: bytes
    app: str | None = None
    source: Source = None


def read_last_good(state: Path) -> LastGood | None:
    """Return the last table that took effect; None if there is none."""
    try:
        data = read_table_file(state / LAST_GOOD)
    except OSError:
        return None
    try:
        facts = json.loads(read_table_file(state / FACTS))
        if facts["revision"] != revision_of(data):  # of the table before
            return LastGood(data)
        source = facts["source"] and (int(facts["source"][0]), int(facts["source"][1]))
        return LastGood(data, facts["app"] and str(facts["app"]), source)
    except (OSError, ValueError, TypeError, LookupError):
        return LastGood(data)


def keep_last_good(
    state: Path, data: bytes, *, app: str | None = None, source: Source = None
) -> None:
    """Keep a table that takes effect as the last good one.

    If `app` is None, the app that was recorded with the same table stays.
    """
    before = read_last_good(state)
    if before is None or before.data != data:
        if not _replace(state / LAST_GOOD, data):
            return
    elif app is None:
        app = before.app
    if (app or source) and before != LastGood(data, app, source):
        facts: dict[str, Any] = {"revision": revision_of(data), "app": app, "source": source}
        _replace(state / FACTS, json.dumps(facts).encode())


def _replace(target: Path, data: bytes) -> bool:
    """Replace a file. Return whether this was possible."""
    try:
        replace_file(target, data)
    except OSError:
        return False
    return True
