"""Keeps a body while it passes, up to a limit. Of a larger body, only a fingerprint is kept.

Rule: a chunk is passed on in the same step in which it came. This module never waits, and never copies or
changes bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Literal, Self

from overgrow.shadow.values.snapshot import Fingerprint, FingerprintBuilder

TeeDropReason = Literal["too-large", "memory"]


class MemoryBudget:
    """The bytes that all copies of one worker may hold together."""

    __slots__ = ("free_bytes",)

    def __init__(self, max_bytes: int) -> None:
        self.free_bytes = max_bytes

    def try_reserve(self, size: int) -> bool:
        """Reserve `size` bytes. If fewer bytes are left, reserve nothing and return False."""
        if size > self.free_bytes:
            return False
        self.free_bytes -= size
        return True

    def release(self, size: int) -> None:
        """Give back reserved bytes."""
        self.free_bytes += size


class Tee:
    """Iterates over a body. Afterwards `whole_body` is the body, or `fingerprint` describes a larger body.

    A body larger than `max_bytes` is not kept. Up to `hashed_bytes` it is hashed. If there is neither a body
    nor a fingerprint, `drop_reason` says why. The owner must release `held_bytes` to the memory budget.
    """

    __slots__ = (
        "_chunks",
        "_hashed_bytes",
        "_hashing",
        "_max_bytes",
        "_memory",
        "_source",
        "drop_reason",
        "held_bytes",
        "is_ended",
    )

    def __init__(
        self,
        body: AsyncIterable[bytes],
        max_bytes: int,
        budget: MemoryBudget,
        hashed_bytes: int = 0,
    ) -> None:
        self._source = aiter(body)
        self._max_bytes = max_bytes
        self._hashed_bytes = hashed_bytes
        self._hashing: FingerprintBuilder | None = None
        self._memory = budget
        self._chunks: list[bytes] = []
        self.held_bytes = 0
        self.is_ended = False
        self.drop_reason: TeeDropReason | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._source)
        except StopAsyncIteration:
            self.is_ended = True
            raise
        if self.drop_reason is None:
            self._keep_chunk(chunk)
        return chunk

    @property
    def whole_body(self) -> bytes | None:
        """The body if it ended and was kept; else None."""
        if not self.is_ended or self.drop_reason is not None or self._hashing is not None:
            return None
        return b"".join(self._chunks)

    @property
    def fingerprint(self) -> Fingerprint | None:
        """The fingerprint of a complete body that was too large to keep."""
        if not self.is_ended or self.drop_reason is not None or self._hashing is None:
            return None
        return self._hashing.fingerprint()

    def _keep_chunk(self, chunk: bytes) -> None:
        size = len(chunk)
        if self._hashing is not None:
            self._hash_chunk(chunk)
        elif self.held_bytes + size > self._max_bytes:
            self._replace_body_by_fingerprint(chunk)
        elif not self._memory.try_reserve(size):
            self._discard_body_because("memory")
        else:
            self.held_bytes += size
            self._chunks.append(chunk)

    def _replace_body_by_fingerprint(self, chunk: bytes) -> None:
        """Drop the body. If a fingerprint is wanted, hash the body from now on instead."""
        if not self._hashed_bytes:
            self._discard_body_because("too-large")
            return
        self._hashing = FingerprintBuilder(self._chunks)
        self._memory.release(self.held_bytes)
        self._chunks.clear()
        self.held_bytes = 0
        self._hash_chunk(chunk)

    def _hash_chunk(self, chunk: bytes) -> None:
        if self._hashing is not None and self._hashing.length + len(chunk) <= self._hashed_bytes:
            self._hashing.add(chunk)
        else:
            self._discard_body_because("too-large")

    def discard_kept_body(self) -> None:
        """Drop what is kept. Later chunks only pass."""
        self._discard_body_because(self.drop_reason or "memory")

    def _discard_body_because(self, reason: TeeDropReason) -> None:
        self._memory.release(self.held_bytes)
        self._chunks.clear()
        self._hashing = None
        self.held_bytes, self.drop_reason = 0, reason
