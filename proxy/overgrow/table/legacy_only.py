"""The table of a front door that was started without one: everything goes to legacy.

This table is used until a file takes effect. If that file is removed later, a problem is reported, and the
file's table stays in use.
"""

from __future__ import annotations

import json
from pathlib import Path

from overgrow.table.last_good import LastGood
from overgrow.table.reading.table_file import read_table_file


def legacy_only_table(url: str) -> bytes:
    """Return the text of a table that sends everything to legacy at this valid address."""
    return f"version: 1\nlegacy:\n  url: {json.dumps(url)}\n".encode()


def read_table_or(legacy_only: bytes | None, config: Path) -> bytes:
    """Return the bytes of the file, or `legacy_only` if the file does not exist.

    Raises:
        OSError: if the file cannot be read, or if it does not exist and `legacy_only` is None.

    """
    try:
        return read_table_file(config)
    except FileNotFoundError:
        if legacy_only is None:
            raise
        return legacy_only


def legacy_only_for_boot(legacy_only: bytes | None, kept: LastGood | None) -> bytes | None:
    """Return the table that a booting worker may use instead of a missing file, or None.

    The legacy-only table may be used if it was the last table that took effect, or if no table has taken effect
    yet.
    """
    return legacy_only if kept is None or kept.data == legacy_only else None
