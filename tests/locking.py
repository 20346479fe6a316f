"""Whether work waits for a lock: shown by holding the lock while another thread does the work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

T = TypeVar("T")

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


def who_does_not_wait(
    lock: AbstractContextManager[object], works: Mapping[str, Callable[[], object]]
) -> list[str]:
    """Do several works at once while the lock is held; the names of those that ended before the release."""
    done = {name: threading.Event() for name in works}

    def run(name: str) -> None:
        works[name]()
        done[name].set()

    threads = [threading.Thread(target=run, args=(name,)) for name in works]
    with lock:
        for thread in threads:
            thread.start()
        threading.Event().wait(LONG_ENOUGH_S)
        early = [name for name, event in done.items() if event.is_set()]
    for thread in threads:
        thread.join(30)
    late = [name for name, event in done.items() if not event.is_set()]
    return early + late


def seen_before(
    lock: AbstractContextManager[object], work: Callable[[], object], look: Callable[[], T]
) -> T:
    """What `look` sees while the lock is held and another thread has begun the work."""
    thread = threading.Thread(target=work)
    with lock:
        thread.start()
        thread.join(LONG_ENOUGH_S)
        found = look()
    thread.join(30)
    return found
