"""The queue of copies that wait to be sent. It is bounded in number, and routes with few comparisons come first.

Pure. The route with the fewest comparisons goes first, until it has as many comparisons as a gate usually
requires. Among routes with that many, the oldest copy goes first. If the queue is full, a copy of a quiet route
replaces a copy of the busiest route.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator

from overgrow.shadow.sampling import Copy

ENOUGH_COMPARISONS = 299  # as `require: {clean: 299}`; more comparisons give no priority


class CopyQueue:
    """The waiting copies of each route. At most `max_copies` wait in all."""

    def __init__(self, max_copies: int) -> None:
        self._max_copies = max_copies
        self._waiting: dict[str, deque[Copy]] = {}
        self._compared: Counter[str] = Counter()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def count_comparison(self, route: str) -> None:
        """Count a comparison of a route."""
        self._compared[route] += 1

    def has_room_for(self, route: str) -> bool:
        """Return whether the queue would accept a copy of this route.

        A full queue accepts a copy only if another route has more copies waiting.
        """
        return (
            self._size < self._max_copies
            or len(self._waiting.get(route, ())) < self._longest_route_queue_length
        )

    def add_and_evict(self, copy: Copy) -> Copy | None:
        """Add a copy.

        If the queue is full, return the copy that is dropped, which may be the new one; else return None.
        """
        if not self.has_room_for(copy.route.name):
            return copy
        gone = None
        if self._size >= self._max_copies:
            busiest = max(self._waiting, key=lambda name: len(self._waiting[name]))
            gone = self._pop_oldest_of(busiest)
        self._waiting.setdefault(copy.route.name, deque()).append(copy)
        self._size += 1
        return gone

    def pop_next(self) -> Copy:
        """Remove and return the next copy."""
        return self._pop_oldest_of(min(self._waiting, key=self._route_priority))

    def pop_all(self) -> Iterator[Copy]:
        """Remove and yield all copies."""
        while self._size:
            yield self._pop_oldest_of(next(iter(self._waiting)))

    @property
    def _longest_route_queue_length(self) -> int:
        return max(map(len, self._waiting.values()), default=0)

    def _route_priority(self, route: str) -> tuple[int, float]:
        return min(self._compared[route], ENOUGH_COMPARISONS), self._waiting[route][0].since_s

    def _pop_oldest_of(self, route: str) -> Copy:
        line = self._waiting[route]
        copy = line.popleft()
        if not line:
            del self._waiting[route]
        self._size -= 1
        return copy
