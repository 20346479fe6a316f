"""Keeps Python's cycle collector from stopping the event loop while a large table is loaded.

Loading makes some hundred thousand objects without any cycle. Each full collection would visit all of them, and
would hold the interpreter's lock during that time. Therefore the collector is off while a table is loaded, and
a large table is frozen: later collections skip it. Reference counting still frees objects. Cycles of other
threads wait until the collector is on again.
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
    """Switch the collector off inside the block. Blocks in several threads may overlap."""
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
    """If the loaded table is large, exclude it from later collections."""
    if routes >= LARGE:
        gc.freeze()
