"""A pytest that is started once in a copy of the tree, and forks for every run of tests.

Interpreter, plugins and libraries are loaded once instead of once a mistake. Rule: nothing of the
tree's own code is loaded before the fork, so that a run sees the code as it is then; the first line
of the output names what of the tree is loaded, and who uses the server refuses to change that.

It stands alone: it is started by its path, so that it finds the copy's modules and not the checkout's.
Input: a line of JSON for each run, the tests. Output: a line of JSON for each, what came of it.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import pytest


class Limits(NamedTuple):
    """How long a run may take, and how long its end once a test has failed."""

    run_s: float
    leave_s: float


class ForkServer:
    """The plugin that forks where pytest would begin; the child goes on as pytest does."""

    def __init__(
        self, asked: TextIO, output: TextIO, limits: Limits, libraries: Sequence[str]
    ) -> None:
        self._libraries = libraries
        self._asked = asked
        self._output = output
        self._limits = limits
        self._failed = -1  # the pipe to which a child writes the first test that fails

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int | None:
        """Serve runs until the input ends; None in a child, which lets pytest run the tests."""
        load(self._libraries)
        self._say(loaded_files(Path.cwd()))
        for line in self._asked:
            heard, told = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(heard)
                self._failed = told
                config.args = json.loads(line)
                os.setsid()
                return None
            os.close(told)
            code = wait_for(child, heard, self._limits)
            self._say({"code": code, "failed": first_line_in(heard)})
        return 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell of a test that fails."""
        self._tell(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tell of a file that cannot be imported."""
        self._tell(report)

    def _tell(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            os.write(self._failed, f"{report.nodeid}\n".encode())

    def _say(self, value: Any) -> None:
        self._output.write(json.dumps(value) + "\n")
        self._output.flush()


def load(libraries: Sequence[str]) -> None:
    """Load what most tests load, once pytest has loaded its plugins; one that lacks is a test's matter."""
    for name in libraries:
        with suppress(ImportError):
            import_module(name)
    gc.collect()
    gc.freeze()  # a run looks for garbage of its own alone, and copies fewer pages


def loaded_files(folder: Path) -> list[str]:
    """The files below a folder that are loaded as modules, relative to it."""
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    paths = (Path(file) for file in files if file)
    return sorted(str(path.relative_to(folder)) for path in paths if path.is_relative_to(folder))


def wait_for(child: int, failed: int, limits: Limits) -> int | None:
    """The exit code of a run, or None for one that hangs; nothing of its group is left.

    Once a test has failed, all is known: a run has `leave_s` more for its fixtures to clean up.
    """
    watched = os.pidfd_open(child)
    ready = select.select([watched, failed], [], [], limits.run_s)[0]
    if ready == [failed]:
        ready = select.select([watched], [], [], limits.leave_s)[0]
    os.close(watched)
    with suppress(ProcessLookupError):  # while the child is not waited for, nobody else has its id
        os.killpg(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if ready else None


def first_line_in(pipe: int) -> str:
    """The first line that was written to a pipe; a process that is left may hold it open."""
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, 65_536).decode().partition("\n")[0]
    except BlockingIOError:
        return ""
    finally:
        os.close(pipe)


def main() -> int:
    """Serve the folder that is the current one; arguments: both limits, libraries, pytest's options."""
    run_s, leave_s, libraries, *options = sys.argv[1:]
    limits = Limits(float(run_s), float(leave_s))
    sys.path[0] = str(Path.cwd())  # as for `python -m pytest`
    asked, output = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)  # what tests print is read by nobody
    os.close(nothing)
    return int(pytest.main(options, plugins=[ForkServer(asked, output, limits, libraries.split())]))


if __name__ == "__main__":
    sys.exit(main())
