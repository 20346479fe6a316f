"""Gives a folder of counters a name. Under this name, the store remembers which counts it has stored.

The name is made before the counters, so that all their counts belong to it. If counters have no name, an
earlier version made them, or the name was removed: nobody knows whether the store has their counts.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_FILE = "history.json"


class CounterIdentity(NamedTuple):
    """The name of a folder of counters.

    `is_new` says that all counts of the folder belong to the name and are still to be stored.
    """

    name: str
    is_new: bool


def identify_counters(folder: Path) -> CounterIdentity:
    """Return the identity of a folder; create a missing one. Call this function before the counters are opened.

    Raises:
        OSError: if the folder cannot be used.

    """
    known = _read(folder)
    if known is None:
        folder.mkdir(parents=True, exist_ok=True)
        is_new = not any(folder.glob("histogram_*.db"))
        keep_identity(folder, CounterIdentity(secrets.token_hex(8), is_new))
        known = _read(folder)
    return known or CounterIdentity(secrets.token_hex(8), is_new=False)


def keep_identity(folder: Path, identity: CounterIdentity) -> None:
    """If the folder has no identity, write this one.

    Raises:
        OSError: if it cannot be written.

    """
    draft = folder / f"{_FILE}.{os.getpid()}.new"
    draft.write_text(json.dumps(identity._asdict()), encoding="utf-8")
    try:
        with suppress(FileExistsError):  # another worker was first
            (folder / _FILE).hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)


def confirm_identity(folder: Path, name: str) -> None:
    """Write that the store has counts of this name, so that a later loss of these counts is noticed.

    Raises:
        OSError: if it cannot be written.

    """
    draft = folder / f"{_FILE}.new"
    draft.write_text(json.dumps(CounterIdentity(name, is_new=False)._asdict()), encoding="utf-8")
    draft.replace(folder / _FILE)


def has_identity(folder: Path) -> bool:
    """Whether the folder has an identity."""
    return (folder / _FILE).exists()


def _read(folder: Path) -> CounterIdentity | None:
    """Return the identity; None if there is none. A garbled identity is removed."""
    path = folder / _FILE
    try:
        found = json.loads(path.read_bytes())
        return CounterIdentity(str(found["name"]), bool(found["is_new"]))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        path.unlink(missing_ok=True)
        return None
