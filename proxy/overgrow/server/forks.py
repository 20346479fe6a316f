"""Keeps the worker's sockets out of processes that the team's app forks.

Rule: in such a process the descriptors of the worker's listeners and connections refer to /dev/null from the
start. Otherwise, as long as such a process lives, an address would stay in use, and a client would wait for the
end of its connection. Programs that are started by exec inherit no such descriptor anyway.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress

Descriptors = Callable[[], Iterable[int]]


def close_in_forks(descriptors: Descriptors) -> None:
    """In each later fork of this process, redirect what the method `descriptors` returns to /dev/null."""
    named = weakref.WeakMethod(descriptors)
    os.register_at_fork(after_in_child=lambda: _redirect_to_devnull(named()))


def _redirect_to_devnull(descriptors: Descriptors | None) -> None:
    """Redirect each descriptor to /dev/null. Its number stays in use, so that a later close() closes nothing else."""
    if descriptors is None:
        return
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in descriptors():
            if number >= 0:
                os.dup2(nowhere, number, inheritable=False)
        os.close(nowhere)
