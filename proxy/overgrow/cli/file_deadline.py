"""A deadline for file calls, so that a command never waits forever for a mount that hangs.

A call that hangs in the kernel cannot be interrupted, so a timer ends the process instead, after printing
which path does not respond. Work that may take long, such as importing the app, does not count.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

import click

from overgrow.cli.failures import Failed, print_as_json
from overgrow.files import within

P = ParamSpec("P")
T = TypeVar("T")

LIMIT_S = 6.0  # in addition to the time that a command waits for a lock
PROBE_S = 0.5
BRAKE = "overgrow rollback --all works as long as one of the two responds."


class FileCommand(Protocol):
    """A command that calls the file system.

    If the file system does not respond, the error names the paths of this command.
    """

    @property
    def json(self) -> bool:
        """Whether the command prints JSON."""
        ...

    @property
    def config(self) -> Path:
        """The path of the route table."""
        ...

    @property
    def state_wanted(self) -> Path:
        """The path of the state folder, which may not exist."""
        ...


class AnyPath(click.ParamType[Path]):
    """A path as the user gave it. click.Path is not used, because it calls stat while it reads the command line."""

    name = "path"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,  # noqa: ARG002  click's signature
        ctx: click.Context | None,  # noqa: ARG002  as above
    ) -> Path:
        """Return the value as a path."""
        return Path(value)


class FileDeadline:
    """The timer of some file calls; time spent in a function wrapped by `pausing` does not count."""

    def __init__(self, call: FileCommand, limit_s: float) -> None:
        self._call, self._limit_s = call, limit_s
        self._timer: threading.Timer | None = None

    def start(self) -> None:
        """Start the timer."""
        self._timer = threading.Timer(self._limit_s, _give_up, (self._call, self._limit_s))
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def pausing(self, work: Callable[P, T]) -> Callable[P, T]:
        """Return `work` as a function whose time does not count."""

        def run_uncounted(*args: P.args, **kwargs: P.kwargs) -> T:
            self.stop()
            try:
                return work(*args, **kwargs)
            finally:
                self.start()

        return run_uncounted


@contextmanager
def file_deadline(call: FileCommand, limit_s: float = LIMIT_S) -> Iterator[FileDeadline]:
    """Limit the time of the file calls inside the block. If the time runs out, the command ends with exit 1."""
    deadline = FileDeadline(call, limit_s)
    deadline.start()
    try:
        yield deadline
    finally:
        deadline.stop()


def _give_up(call: FileCommand, limit_s: float) -> None:
    failure = Failed("file-silent", *_silence_text(call, limit_s))
    if call.json:
        print_as_json(failure)
    failure.show()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _silence_text(call: FileCommand, limit_s: float) -> tuple[str, str]:
    places = (call.config.absolute(), call.state_wanted)
    silent = [str(place) for place in places if not _does_respond(place)]
    where = " and ".join(silent) or f"a file beside {places[0]} or in {places[1]}"
    what = (
        f"The file system of {where} has not responded for {limit_s:g} s; the command was stopped."
    )
    return what, f"Fix that mount, then see in overgrow history what was done. {BRAKE}"


def _does_respond(path: Path) -> bool:
    try:
        within(PROBE_S, path, lambda: os.path.lexists(path))
        within(PROBE_S, path, path.stat)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
