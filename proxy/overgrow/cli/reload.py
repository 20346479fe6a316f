"""`overgrow reload`: replaces the workers by new workers with the current code, without losing a request.

Rule: code that cannot run changes nothing. This command imports the app first, in a forked process. Then it
sends SIGHUP to the master, and the board shows when every worker has the new code.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import click

from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.failures import Failed
from overgrow.cli.file_deadline import file_deadline
from overgrow.cli.forked_call import EndedApartError, call_in_fork
from overgrow.cli.output import echo_safe
from overgrow.cli.waiting import parse_timeout_option
from overgrow.cli.workers import Worker, living_workers
from overgrow.table.proposals import LOOK_S, name_worker
from overgrow.table.running import find_master
from overgrow.text import count_text, rfc3339

NO_APP = "no app"
UNCHANGED = "Nothing was reloaded; the workers keep their code."


class Reloaded(NamedTuple):
    """The workers that have the new code."""

    workers: Sequence[Worker]

    @property
    def app(self) -> str:
        """The app that they run."""
        return str(self.workers[0].get("app") or NO_APP) if self.workers else NO_APP

    @property
    def text(self) -> str:
        """Return the result for people."""
        count = len(self.workers)
        if self.app == NO_APP:
            return f"Reloaded: {count_text(count, 'new worker')}, without an app, as the table names none."
        noun = "worker has" if count == 1 else "workers have"
        return f"Reloaded: {count} {noun} {self.app} as it is now."


@click.command("reload", short_help="Have the workers run the code as it is now.")
@click.option(
    "--timeout",
    metavar="SPAN",
    default="60s",
    callback=parse_timeout_option,
    help="How long to wait for the workers. [default: 60s]",
)
@shared_options
def reload_app(call: Invocation, timeout: float) -> None:
    """Start new workers with the app's current code, while the old ones finish open requests.

    No request is lost. `app:` of the table is read again too. The code is tried first: if it cannot be
    imported, or lacks a rule that the table in effect needs, nothing changes (exit 1). The command returns
    when every worker has the new code.
    """
    master = _require_master(call)
    before = living_workers(call.state)
    _require_code(call, before)
    began = _now()
    _send_hup(master)
    reloaded = _wait_for_workers(call, before, began, timeout)
    payload = {
        "app": reloaded.app,
        "workers": [{"slot": each["slot"], "pid": each["pid"]} for each in reloaded.workers],
    }
    call.print_result(payload, reloaded.text)


def _require_master(call: Invocation) -> int:
    """Return the process id of the front door's master. If it cannot be found, exit 1."""
    with file_deadline(call):
        master = find_master(call.state_to_read)
    if master is None:
        what = f"No front door of overgrow serve runs on the state folder {call.state_to_read}."
        fix = (
            "Start one, or name its folder with --state. Another server has its own way to reload."
        )
        raise Failed("not-running", what, fix)
    if master == 0:
        what = "The front door runs where this process cannot see it, for instance in another container."
        raise Failed("not-running", what, "Run overgrow reload there.")
    return master


def _send_hup(master: int) -> None:
    try:
        os.kill(master, signal.SIGHUP)
    except ProcessLookupError as error:
        raise Failed("not-running", "The front door ended just now.", "Start it.") from error
    except PermissionError as error:
        what = (
            f"The front door (pid {master}) runs as another user, and only that user may reload it."
        )
        raise Failed("not-running", what, "Run overgrow reload as that user.") from error


# --- the code -------------------------------------------------------------------------------------


def _require_code(call: Invocation, running: Sequence[Worker]) -> None:
    """If the current code cannot serve the table in effect, exit 1."""
    try:
        why = call_in_fork(partial(_why_unusable, call, running), _note_long)
    except EndedApartError:
        why = "the app ended its process during the import"
    if why:
        raise Failed("app-import", f"{why}.", UNCHANGED, next_commands=["overgrow check"])


def _why_unusable(call: Invocation, running: Sequence[Worker]) -> str:
    """Import the app, and return why it cannot serve the table in effect; return "" if it can."""
    from overgrow.app import app_rules  # noqa: PLC0415  imports Flask
    from overgrow.app_loader.source_tree import remove_stale_bytecode  # noqa: PLC0415  as above
    from overgrow.cli.team_rules import import_app  # noqa: PLC0415  as above
    from overgrow.table.judging import parse_last_good, read_last_good_in_time  # noqa: PLC0415
    from overgrow.table.reading.app_rules import describe_first_missing  # noqa: PLC0415

    remove_stale_bytecode(call.config.absolute().parent)
    team = import_app(call.settings)
    if not team.name and (named := _app_of(running)):  # OVERGROW_APP of the front door alone
        team = import_app(replace(call.settings, app=named))
    if team.flask is None:
        return team.why
    kept = read_last_good_in_time(call.state_wanted)
    table = None if kept is None else parse_last_good(kept, call.config, os.environ)
    lacking = describe_first_missing(table, app_rules(team)) if table else ""
    return f"{team.name} cannot serve the table in effect: {lacking.rstrip('.')}" if lacking else ""


def _app_of(running: Sequence[Worker]) -> str | None:
    return next((str(each["app"]) for each in running if each.get("app")), None)


def _note_long(seconds: float) -> None:
    what = f"the app has been loading for {seconds:g} s; the workers keep serving"
    echo_safe(f"note: {what}. Ctrl-C cancels", err=True)


# --- the workers ----------------------------------------------------------------------------------


def _now() -> str:
    """Return the current time in the format that workers use on the board."""
    return rfc3339(time.time(), "milliseconds")


def _wait_for_workers(
    call: Invocation, before: Sequence[Worker], began: str, limit_s: float
) -> Reloaded:
    """Wait until as many new workers as before run the new code, and no old worker accepts clients any more."""
    wanted = sum(not each.get("leaving") for each in before) or 1
    old = {each["pid"] for each in before}
    known = _boot_error(before)
    deadline = time.monotonic() + limit_s
    while True:
        living = living_workers(call.state)
        new = [each for each in living if each["pid"] not in old and each["imported"] >= began]
        late = [each for each in living if each["pid"] in old and not each.get("leaving")]
        if len(new) >= wanted and not late:
            return Reloaded(new)
        error = _boot_error(living)
        if error is not None and error != known and error["at"] >= began[:19]:
            what = f"New workers do not start: {error['reason']}."
            raise Failed(
                "app-import", what, "The old ones keep serving.", next_commands=["overgrow status"]
            )
        if not living and find_master(call.state) is None:
            raise Failed("not-running", "The front door ended while it reloaded.", "Start it.")
        if time.monotonic() >= deadline:
            raise _unconfirmed_failure(late, limit_s)
        _pause()


def _pause() -> None:
    try:
        time.sleep(LOOK_S)
    except KeyboardInterrupt:
        what = "You stopped waiting; the front door continues to reload."
        raise Failed("unconfirmed", what, "See overgrow status for its progress.") from None


def _boot_error(workers: Sequence[Worker]) -> Any:
    """Return the reason that the living workers report for failed starts of new workers."""
    return next((each["boot_error"] for each in workers if each.get("boot_error")), None)


def _unconfirmed_failure(late: Sequence[Worker], limit_s: float) -> Failed:
    names = ", ".join(map(name_worker, late)) or "no new worker"
    verb = "still run the old code" if late else "serves yet"
    what = f"After {limit_s:g} s {names} {verb}; the front door continues to reload."
    return Failed("unconfirmed", what, "See overgrow status for its progress.")
