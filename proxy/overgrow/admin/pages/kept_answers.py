"""Keeps slow answers, such as those of the store, for some seconds, so that all viewers share them."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")
MOST_KEPT = 32


class KeptAnswers:
    """Keeps answers for some seconds. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[Hashable, tuple[float, Any]] = {}
        self._lock = Lock()  # for two viewers at once the answer is made once

    def get(self, key: Hashable, keep_s: float, make: Callable[[], T]) -> T:
        """Return the answer for a key. If no answer is kept, or the kept answer is too old, make a new one."""
        with self._lock:
            until_s, answer = self._kept.get(key, (0.0, None))
            if key not in self._kept or self._clock() >= until_s:
                answer = make()
                self._kept.pop(key, None)
                while len(self._kept) >= MOST_KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[key] = (self._clock() + keep_s, answer)
            found: T = answer
            return found
