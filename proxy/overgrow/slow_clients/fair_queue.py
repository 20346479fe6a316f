"""Decides the order in which waiting requests go on, so that many requests for one target do not delay other requests.

Rule: there are two lanes: clients that have taken a response before, and all other clients. The lanes
alternate. Within each lane, targets take turns: one request for a target goes on, then one for the next target.
This module decides only the order, not the number of requests that go on.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

LONG_GROUP = 16

T = TypeVar("T")


class Lane(Generic[T]):
    """Waiters grouped by target. Successive calls of `pop` take one waiter from each group in turn."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, deque[T]] = {}  # in the order in which their targets are served
        self._turns = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, waiter: T, target: bytes) -> None:
        """Append a waiter to the group of its target."""
        self._waiting.setdefault(target, deque()).append(waiter)

    def pop(self) -> T:
        """Remove and return the next waiter.

        If a group has more than LONG_GROUP waiters, the oldest and the newest are taken alternately. If only
        the oldest were taken, every client might have given up before its turn.
        """
        target, group = next(iter(self._waiting.items()))
        del self._waiting[target]
        self._turns += 1
        takes_newest = len(group) > LONG_GROUP and self._turns % 2
        waiter = group.pop() if takes_newest else group.popleft()
        if group:
            self._waiting[target] = group
        return waiter

    def remove(self, waiter: T, target: bytes) -> bool:
        """Remove a waiter that gave up. Return whether it was in this lane."""
        group = self._waiting.get(target)
        if group is None or waiter not in group:
            return False
        group.remove(waiter)
        if not group:
            del self._waiting[target]
        return True


class FairQueue(Generic[T]):
    """Two lanes: one for clients that have taken a response before, one for all other clients."""

    def __init__(self) -> None:
        self._known: Lane[T] = Lane()
        self._others: Lane[T] = Lane()
        self._was_known = False  # which lane the last waiter came from
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def add(self, waiter: T, target: bytes, *, is_known: bool) -> None:
        """Add a waiter."""
        (self._known if is_known else self._others).add(waiter, target)
        self.count += 1

    def pop(self, *, only_known: bool = False) -> T | None:
        """Remove and return the next waiter. Return None if no waiter may go on.

        With `only_known`, only clients that have taken a response before may go on.
        """
        is_known = bool(self._known) and (only_known or not self._others or not self._was_known)
        if not is_known and (only_known or not self._others):
            return None
        self._was_known = is_known
        self.count -= 1
        return (self._known if is_known else self._others).pop()

    def remove(self, waiter: T, target: bytes, *, is_known: bool) -> None:
        """Remove a waiter that gave up. If it is not in the queue any more, do nothing."""
        lane = self._known if is_known else self._others
        self.count -= lane.remove(waiter, target)
