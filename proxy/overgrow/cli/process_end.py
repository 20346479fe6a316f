"""Ends the process of a command at once, even if threads that the team's app started still run.

Rule: every command imports this module, so that this module imports only what every command needs.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from contextlib import suppress
from typing import NoReturn

THREADS_GRACE_S = 1.0  # for threads of the app, when a command is done


def end_process(code: str | int | None) -> NoReturn:
    """End a command with its exit code, even if threads of the app are still running."""
    until = time.monotonic() + THREADS_GRACE_S
    left = [each for each in threading.enumerate() if each is not threading.current_thread()]
    for thread in left:
        if not thread.daemon:
            thread.join(max(0.0, until - time.monotonic()))
    if any(thread.is_alive() and not thread.daemon for thread in left):
        exit_now(code if isinstance(code, int) else int(code is not None))
    gc.freeze()  # The interpreter's last collections would look at every object: a quarter of a command's time.
    sys.exit(code)


def exit_now(code: int) -> NoReturn:
    """Flush the output and end this process without waiting for its threads."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # the app may have closed them
            stream.flush()
    os._exit(code)
