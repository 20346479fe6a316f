"""Limits how many calls that make large responses may run at once while memory is short.

Rule: the size of a response is unknown before it is made. If the last response of a route was large, the next
one is expected to be large too. While unsent responses fill their memory limit, the calls of such routes run
one by one instead of in all threads at once. Calls of other routes overtake them.
"""

from __future__ import annotations

from overgrow.wsgi.unsent_memory import LARGE_BYTES, UnsentMemory

AT_ONCE_BYTES = 16 * 1024 * 1024  # may be in the making while memory is short; one call always may
MAX_ROUTES = 1024  # remembered; beyond that all are forgotten


class LargeResponseLimiter:
    """The sizes of large responses by route, and how many bytes of large responses are being generated."""

    def __init__(self, unsent: UnsentMemory) -> None:
        self._unsent_memory = unsent
        self._sizes: dict[str, int] = {}  # of routes whose responses are large
        self._making_bytes = 0

    def begin(self, route: str) -> int | None:
        """Count a call and return the expected size of its response in bytes. If the call must wait, return None."""
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
        """Stop counting a call, and remember the size of its response."""
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
