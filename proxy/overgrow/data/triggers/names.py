"""The names of our triggers and functions in the database of both apps."""

from __future__ import annotations

import hashlib

MAX_BYTES = 63
PREFIX = "overgrow"


def object_name(table: str, role: str) -> str:
    """Return the name of a trigger or function of a table that moves; a long name is cut and gets a hash."""
    name = f"{PREFIX}_{table}_{role}"
    if len(name.encode()) <= MAX_BYTES:
        return name
    short = hashlib.sha256(table.encode()).hexdigest()[:10]
    cut = table.encode()[: MAX_BYTES - len(f"{PREFIX}__{short}_{role}")].decode(errors="ignore")
    return f"{PREFIX}_{cut}_{short}_{role}"
