"""Records in the history that a person accepted rules for a difference.

The rules are in a file of their own; the history only says who wrote them, when, for which group, and why.
Rollback does not undo such an entry. If several people accept rules at once, the lock of the history makes them
take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from overgrow.table.editing.history import WAIT_S, append, lock_history
from overgrow.table.live import utc_now

ACCEPT = "accept"  # the action of such an entry


class AcceptedRules(NamedTuple):
    """Rules that were written: the author, the group of a route, the file, and the reason."""

    who: str
    route: str
    group: str | None  # None for a rule that was proposed
    file: Path
    rules: Sequence[str]
    why: str


@contextmanager
def lock_for_accept(
    state: Path, wait_s: float = WAIT_S
) -> Iterator[Callable[[AcceptedRules], str]]:
    """Hold the lock of the history inside the block, and yield a function that records written rules.

    The function returns why the entry could not be written; empty if it was written.

    Raises:
        OSError: LockHeld, if another process holds the lock for longer than `wait_s`.

    """
    with lock_history(state, wait_s) as descriptor:
        yield partial(_record, state, descriptor)


def _record(state: Path, descriptor: int, done: AcceptedRules) -> str:
    facts = {
        "at": utc_now(),
        "who": done.who,
        "action": ACCEPT,
        "route": done.route,
        "from": done.group or "proposal",
        "to": f"{done.file.name}: {', '.join(done.rules)}",
        "why": done.why,
    }
    try:
        append(state, descriptor, facts)
    except OSError as error:
        return f"{error.filename or state}: {error.strerror or error}"
    return ""
