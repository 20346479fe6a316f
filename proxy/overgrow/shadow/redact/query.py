"""Hides the values in the query of a URL that look like data. Names stay.

Pure. Rule: a value stays if it is a short number or plain words, and its name is not that of a credential. A
hidden value becomes `REDACTED`, as in the semantic conventions of OpenTelemetry.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from overgrow.shadow.redact.paths import looks_like_a_name, reads_like_a_secret

REDACTED = "REDACTED"
MAX_QUERY_CHARS = 2048

# What the conventions (1.44) hide by default; their case counts.
_SIGNATURES = frozenset(
    [
        "AWSAccessKeyId",
        "Signature",
        "X-Amz-Credential",
        "X-Amz-Security-Token",
        "X-Amz-Signature",
        "X-Goog-Signature",
        "sig",
    ]
)
_SHORT_NUMBER = re.compile(r"[0-9][0-9.:-]{0,9}")
_MAX_DIGITS = 8  # a longer number may be that of a person, an account or a card


def redact_query(query: str) -> str:
    """Return a query without the values that look like data; order and spelling of the rest are kept."""
    shown = "&".join(_redact_pair(part) for part in query[:MAX_QUERY_CHARS].split("&"))
    return shown if len(query) <= MAX_QUERY_CHARS else f"{shown}..."


def _redact_pair(part: str) -> str:
    raw_name, mark, raw_value = part.partition("=")
    name, value = unquote_plus(raw_name), unquote_plus(raw_value)
    if not looks_like_a_name(re.sub(r"[\[\].]", "_", name).strip("_")):
        return REDACTED if name else part[:1]
    if not mark or not value:
        return raw_name + mark
    is_hidden = name in _SIGNATURES or reads_like_a_secret(name) or not _is_plain(value)
    return f"{raw_name}={REDACTED if is_hidden else raw_value}"


def _is_plain(value: str) -> bool:
    """Whether a value is a short number, or words that a programmer or a reader could have written."""
    if _SHORT_NUMBER.fullmatch(value):
        return sum(map(str.isdigit, value)) <= _MAX_DIGITS
    return all(map(looks_like_a_name, re.split(r"[ ,]", value)))
