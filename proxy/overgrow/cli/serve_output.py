"""Standard output for the access log alone: what the app prints goes to standard error.

Rule: file descriptor 1 itself is led elsewhere, before the app is imported, so that a view's print(),
its writes to the descriptor and the programs it starts neither tear nor forge a line of the log.
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
    """Lead standard output to standard error, and give what it was; undone in this process alone."""
    _ensure_open(STDERR)
    _ensure_open(STDOUT)
    process = os.getpid()
    kept = os.dup(STDOUT)  # closed on exec: no program that the app starts has it
    _redirect_stdout_to(STDERR)
    with suppress(AttributeError, ValueError):  # a stream that somebody put there
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        with os.fdopen(kept, "w", encoding="utf-8", closefd=False) as log:
            yield log
    finally:
        if os.getpid() == process:
            _redirect_stdout_to(kept)
            os.close(kept)


def _redirect_stdout_to(descriptor: int) -> None:
    """Make standard output what another descriptor is; what waits to be written goes first."""
    with suppress(AttributeError, OSError, ValueError):
        sys.stdout.flush()
    os.dup2(descriptor, STDOUT)


def _ensure_open(descriptor: int) -> None:
    """Open a closed one to nowhere: the next socket would get its number, and what is printed with it."""
    try:
        os.fstat(descriptor)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
