"""Which calls make large answers, and how many of them may be made at once while memory is short.

Rule: nobody knows an answer's size before it is made, but a route whose last answer was large will
make another one. While unsent answers fill their bound such calls are made one by one and not in
all threads at once; calls of other routes overtake them.
"""

from __future__ import annotations

from overgrow.wsgi.unsent_memory import LARGE_BYTES, UnsentMemory

AT_ONCE_BYTES = 16 * 1024 * 1024  # made at the same time while memory is short, or one call
MAX_ROUTES = 1024  # remembered; past that all are forgotten


class LargeResponseLimiter:
    """What the routes of one pool answer in one piece, and what is being made now."""

    def __init__(self, unsent: UnsentMemory) -> None:
        self._unsent_memory = unsent
        self._sizes: dict[str, int] = {}  # of routes whose answers are large
        self._making_bytes = 0

    def begin(self, route: str) -> int | None:
        """Count a call and return what it is expected to answer, in bytes; None: let it wait."""
        expected = self._sizes.get(route, 0)
        if not expected:
            return 0
        with self._unsent_memory.changed:
            making = self._making_bytes + expected
            is_short = not self._unsent_memory.has_room_locked(making)
            if is_short and self._making_bytes and making > AT_ONCE_BYTES:
                return None
            self._making_bytes = making
        return expected

    def finish(self, route: str, expected: int, size: int) -> None:
        """Count a call no more, and remember what it answered in one piece."""
        if not expected and size < LARGE_BYTES:
            return
        with self._unsent_memory.changed:
            self._making_bytes -= expected
            likely = max(size, expected // 2)
            if likely < LARGE_BYTES:
                self._sizes.pop(route, None)
                return
            if len(self._sizes) >= MAX_ROUTES:
                self._sizes.clear()
            self._sizes[route] = likely
