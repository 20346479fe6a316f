"""`overgrow flip`, `rollback`, `resume`: move a route, move it back, move everything back.

These commands must work in an emergency. They import the app only if a change sends more clients to migrated
while no front door runs. They read evidence only for routes that require it, and use the network only for
--admin.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import click

from overgrow.cli.completion import FlipTarget, RouteName
from overgrow.cli.context import (
    Invocation,
    non_blank_reason,
    read_table,
    require_route,
    shared_options,
)
from overgrow.cli.failures import AlreadyPrinted, BadUsage, Failed, failure_of
from overgrow.cli.file_deadline import LIMIT_S, FileDeadline, file_deadline
from overgrow.cli.output import echo_safe
from overgrow.cli.team_rules import rules_of
from overgrow.cli.waiting import (
    AnyWaiting,
    MakeWaiting,
    Nobody,
    Waiting,
    kill_lag,
    kill_lag_on_board,
    resume_lag,
    revision_lag,
    waiting_options,
)
from overgrow.cli.workers import ask_workers, is_door_running
from overgrow.data.beside import refused_routes
from overgrow.files import ANSWER_S, within
from overgrow.table.editing import flip as edit
from overgrow.table.editing import kill_switch
from overgrow.table.editing.flip import FlipResult, Readiness, keeps_flip
from overgrow.table.editing.history import WAIT_S, read_history
from overgrow.table.editing.kill_switch import KillResult
from overgrow.table.editing.rewrite import parse_goal
from overgrow.table.editing.stage_notes import TABLE_PREFIX, stages_since
from overgrow.table.live import is_killed, kill_files
from overgrow.table.reading.parse import revision_of
from overgrow.table.reading.problems import EditRefused

UNCHANGED = "Nothing was changed: migrated could not answer. Fix the import first."


@click.command(short_help="Move a route: legacy, migrated, gone or N%.")
@click.argument("route", type=RouteName(groups=True), metavar="ROUTE|group:NAME")
@click.argument("to", type=FlipTarget(), metavar="legacy|migrated|gone|N%")
@click.option(
    "--reason", metavar="TEXT", callback=non_blank_reason, help="Why; kept in the history of flips."
)
@click.option("--force", is_flag=True, help="Flip even if the gate is closed; needs --reason.")
@shared_options
@waiting_options
def flip(  # noqa: PLR0913  click's
    call: Invocation,
    route: str,
    to: str,
    *,
    reason: str | None,
    force: bool,
    waiting: MakeWaiting,
    limit_s: float,
) -> None:
    """Move a route to a side, retire it (gone), or give migrated a share of clients (N%).

    The command changes only the target or canary in the table, and records the flip; it returns when the
    running workers follow. Towards migrated the workers are asked first, and a table that one of
    them would reject is not written. Towards legacy the table is written at once, even if the app cannot be imported.
    group:NAME moves all routes of a group in one step.

    Where the table has require: {clean: N}, a flip to migrated or 100% is refused until overgrow gate
    says ready. --force --reason TEXT flips anyway, and the history keeps the reason.
    """
    if force and reason is None:
        raise click.UsageError("--force needs --reason TEXT: the history keeps the reason.")
    _require_goal(to, route)
    read_table(call)
    with _edit_session(call, route) as deadline:
        gate = deadline.pausing(partial(_ask_gate, call, forced=force))
        actor = edit.Actor(
            os.environ, gate=gate, why=reason, **_actor_checks(call, deadline, limit_s)
        )
        flipped = edit.flip(call.config, call.state, route, to, actor)
    _report_flip(call, flipped, waiting)


def _require_goal(to: str, route: str) -> None:
    """If the target is not a valid one, exit 2."""
    try:
        parse_goal(to)
    except EditRefused as refused:
        fix = f"Write overgrow flip {to} {route}." if _is_goal(route) else refused.fix
        raise BadUsage(refused.code, f"{refused.message}.", fix) from refused


def _is_goal(text: str) -> bool:
    with suppress(EditRefused):
        return bool(parse_goal(text))
    return False


def _ask_gate(call: Invocation, name: str, clean: int, *, forced: bool) -> Readiness:
    """Ask the gate whether a route that requires evidence may be flipped.

    If it may not and `forced` is False, exit 1 with the reasons.
    """
    from overgrow.cli.evidence.gate import readiness  # noqa: PLC0415  the store is slow to import

    answer = readiness(call, name, clean)
    if answer.reasons and not forced:
        what = f"{name} is not ready to be flipped to migrated. {' '.join(answer.reasons)}"
        fix = "Nothing was changed. To flip anyway: --force --reason TEXT."
        raise Failed("gate-closed", what, fix)
    return answer


@click.command(short_help="Undo the last flip; --all sends everything to legacy.")
@click.argument("route", type=RouteName(groups=True), metavar="[ROUTE|group:NAME]", required=False)
@click.option(
    "--all", "everything", is_flag=True, help="Send everything to legacy, by the kill file."
)
@shared_options
@waiting_options
def rollback(
    call: Invocation,
    route: str | None,
    everything: bool,  # noqa: FBT001  click's
    waiting: MakeWaiting,
    limit_s: float,
) -> None:
    """Undo the last flip, or the last flip of ROUTE; a second rollback undoes the flip before that.

    --all is the kill switch. It edits nothing: a kill file sends every request to legacy until overgrow
    resume, even if the table is invalid. Routes with reversible: false stay where they are.
    """
    if everything and route:
        raise click.UsageError("--all sends everything to legacy; leave out ROUTE.")
    if everything:
        _kill_everything(call, waiting, limit_s)
        return
    read_table(call)
    with _edit_session(call, route) as deadline:
        actor = edit.Actor(os.environ, **_actor_checks(call, deadline, limit_s))
        flipped = edit.rollback(call.config, call.state, route, actor)
    _note_stages(call)
    _report_flip(call, flipped, waiting)


def _note_stages(call: Invocation) -> None:
    """Print a note on tables that changed their stage after the flip that was just undone; their data stays where it is."""
    entries = read_history(call.state).entries
    undone = next((one.undoes for one in reversed(entries) if one.action == "rollback"), None)
    for entry in stages_since(entries, undone or ""):
        table = str(entry.route).removeprefix(TABLE_PREFIX)
        echo_safe(
            f"note: table {table} went from {entry.from_} to {entry.to} since then, and stays there; "
            f"overgrow data stage {table} {entry.from_} would lead back",
            err=True,
        )


def _kill_everything(call: Invocation, waiting: MakeWaiting, limit_s: float) -> None:
    _require_known_table(call)
    state = call.state_or_wanted
    with _edit_session(call, None):
        made = kill_switch.kill_and_report(call.config, state)
    late, confirmed = _wait_for_kill(state / "board", waiting(), limit_s)
    is_nobody_there = confirmed is None and not is_door_running(state)
    if made.refused and is_nobody_there:
        _fail_unseen_kill(call, made)
    text = f"Everything goes to legacy while {made.path} exists{_on_all_workers(confirmed)}."
    if confirmed is False:
        text = f"Made {made.path}, but not every worker has confirmed it."
    if made.refused:
        text += f"\nIt is in the state folder, because it cannot be made beside the table: {_refusal_text(made)}."
    if is_nobody_there:
        text += (
            "\nNo front door is running on this state folder; the next one to start will obey it."
        )
    call.print_result(
        {"killed": True, "file": str(made.path), "confirmed": confirmed},
        f"{text}\nTo follow the table again: overgrow resume",
    )
    _note_unrecorded(made.unrecorded)
    if late is not None:
        what = f"The kill file exists, but not every worker has confirmed it: {late}"
        raise AlreadyPrinted("unconfirmed", what)


def _wait_for_kill(
    board: Path, waiting: AnyWaiting | None, limit_s: float
) -> tuple[str | None, bool | None]:
    """Return (late, all_seen): the workers that have not seen the kill file (None if all have), and whether all have.

    Without --wait this reads only the workers' board, which needs neither port nor token. With --no-wait, and
    if no running worker uses this state folder, both values are None.
    """
    if waiting is None:
        return None, None
    if isinstance(waiting, Waiting):
        late = waiting.lag(lambda readyz: kill_lag(readyz, board))
        return late, late is None
    try:
        late = kill_lag_on_board(board, limit_s)
    except LookupError:
        return None, None
    return late, late is None


def _note_unrecorded(why: str | None) -> None:
    """Print a note that the history lacks the change so far, because the kill switch does not wait for the lock."""
    if why is not None:
        echo_safe(
            f"note: not in the history yet ({why}); the next command that writes it adds this entry",
            err=True,
        )


def _fail_unseen_kill(call: Invocation, made: KillResult) -> None:
    """Fail: no front door that uses the state folder of the kill file is running.

    If the kill file is in a temporary folder, remove it, because no front door looks for it there.
    """
    if call.state != call.state_wanted:
        # The history has the kill already, so it gets the end of it, too.
        kill_switch.resume_and_report(call.config, call.state)
        what = f"no kill file can be made where a front door would look for it ({_refusal_text(made)}; "
        what += f"{call.state_wanted} cannot be written)"
        raise Failed(
            "read-only", f"Nothing was changed: {what}.", kill_switch.kill_file_fix(call.config)
        )
    text = f"Made {made.path}, because none can be made beside the table: {_refusal_text(made)}."
    call.print_result({"killed": True, "file": str(made.path), "confirmed": False}, text)
    raise AlreadyPrinted(
        "unconfirmed",
        f"No running front door uses the state folder {call.state}, so none has confirmed the kill file.",
        f"Name its state folder with --state. {kill_switch.kill_file_fix(call.config)}",
    )


def _refusal_text(made: KillResult) -> str:
    return "; ".join(made.refused)


def _require_known_table(call: Invocation) -> None:
    """If there is neither a table nor a last-good table, fail: in a wrong folder a kill file has no effect."""
    last_good = call.state_wanted / "last-good.yaml"
    if not _may_exist(call.config) and not _may_exist(last_good):
        what = (
            f"{call.config} does not exist, and no front door that used it has left a state folder."
        )
        raise Failed("file-missing", what, "Name the table of the front door with --config.")


def _may_exist(path: Path) -> bool:
    """Return whether a file exists; True if the file system does not respond in time."""
    try:
        within(ANSWER_S, path, path.stat)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


@click.command(short_help="End rollback --all: follow the table again.")
@shared_options
@waiting_options
def resume(call: Invocation, waiting: MakeWaiting, limit_s: float) -> None:  # noqa: ARG001  `waiting` has the limit
    """Remove the kill file of overgrow rollback --all, so that the front door follows the table again.

    The command returns when the running workers follow the table.
    """
    _require_known_table(call)
    with _edit_session(call, None):
        resumed = kill_switch.resume_and_report(call.config, call.state_or_wanted)
    late, confirmed = _wait_for_resume(call.state_or_wanted, waiting())
    removed = [str(path) for path in resumed.removed]
    call.print_result(
        {"killed": False, "removed": removed, "confirmed": confirmed},
        _resumed_text(call, removed, confirmed),
    )
    _note_unrecorded(resumed.unrecorded)
    if late is not None:
        what = f"No kill file is left, but not every worker has confirmed it: {late}"
        if is_killed(call.config, call.state_or_wanted):
            what = "A new kill file was made meanwhile, so everything still goes to legacy."
        raise AlreadyPrinted("unconfirmed", what)


def _wait_for_resume(state: Path, waiting: AnyWaiting | None) -> tuple[str | None, bool | None]:
    """Return (late, all_follow): the workers that still obey the kill file (None: no worker), and whether all follow.

    With --no-wait, and if no front door runs on the state folder, both values are None.
    """
    if waiting is None or isinstance(waiting, Nobody):
        return None, None
    late = waiting.lag(lambda readyz: resume_lag(readyz, state))
    return late, late is None


def _resumed_text(call: Invocation, removed: Sequence[str], confirmed: bool | None) -> str:  # noqa: FBT001  three values
    if not removed:
        first, second = kill_files(call.config, call.state_or_wanted)
        seen = f"; the table decides{_on_all_workers(confirmed)}" if confirmed else ""
        return f"Nothing to resume: there is no {first} and no {second}{seen}."
    names = " and ".join(removed)
    if confirmed is False:
        return f"Removed {names}, but not every worker has confirmed it."
    return f"Removed {names}; the front door follows the table again{_on_all_workers(confirmed)}."


@contextmanager
def _edit_session(call: Invocation, route: str | None) -> Iterator[FileDeadline]:
    """Inside the block, limit the time of file calls. If an edit is refused, exit 1 with the reason."""
    try:
        with file_deadline(call, LIMIT_S + 2 * WAIT_S) as deadline:
            yield deadline
    except EditRefused as refused:
        if refused.code == "unknown-route" and route is not None:
            require_route(call, route)
        raise failure_of(refused) from refused


def _actor_checks(call: Invocation, deadline: FileDeadline, limit_s: float) -> dict[str, Any]:
    """Return the arguments of Actor that say how to check whether migrated can serve more clients.

    The running workers check a change; if no front door runs, the app is imported in this process. A change towards
    legacy is not checked.
    """
    stages = partial(refused_routes, call.config)
    if is_door_running(call.state):
        ask = deadline.pausing(partial(ask_workers, call, limit_s=limit_s))
        return {"ask": ask, "stages": stages}
    return {"rules": deadline.pausing(partial(_app_rules, call)), "stages": stages}


def _app_rules(call: Invocation) -> Any:
    """Return the app's rules. It is called only for a change that sends more clients to migrated."""
    return rules_of(call.settings, UNCHANGED)


def _report_flip(call: Invocation, flipped: FlipResult, make_waiting: MakeWaiting) -> None:
    waiting = make_waiting()
    late = waiting.lag(lambda readyz: _lag(call, flipped, readyz)) if waiting else None
    confirmed = None if waiting is None or isinstance(waiting, Nobody) else late is None
    payload = {
        "route": flipped.route,
        "from": flipped.from_,
        "to": flipped.to,
        "revision": flipped.revision,
        "confirmed": confirmed,
    }
    seen = _on_all_workers(confirmed)
    if isinstance(waiting, Nobody) and flipped.changes:
        seen = "; no front door runs on this state folder"
    call.print_result(payload, _flipped_text(flipped, seen))
    if is_killed(call.config, call.state):
        echo_safe("note: a kill file sends everything to legacy until overgrow resume", err=True)
    if late is not None:
        what = f"{call.config} was changed, but not every running worker has confirmed it: {late}"
        raise AlreadyPrinted("unconfirmed", what)


def _lag(call: Invocation, flipped: FlipResult, readyz: Mapping[str, Any]) -> str:
    """Return a text on the workers that still run an older table.

    "" if all run the table of the flip or a newer one.
    """
    late = revision_lag(readyz, flipped.revision)
    data = read_table(call) if late else b""
    if not late or revision_lag(readyz, revision_of(data)):
        return late
    return "" if keeps_flip(data, flipped, os.environ) else late


def _flipped_text(flipped: FlipResult, seen: str) -> str:
    if not flipped.changes:
        return f"{flipped.route} is already {flipped.to}; nothing was changed{seen}."
    return f"{flipped.route}: {flipped.from_} -> {flipped.to} (revision {flipped.revision}{seen})"


def _on_all_workers(confirmed: bool | None) -> str:  # noqa: FBT001  three values
    return ", on all workers" if confirmed else ""
