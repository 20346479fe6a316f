"""Calls the team's app in a forked process.

Rule: what the app starts during its import (threads, for instance) does not stay in the process of the command.
A call that takes long is reported. When the command ends, the call ends too.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, NoReturn, TypeVar, cast

from overgrow.cli.process_end import exit_now

T = TypeVar("T")

LOOK_S = 0.2  # between two checks that the process is alive
LONG_S = 5.0  # a call that takes longer is reported


class EndedApartError(Exception):
    """The process of a call ended before the call returned."""


def call_in_fork(call: Callable[[], T], on_long: Callable[[float], None]) -> T:
    """Run `call` in a forked process and return its result. What `call` imports does not stay in this process.

    If the call takes long, `on_long` is called with the seconds waited so far. An exception of the call is raised here.

    Raises:
        EndedApartError: if the process ended first.

    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run_in_fork, args=(call, sender), daemon=True)
    with _exit_on_sigterm():
        process.start()
        sender.close()
        try:
            if not _wait_for_outcome(receiver, process, LONG_S):
                on_long(LONG_S)
                _wait_for_outcome(receiver, process, float("inf"))
            has_returned, outcome = receiver.recv()
        except EOFError:
            raise EndedApartError from None
        finally:
            process.kill()
            process.join()
    if not has_returned:
        raise outcome
    return cast("T", outcome)


def _run_in_fork(call: Callable[[], Any], sender: Connection) -> NoReturn:
    """Send what the call returns or raises.

    Then exit without waiting for threads, because a thread of the app may never end.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        try:
            outcome = True, call()
        except Exception as error:  # noqa: BLE001  raised again in the parent
            outcome = False, error
        sender.send(outcome)
    finally:
        exit_now(0)


def _wait_for_outcome(
    receiver: Connection, process: multiprocessing.process.BaseProcess, limit_s: float
) -> bool:
    """Wait for the outcome; return False if the time runs out.

    EOF on the pipe does not prove that the process ended: a process that the app forked may hold it open.

    Raises:
        EndedApartError: if the process ended without an outcome.

    """
    until = time.monotonic() + limit_s
    while not receiver.poll(min(LOOK_S, max(0.0, until - time.monotonic()))):
        if not process.is_alive() and not receiver.poll():
            raise EndedApartError
        if time.monotonic() >= until:
            return False
    return True


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Make SIGTERM raise SystemExit inside the block, so that the forked process ends with this one."""
    former = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
