"""Logs the failures of the app: the first failure at a place with a traceback, further failures in one line each.

Rule: the traceback of one place is logged once per EVERY_S. Otherwise an app that fails at every request would
fill the log. Each further failure gets one line. Errors that Flask catches and logs itself are not logged here.
The app's threads call this module.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

LOG = logging.getLogger("overgrow.local")

EVERY_S = 60.0
MAX_LOCATIONS = 256  # remembered; beyond that all are forgotten
_LONGEST_TEXT = 300

ErrorLocation = tuple[type[BaseException], str, int]


class AppErrorLog:
    """Logs failures of the app.

    For each place it remembers when it last logged a traceback; `clock` returns seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._logged_at_s: dict[ErrorLocation, float] = {}

    def log_error(self, label: str, error: BaseException) -> None:
        """Log that the app raised `error` at the request `label`."""
        location, now_s = error_location(error), self._clock()
        logged_at_s = self._logged_at_s.get(location)
        if logged_at_s is not None and now_s - logged_at_s < EVERY_S:
            line = "%s: the migrated app failed again, at %s:%d: %s"
            LOG.error(line, label, location[1], location[2], one_line_text(error))
            return
        if len(self._logged_at_s) >= MAX_LOCATIONS:
            self._logged_at_s.clear()
        self._logged_at_s[location] = now_s
        LOG.error("%s: the migrated app failed", label, exc_info=error)


def error_location(error: BaseException) -> ErrorLocation:
    """Return the type of an exception, and the file and line that raised it."""
    trace = error.__traceback__
    if trace is None:
        return type(error), "", 0
    while trace.tb_next is not None:
        trace = trace.tb_next
    return type(error), trace.tb_frame.f_code.co_filename, trace.tb_lineno


def one_line_text(error: BaseException) -> str:
    """Return the type and text of an exception on one line. If its text cannot be made, return only the type."""
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - whatever an app's __str__ raises
        return kind
    return f"{kind}: {' '.join(text.split())[:_LONGEST_TEXT]}"
