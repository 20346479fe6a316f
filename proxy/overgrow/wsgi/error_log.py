"""How a failing app is told of in the log: in full at first, then in one line each time.

Rule: the traceback of one place stands in the log once per EVERY_S, so that an app that fails at
every request does not bury everything else; no failure goes untold. What Flask catches and logs
by itself never comes here. Called in the app's threads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

LOG = logging.getLogger("overgrow.local")

EVERY_S = 60.0
MOST_PLACES = 256  # remembered; past that all are forgotten
_LONGEST_TEXT = 300

Place = tuple[type[BaseException], str, int]


class Faults:
    """The places that failed lately, by `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told_s: dict[Place, float] = {}

    def tell(self, what: str, error: BaseException) -> None:
        """Log that the app raised `error` at the request `what`."""
        place, now_s = place_of(error), self._clock()
        told_s = self._told_s.get(place)
        if told_s is not None and now_s - told_s < EVERY_S:
            line = "%s: the migrated app failed again, at %s:%d: %s"
            LOG.error(line, what, place[1], place[2], text_of(error))
            return
        if len(self._told_s) >= MOST_PLACES:
            self._told_s.clear()
        self._told_s[place] = now_s
        LOG.error("%s: the migrated app failed", what, exc_info=error)


def place_of(error: BaseException) -> Place:
    """The line that raised, and what."""
    trace = error.__traceback__
    if trace is None:
        return type(error), "", 0
    while trace.tb_next is not None:
        trace = trace.tb_next
    return type(error), trace.tb_frame.f_code.co_filename, trace.tb_lineno


def text_of(error: BaseException) -> str:
    """Kind and text of an exception on one line; its kind alone where its text raises too."""
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - whatever an app's __str__ raises
        return kind
    return f"{kind}: {' '.join(text.split())[:_LONGEST_TEXT]}"
