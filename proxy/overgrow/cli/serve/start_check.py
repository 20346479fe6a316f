"""What `overgrow serve` checks before it opens a port: the table, the app, the file of the access log."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from overgrow.cli.forked_call import EndedApartError, call_in_fork
from overgrow.cli.output import echo_safe
from overgrow.cli.serve.refusals import CannotStart
from overgrow.files import ANSWER_S, within
from overgrow.settings import SettingError, Settings
from overgrow.text import count_text

if TYPE_CHECKING:
    from overgrow.app import StartCheck
    from overgrow.yaml_file.problem import Problem


def check_table_and_app(settings: Settings, named: Path) -> StartCheck:
    """Check the table and the app; print problems with the table's path as the user wrote it (`named`)."""
    from overgrow.app import check_start  # noqa: PLC0415 - not for `overgrow --help`

    try:
        checked = call_in_fork(
            partial(check_start, settings, from_last_good=settings.from_last_good),
            note_slow_import,
        )
    except SettingError as error:
        raise CannotStart(str(error)) from error
    except EndedApartError as error:
        raise CannotStart(
            "The app ended its process during the import; nothing was started."
        ) from error
    for note in checked.notes:
        echo_safe(_problem_text(note, settings.config, named), err=True)
    for problem in checked.problems:
        echo_safe(_problem_text(problem, settings.config, named), err=True)
    if checked.problems:
        has = f"{named} has {count_text(len(checked.problems), 'problem')}"
        # lexists: a link that leads nowhere is a table, of which the problem says enough
        fix = "" if os.path.lexists(named) else " Without a table, give --legacy URL."
        raise CannotStart(f"{has}; nothing was started.{fix}")
    return checked


def _problem_text(problem: Problem, config: Path, named: Path) -> str:
    is_of_table = problem.file == str(config)
    return str(replace(problem, file=str(named)) if is_of_table else problem)


def note_slow_import(seconds: float) -> None:
    """Print that the import of the app is slow. Until it ends no request is served, not even by legacy."""
    what = f"the app has been loading for {seconds:g} s, and nothing listens before it is imported"
    fix = "If it hangs, check what it does during the import; Ctrl-C cancels the start."
    echo_safe(f"note: {what}. {fix}", err=True)


def require_writable_log(file: Path | None) -> None:
    """Open the file of the access log. If it cannot be opened, raise CannotStart.

    A named pipe stays open as long as this process runs, because its reader would mistake a close for the end
    of the log.
    """
    if file is None:
        return
    from overgrow.observe.access_log.target import open_log_file  # noqa: PLC0415 - as above

    try:
        descriptor = within(ANSWER_S, file, partial(open_log_file, file), undo=os.close)
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.close(descriptor)
    except OSError as error:
        fix = "Name a file that this user may write, in a folder that exists."
        if error.errno == errno.ENXIO:
            fix = "It is a named pipe that nobody reads: start its reader first."
        what = f"OVERGROW_ACCESS_LOG_FILE is {str(file)!r}; it cannot be opened: {error.strerror or error}"
        raise CannotStart(f"{what}. {fix}") from error
