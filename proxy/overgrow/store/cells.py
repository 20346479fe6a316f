"""What a cell of a table holds: bounded text that both databases take, JSON within a bound, hours.

Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

MAX_KEY_BYTES = 300
MAX_JSON_CHARS = 64 * 1024
NO_JSON = "{}"

Row = Mapping[str, Any]


def hour_of(at: float) -> int:
    """The hour of a unix time, as a number."""
    return int(at // 3600)


def storable_text(text: str) -> str:
    """Text that both databases take as part of a key: no NUL, no half characters, not too long."""
    data = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace")
    if len(data) <= MAX_KEY_BYTES:
        return data.decode()
    # PostgreSQL's index rows end at 2.7 kB; the hash keeps long texts with one beginning apart.
    start = data[: MAX_KEY_BYTES - 17].decode("utf-8", "ignore")
    return f"{start}~{hashlib.sha256(data).hexdigest()[:16]}"


def json_or_empty(data: Mapping[str, Any], max_chars: int = MAX_JSON_CHARS) -> str:
    """Data as ASCII JSON; NO_JSON for what is too long or none."""
    try:
        text = json.dumps(dict(data))
    except (ValueError, TypeError, RecursionError):
        return NO_JSON
    return text if len(text) <= max_chars else NO_JSON
