"""Whose turn it is among requests that wait: no crowd that asks the same makes others wait behind it.

Rule: clients that have taken an answer before and clients that have not take turns, and within each
the targets that are asked for; the many who want one target wait for each other. It decides order
alone, never how many may go on.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

LONG_CROWD = 16

T = TypeVar("T")


class Lane(Generic[T]):
    """Waiters by what they ask for, one of each in turn."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, deque[T]] = {}  # in the order of their turns
        self._turns = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, waiter: T, target: bytes) -> None:
        """Put a waiter behind those that ask for the same."""
        self._waiting.setdefault(target, deque()).append(waiter)

    def pop(self) -> T:
        """Take out whose turn it is.

        Of a crowd, the longest waiter and the newest in turn: where most of them would give up
        before their turn, all who come later would too.
        """
        target, crowd = next(iter(self._waiting.items()))
        del self._waiting[target]
        self._turns += 1
        takes_newest = len(crowd) > LONG_CROWD and self._turns % 2
        waiter = crowd.pop() if takes_newest else crowd.popleft()
        if crowd:
            self._waiting[target] = crowd
        return waiter

    def remove(self, waiter: T, target: bytes) -> bool:
        """Take out one that waits no more; whether it was here."""
        crowd = self._waiting.get(target)
        if crowd is None or waiter not in crowd:
            return False
        crowd.remove(waiter)
        if not crowd:
            del self._waiting[target]
        return True


class FairQueue(Generic[T]):
    """Two lanes: clients that have taken an answer before, and all others."""

    def __init__(self) -> None:
        self._known: Lane[T] = Lane()
        self._others: Lane[T] = Lane()
        self._was_known = False  # whose turn the last one was
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def add(self, waiter: T, target: bytes, *, is_known: bool) -> None:
        """Let one wait."""
        (self._known if is_known else self._others).add(waiter, target)
        self.count += 1

    def pop(self, *, only_known: bool = False) -> T | None:
        """Take out whose turn it is; None where nobody waits who may go on."""
        is_known = bool(self._known) and (only_known or not self._others or not self._was_known)
        if not is_known and (only_known or not self._others):
            return None
        self._was_known = is_known
        self.count -= 1
        return (self._known if is_known else self._others).pop()

    def remove(self, waiter: T, target: bytes, *, is_known: bool) -> None:
        """Take out one that waits no more, if it is still here."""
        lane = self._known if is_known else self._others
        self.count -= lane.remove(waiter, target)
