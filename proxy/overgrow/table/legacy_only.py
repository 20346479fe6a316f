"""The table of a front door that was started without one: everything goes to legacy.

It replaces the file as long as no file took effect. A file that is removed later is a problem as usual: its
table stays in use.
"""

from __future__ import annotations

import json
from pathlib import Path

from overgrow.table.last_good import LastGood
from overgrow.table.reading.table_file import read_table_file


def legacy_only_table(url: str) -> bytes:
    """The text of such a table, for an address that is valid as legacy.url."""
    return f"version: 1\nlegacy:\n  url: {json.dumps(url)}\n".encode()


def read_table_or(legacy_only: bytes | None, config: Path) -> bytes:
    """The bytes of the file, or what stands for it where there is none.

    Raises:
        OSError: where there is nothing to stand for it, or the file cannot be read.

    """
    try:
        return read_table_file(config)
    except FileNotFoundError:
        if legacy_only is None:
            raise
        return legacy_only


def legacy_only_for_boot(legacy_only: bytes | None, kept: LastGood | None) -> bytes | None:
    """What may stand for a file in a worker that boots: only what ran last, or where nothing ran yet."""
    return legacy_only if kept is None or kept.data == legacy_only else None
