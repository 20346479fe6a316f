"""Waits until every worker follows a change. It asks the board or, with --admin, /readyz.

If the time runs out, the result names the workers that do not follow the change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from overgrow.cli.context import Invocation
from overgrow.cli.workers import is_door_running, living_workers
from overgrow.table.reading.values import parse_duration_s
from overgrow.yaml_file.scalars import FieldError

if TYPE_CHECKING:
    from overgrow.cli.admin_client import AdminClient

POLL_S = 0.05

ReadyzJson = Mapping[str, Any]  # what /readyz says


class BoardWaiting:
    """A wait for the workers of a state folder. It reads what they write on the board."""

    def __init__(self, state: Path, limit_s: float) -> None:
        self._state, self._limit_s = state, limit_s

    def lag(self, late: Callable[[ReadyzJson], str]) -> str | None:
        """Wait until `late` returns "", then return None. If the time runs out, return the last result of `late`.

        `late` gets the reports of the workers, and returns a text on those workers that do not follow the
        change yet.

        Ctrl-C ends the wait; the change itself stays.
        """
        deadline = time.monotonic() + self._limit_s
        try:
            while who := late(self._as_readyz()):
                if time.monotonic() >= deadline:
                    return f"after {self._limit_s:g} s {who}"
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            return "you stopped waiting."
        return None

    def _as_readyz(self) -> ReadyzJson:
        workers = living_workers(self._state)
        errors = [each["reload_error"] for each in workers if each.get("reload_error")]
        return {"workers": workers, "reload_error": errors[0] if errors else None}


class Nobody:
    """Takes the place of a wait if no front door runs on this state folder."""

    def lag(self, _late: Callable[[ReadyzJson], str]) -> None:
        """Return None at once."""


class Waiting:
    """A wait for the workers of a front door. It asks /readyz of the admin listener."""

    def __init__(self, client: AdminClient, limit_s: float) -> None:
        self._client = client
        self._limit_s = limit_s

    def lag(self, late: Callable[[ReadyzJson], str]) -> str | None:
        """Wait until `late` returns "", then return None. If the time runs out, return the last result of `late`.

        `late` gets the reports of the workers, and returns a text on those workers that do not follow the
        change yet.

        Ctrl-C and a front door that cannot be reached end the wait. The change itself stays.
        """
        from overgrow.cli.admin_client import Unreachable  # noqa: PLC0415  only for --wait

        deadline = time.monotonic() + self._limit_s
        try:
            while True:
                who = late(self._client.get("/readyz"))
                if not who:
                    return None
                if time.monotonic() >= deadline:
                    return f"after {self._limit_s:g} s {who}"
                time.sleep(POLL_S)
        except Unreachable as error:
            return str(error)
        except KeyboardInterrupt:
            return "you stopped waiting."


def revision_lag(readyz: ReadyzJson, revision: str) -> str:
    """Return a text on the workers that run another revision, and on why they reject the file.

    "" if all run this one.
    """
    workers = readyz["workers"]
    late = [each for each in workers if each["revision"] != revision]
    if workers and not late:
        return ""
    names = [f"worker {w['slot']} (pid {w['pid']}) runs {w['revision']}" for w in late]
    text = f"{', '.join(names) or 'no worker is running'}."
    error = readyz["reload_error"]
    if not error:
        return text
    first = next(iter(error["problems"]), None)
    why = f"{first['message']}. {first['fix']} [{first['code']}]. " if first else ""
    return f"{text} It has rejected the file since {error['at']}: {why}see overgrow status"


def kill_lag(readyz: ReadyzJson, board: Path) -> str:
    """Return a text on the workers that have not seen the kill file; "" if all have seen it.

    /readyz reports on the worker that answers it, and the board reports on all workers.
    """
    from overgrow.observe.board import workers  # noqa: PLC0415  only for --wait

    late = [each for each in workers(board) if not each.get("killed")]
    if readyz["killed"] and not late:
        return ""
    names = [f"worker {each['slot']} (pid {each['pid']})" for each in late]
    return f"{', '.join(names) or 'the front door'} has not seen it."


def resume_lag(readyz: ReadyzJson, state: Path) -> str:
    """Return a text on the workers that still obey a kill file; "" if all follow the table.

    The board reports on all workers. /readyz reports on the worker that answers it, and that worker may use
    another board.
    """
    late = [each for each in living_workers(state) if each.get("killed")]
    if not late and readyz["workers"] and not readyz.get("killed"):
        return ""
    names = [f"worker {each['slot']} (pid {each['pid']})" for each in late]
    if not names and not readyz["workers"]:
        return "no worker is running."
    return f"{', '.join(names) or 'the front door'} still sends everything to legacy."


def kill_lag_on_board(board: Path, limit_s: float) -> str | None:
    """Wait until the board shows that all living workers have seen a kill file; then return None.

    If the time runs out, return a text on the workers that have not seen it.

    Raises:
        LookupError: if no living worker uses this board.

    """
    deadline = time.monotonic() + limit_s
    while True:
        living = living_workers(board.parent)
        if not living:
            raise LookupError
        late = [each for each in living if not each.get("killed")]
        if not late:
            return None
        if time.monotonic() >= deadline:
            names = ", ".join(f"worker {each['slot']} (pid {each['pid']})" for each in late)
            return f"after {limit_s:g} s {names} has not seen it."
        time.sleep(POLL_S)


def parse_timeout_option(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """Read --timeout as seconds."""
    try:
        return parse_duration_s(value, "--timeout")
    except FieldError as bad:
        raise click.BadParameter(f"{bad}. {bad.fix}") from bad


def waiting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options --wait, --timeout and --admin.

    The command gets `waiting`, a function that makes the wait, and `limit_s`.
    """

    @click.option(
        "--wait/--no-wait",
        default=None,
        help="Whether to wait for all workers. [default: wait]",
    )
    @click.option(
        "--timeout",
        metavar="SPAN",
        default="5s",
        callback=parse_timeout_option,
        help="How long to wait. [default: 5s]",
    )
    @click.option(
        "--admin",
        metavar="ADDRESS",
        help="Ask this admin listener instead of the state folder.",
    )
    @wraps(command)
    def wrapper(call: Invocation, wait: bool | None, timeout: float, **given: Any) -> Any:  # noqa: FBT001  click's
        waiting = _make_waiting(call, wait, timeout)
        return command(call, waiting=waiting, limit_s=timeout, **given)

    return wrapper


AnyWaiting = Waiting | BoardWaiting | Nobody
MakeWaiting = Callable[
    [], AnyWaiting | None
]  # once the change is made: it may look for a front door


def _make_waiting(call: Invocation, wait: bool | None, limit_s: float) -> MakeWaiting:  # noqa: FBT001  three values
    """Return a function that makes the wait, or returns None with --no-wait.

    If --admin is given, the wait asks the admin listener. Otherwise it reads the board of the front door that
    runs on the state folder. If no front door runs there, it asks the admin listener with --wait, and waits for
    nobody without --wait.
    """
    if wait is False:
        return lambda: None
    source = click.get_current_context().get_parameter_source("admin")
    is_named = source is click.core.ParameterSource.COMMANDLINE
    # Made at once: a wrong address is refused before anything changes.
    listener = _wait_for_listener(call, limit_s) if is_named or wait else None

    def make() -> AnyWaiting:
        state = call.state_or_wanted
        if not is_named and is_door_running(state):
            return BoardWaiting(state, limit_s)
        return listener or Nobody()

    return make


def _wait_for_listener(call: Invocation, limit_s: float) -> Waiting:
    from overgrow.cli.admin_client import AdminClient  # noqa: PLC0415  http.client is slow to import

    return Waiting(AdminClient(call.settings.admin, call.settings.admin_token), limit_s)
