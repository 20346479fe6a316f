"""What a process that the team's app forks must not hold: the worker's listeners and its clients' connections.

Rule: in such a process their numbers lead nowhere from the start. Else an address stays in use, and a client
waits for the end of its connection, for as long as that process lives. Programs that it runs hold none anyhow.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress

Descriptors = Callable[[], Iterable[int]]


def close_in_forks(descriptors: Descriptors) -> None:
    """See to it, from now on, that forks of this process hold none of the descriptors that a method names."""
    named = weakref.WeakMethod(descriptors)
    os.register_at_fork(after_in_child=lambda: _redirect_to_devnull(named()))


def _redirect_to_devnull(descriptors: Descriptors | None) -> None:
    """Lead each number nowhere; it stays taken, so that nothing else is closed under it later."""
    if descriptors is None:
        return
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in descriptors():
            if number >= 0:
                os.dup2(nowhere, number, inheritable=False)
        os.close(nowhere)
