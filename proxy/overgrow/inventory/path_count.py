"""What is counted of one path: requests by method and status, clients, sizes, durations, times, kinds of callers.

A path is a template by `routing.path_template`: no token, hash or e-mail address is in it, and queries are never
kept. Counts of two paths can be added. Clients are counted in a bitmap of 1,024 hashes: a client cannot be found
out from it, few clients are counted exactly, and more than 5,000 only as "many".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

CLIENT_BITS = 1024
MAX_KINDS = 40  # methods with a status of one path
OTHER = "OTHER"
_WORST = 0.95
_MIX = 0x9E3779B1  # of Fibonacci hashing: 2**32 by the golden ratio


@dataclass(slots=True, eq=False)
class PathCount:
    """The counts of one path."""

    path: str
    example: str
    requests: int = 0
    by: dict[tuple[str, int], int] = field(default_factory=dict)  # (method, status) -> requests
    client_bits: int = 0
    first_at: float = math.inf
    last_at: float = 0.0
    bytes: int = 0
    durations: dict[int, int] | None = None  # bucket of 1/4 octave of milliseconds -> requests
    callers: dict[str, int] = field(default_factory=dict)
    last_caller: str = ""
    is_changed: bool = True

    @property
    def clients(self) -> int:
        """How many clients there were, about; at most 7,097."""
        free = CLIENT_BITS - self.client_bits.bit_count()
        return round(CLIENT_BITS * math.log(CLIENT_BITS / max(free, 1)))

    @property
    def methods(self) -> dict[str, int]:
        """The requests by method, the most frequent first."""
        return _sums((method, times) for (method, _), times in self.by.items())

    @property
    def statuses(self) -> dict[int, int]:
        """The requests by status, the most frequent first."""
        return _sums((status, times) for (_, status), times in self.by.items())

    @property
    def p95_s(self) -> float | None:
        """The 95th percentile of the duration, to a fifth; None if the log has no durations."""
        left = _WORST * sum((self.durations or {}).values())
        for bucket, times in sorted((self.durations or {}).items()):
            left -= times
            if left <= 0:
                return float(2 ** ((bucket + 1) / 4) / 1000)
        return None

    def add(self, other: PathCount) -> None:
        """Add the counts of another path."""
        self.requests += other.requests
        for kind, times in other.by.items():
            self.count_kind(kind, times)
        self.client_bits |= other.client_bits
        self.first_at = min(self.first_at, other.first_at)
        if other.last_at >= self.last_at:
            self.last_at, self.last_caller = other.last_at, other.last_caller
        self.bytes += other.bytes
        if other.durations:
            mine = self.durations = self.durations or {}
            for bucket, times in other.durations.items():
                mine[bucket] = mine.get(bucket, 0) + times
        for caller, times in other.callers.items():
            self.callers[caller] = self.callers.get(caller, 0) + times
        self.is_changed = True

    def count_kind(self, kind: tuple[str, int], times: int) -> None:
        """Count requests of a method with a status. The number of kinds is bounded."""
        if kind not in self.by and len(self.by) >= MAX_KINDS:
            kind = (OTHER, kind[1] // 100 * 100)
        self.by[kind] = self.by.get(kind, 0) + times

    def as_data(self) -> dict[str, Any]:
        """Return the counts as JSON data for the store."""
        by = {f"{method} {status}": times for (method, status), times in self.by.items()}
        durations = {str(bucket): times for bucket, times in (self.durations or {}).items()}
        return {
            "example": self.example,
            "by": by,
            "clients": f"{self.client_bits:x}",
            "bytes": self.bytes,
            "durations": durations,
            "callers": self.callers,
            "last_caller": self.last_caller,
        }


def path_count_from(
    path: str, requests: int, first_at: float, last_at: float, data: Mapping[str, Any]
) -> PathCount:
    """Return the counts that the store has of a path."""
    by = {}
    for kind, times in data["by"].items():
        method, _, status = kind.rpartition(" ")
        by[method, int(status)] = times
    durations = {int(bucket): times for bucket, times in data["durations"].items()}
    return PathCount(
        path,
        data["example"],
        requests,
        by,
        int(data["clients"], 16),
        first_at or math.inf,
        last_at,
        data["bytes"],
        durations or None,
        dict(data["callers"]),
        data["last_caller"],
        is_changed=False,
    )


def client_bit(client: bytes) -> int:
    """Return the bit of a client in the bitmap."""
    mixed = crc32(client) * _MIX & 0xFFFFFFFF  # neighbouring addresses have similar checksums
    return 1 << (mixed >> 22)


def duration_bucket(duration_s: float) -> int:
    """Return the bucket of a duration; two neighbours differ by a fifth."""
    return math.floor(4 * math.log2(max(duration_s * 1000, 0.1)))


def _sums(pairs: Any) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for name, times in pairs:
        found[name] = found.get(name, 0) + times
    return dict(sorted(found.items(), key=lambda item: (-item[1], str(item[0]))))
