"""Reads the failures of all workers by code and party, without reading the counts of each route."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path

from overgrow.observe.mapped_counters import UNREADABLE, read_entries

_KEY_BEGINS = '["overgrow_failures"'  # as the files name the metric
GONE = "gone"  # not a failure: the table asks for it


def read_failures(folder: Path) -> tuple[tuple[str, str, int], ...]:
    """Return (code, party, number), the most frequent first; the party is the one that caused the failures."""
    times: Counter[tuple[str, str]] = Counter()
    for path in folder.glob("counter_*.db"):
        with suppress(*UNREADABLE, TypeError, KeyError):
            for key, value, *_ in read_entries(str(path)):
                if key.startswith(_KEY_BEGINS):
                    labels = json.loads(key)[2]
                    times[labels["code"], labels["party"]] += int(value)
    return tuple(
        (code, party, count) for (code, party), count in times.most_common() if code != GONE
    )
