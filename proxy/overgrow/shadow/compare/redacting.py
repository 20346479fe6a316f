"""Reduces two responses and their differences to what may be stored, by the family of each body.

Pure. redact/redact.py decides what is hidden; this module passes the family of a body to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from overgrow.shadow.compare.families import body_family_of
from overgrow.shadow.redact.redact import (
    RedactedPair,
    RedactedRequest,
    RedactedResponse,
    redact_difference,
    redact_response_by_family,
)
from overgrow.shadow.values.difference import Difference
from overgrow.shadow.values.snapshot import ResponseSnapshot


def redact_pair(
    request: RedactedRequest,
    control: ResponseSnapshot,
    candidate: ResponseSnapshot,
    differences: Iterable[Difference],
    show: frozenset[str] = frozenset(),
) -> RedactedPair:
    """Return two responses and their differences as they may be stored, logged and shown.

    `show` lists exact JSON paths, such as `$.items[*].status`, whose values stay readable.
    """
    return RedactedPair(
        request,
        redact_response(control, show),
        redact_response(candidate, show),
        tuple(redact_difference(each, show) for each in differences),
    )


def redact_response(
    response: ResponseSnapshot, show: frozenset[str] = frozenset()
) -> RedactedResponse:
    """Return the part of one response that may be stored: status, names of headers, the structure of the body."""
    return redact_response_by_family(body_family_of(response), response, show)
