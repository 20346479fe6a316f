"""A cache of the results of a pure function. It limits the number of entries and the size of each entry.

Clients and upstreams choose the keys (names of headers, hosts, values), so that both limits are needed. If a
key is longer than `max_length`, its value is computed each time. A full cache is emptied.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(dict[K, V]):
    """`cache[key]` is `compute(key)`. A hit costs one dict look-up. If `compute` raises, the key is not cached."""

    __slots__ = ("_compute", "_length_of", "_max_entries", "_max_length")

    def __init__(
        self,
        compute: Callable[[K], V],
        *,
        max_entries: int,
        max_length: int,
        length_of: Callable[[K], int] | None = None,
    ) -> None:
        super().__init__()
        self._compute = compute
        self._max_entries = max_entries
        self._max_length = max_length
        self._length_of: Callable[[Any], int] = length_of or _length_of

    def __missing__(self, key: K) -> V:
        """Compute the value of a key, and keep the value if the key is short enough."""
        value = self._compute(key)
        if self._length_of(key) <= self._max_length:
            if len(self) >= self._max_entries:
                self.clear()
            self[key] = value
        return value


def _length_of(key: Sized) -> int:
    return len(key)
