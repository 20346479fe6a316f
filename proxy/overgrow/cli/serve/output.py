"""Reserves standard output for the access log; everything that the app prints goes to standard error.

Rule: file descriptor 1 itself is redirected before the app is imported, so that neither a view's print()
nor the programs it starts can break or forge a line of the log.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

STDOUT, STDERR = 1, 2


@contextmanager
def reserve_stdout_for_log() -> Iterator[TextIO]:
    """Redirect standard output to standard error inside the block; yield a stream to the former standard output.

    Only this process restores standard output at the end of the block; forked processes do not.
    """
    _ensure_open(STDERR)
    _ensure_open(STDOUT)
    process = os.getpid()
    kept = os.dup(STDOUT)  # closed on exec: no program that the app starts inherits it
    _redirect_stdout_to(STDERR)
    with suppress(AttributeError, ValueError):  # the stream may have been replaced
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        with os.fdopen(kept, "w", encoding="utf-8", closefd=False) as log:
            yield log
    finally:
        if os.getpid() == process:
            _redirect_stdout_to(kept)
            os.close(kept)


def _redirect_stdout_to(descriptor: int) -> None:
    """Flush standard output, then make it a duplicate of another descriptor."""
    with suppress(AttributeError, OSError, ValueError):
        sys.stdout.flush()
    os.dup2(descriptor, STDOUT)


def _ensure_open(descriptor: int) -> None:
    """If a descriptor is closed, open it on /dev/null.

    Otherwise a socket could get its number and receive printed text.
    """
    try:
        os.fstat(descriptor)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
