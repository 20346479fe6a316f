"""Durations as people write them: `500ms`, `90s`, `5m`, `8h`, `7d`.

Pure. Each field or option decides which units and which lengths it accepts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

UNITS_S: Mapping[str, float] = MappingProxyType(
    {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
)
# Bounds for how far two times lie apart: a person takes the next of these in, and no odd number.
ROUND_BOUNDS_S = (1, 2, 5, 10, 30, 60, 300, 900, 3_600)
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")


def parse_duration_s(text: str, *units: str) -> float | None:
    """Return the seconds of a text such as `90s`: a whole number and one of the given units.

    None for any other text.
    """
    found = _DURATION.fullmatch(text)
    if found is None or found[2] not in units:
        return None
    return int(found[1]) * UNITS_S[found[2]]


def write_duration(seconds: int) -> str:
    """Return whole seconds as a duration in the largest unit that fits: `90s`, `5m`, `1h`."""
    for unit in ("h", "m"):
        if seconds and seconds % UNITS_S[unit] == 0:
            return f"{seconds // int(UNITS_S[unit])}{unit}"
    return f"{seconds}s"
