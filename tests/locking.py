"""Whether work waits for a lock: shown by holding the lock while another thread does the work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

LONG_ENOUGH_S = 0.2  # for work that does not wait: a slow machine can only hide a mistake


def waits_for(lock: AbstractContextManager[object], work: Callable[[], object]) -> bool:
    """Do the work in a thread while the lock is held; whether it ended only after the release."""
    done = threading.Event()

    def run() -> None:
        work()
        done.set()

    thread = threading.Thread(target=run)
    with lock:
        thread.start()
        had_to_wait = not done.wait(LONG_ENOUGH_S)
    thread.join(60)
    return had_to_wait and done.is_set()
