"""A body that is kept while it passes, within bounds; beyond them it just passes.

Rule: a chunk goes on in the step in which it came. Nothing here waits, copies or changes a byte.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Literal, Self

Loss = Literal["too-large", "memory"]


class Room:
    """The bytes that all copies of one worker may hold together."""

    __slots__ = ("free_bytes",)

    def __init__(self, most_bytes: int) -> None:
        self.free_bytes = most_bytes

    def take(self, size: int) -> bool:
        """Take room for so many bytes; False, and nothing taken, where there is too little."""
        if size > self.free_bytes:
            return False
        self.free_bytes -= size
        return True

    def give(self, size: int) -> None:
        """Give back what was taken."""
        self.free_bytes += size


class Tee:
    """An iterator over a body, and afterwards the body as a whole if it was kept.

    `loss` says why it was not. What it holds is its owner's to give back to the room.
    """

    __slots__ = ("_chunks", "_most_bytes", "_room", "_source", "held_bytes", "is_ended", "loss")

    def __init__(self, body: AsyncIterable[bytes], most_bytes: int, room: Room) -> None:
        self._source = aiter(body)
        self._most_bytes = most_bytes
        self._room = room
        self._chunks: list[bytes] = []
        self.held_bytes = 0
        self.is_ended = False
        self.loss: Loss | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._source)
        except StopAsyncIteration:
            self.is_ended = True
            raise
        if self.loss is None:
            self._keep(chunk)
        return chunk

    @property
    def whole(self) -> bytes | None:
        """The body; None unless it came to its end and was kept."""
        return b"".join(self._chunks) if self.is_ended and self.loss is None else None

    def _keep(self, chunk: bytes) -> None:
        size = len(chunk)
        if self.held_bytes + size > self._most_bytes:
            self._lose("too-large")
        elif not self._room.take(size):
            self._lose("memory")
        else:
            self.held_bytes += size
            self._chunks.append(chunk)

    def let_go(self) -> None:
        """Keep nothing, from now on either: whatever still comes just passes."""
        self._lose(self.loss or "memory")

    def _lose(self, why: Loss) -> None:
        self._room.give(self.held_bytes)
        self._chunks.clear()
        self.held_bytes, self.loss = 0, why
