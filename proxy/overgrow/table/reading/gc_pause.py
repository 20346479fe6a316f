"""Keep Python's cycle collector from stopping the event loop while a large table is loaded.

Loading makes some hundred thousand objects without a single cycle; each full collection would walk
all of them with the interpreter's lock held, a quarter of a second at 10,000 routes. So the
collector rests meanwhile, and a large table that stays is put where later collections do not look.
Reference counting frees everything as always; other threads' cycles wait for a second.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LARGE = 1_000  # routes; below it a collection is too short to notice

_lock = threading.Lock()
_resting = 0
_was_on = False


@contextmanager
def gc_paused() -> Iterator[None]:
    """Switch the collector off for the block; blocks in several threads may overlap."""
    global _resting, _was_on  # noqa: PLW0603 - the collector is one per process, and so is this count
    with _lock:
        if _resting == 0:
            _was_on = gc.isenabled()
            gc.disable()
        _resting += 1
    try:
        yield
    finally:
        with _lock:
            _resting -= 1
            if _resting == 0 and _was_on:
                gc.enable()


def freeze_table(routes: int) -> None:
    """Spare later collections the table just loaded, if it is a large one."""
    if routes >= LARGE:
        gc.freeze()
