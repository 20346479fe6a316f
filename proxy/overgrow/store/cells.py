"""Converts values for table cells: bounded text that both databases accept, bounded JSON, and hours.

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
    """Return the hour of a unix time, as a number."""
    return int(at // 3600)


def storable_text(text: str) -> str:
    """Return text that both databases accept in a key: limited in length, without NUL and lone surrogates."""
    data = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace")
    if len(data) <= MAX_KEY_BYTES:
        return data.decode()
    # PostgreSQL's index rows end at 2.7 kB; the hash keeps long texts with one beginning apart.
    start = data[: MAX_KEY_BYTES - 17].decode("utf-8", "ignore")
    return f"{start}~{hashlib.sha256(data).hexdigest()[:16]}"


def json_or_empty(data: Mapping[str, Any], max_chars: int = MAX_JSON_CHARS) -> str:
    """Return data as ASCII JSON. If the JSON is too long, or the data cannot be JSON, return NO_JSON."""
    try:
        text = json.dumps(dict(data))
    except (ValueError, TypeError, RecursionError):
        return NO_JSON
    return text if len(text) <= max_chars else NO_JSON
