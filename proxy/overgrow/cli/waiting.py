"""--wait: ask /readyz until every worker has followed a change, or say which one has not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from overgrow.files import ANSWER_S, within
from overgrow.table.reading.values import parse_duration_s
from overgrow.yaml_file.scalars import FieldError

if TYPE_CHECKING:
    from overgrow.cli.admin_client import AdminClient
    from overgrow.cli.context import Invocation

POLL_S = 0.05

ReadyzJson = Mapping[str, Any]  # what /readyz says


class Waiting:
    """One --wait: the admin listener to ask, and for how long."""

    def __init__(self, client: AdminClient, limit_s: float) -> None:
        self._client = client
        self._limit_s = limit_s

    def lag(self, late: Callable[[ReadyzJson], str]) -> str | None:
        """Return why not all workers have the change; None once `late` returns "".

        An unreachable front door and Ctrl-C end the wait; the change itself stays.
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
    """Return which workers do not run the revision, and whether they reject the file; "" if all run it."""
    workers = readyz["workers"]
    late = [each for each in workers if each["revision"] != revision]
    if workers and not late:
        return ""
    names = [f"worker {w['slot']} (pid {w['pid']}) runs {w['revision']}" for w in late]
    text = f"{', '.join(names) or 'no worker is running'}."
    error = readyz["reload_error"]
    return (
        f"{text} It has rejected the file since {error['at']}: see overgrow status"
        if error
        else text
    )


def kill_lag(readyz: ReadyzJson, board: Path) -> str:
    """Return which workers have not seen the kill file; "" if all have.

    /readyz reports on the worker that answers it; the board beside the kill file reports on all.
    """
    from overgrow.observe.board import workers  # noqa: PLC0415  only for --wait

    late = [each for each in workers(board) if not each.get("killed")]
    if readyz["killed"] and not late:
        return ""
    names = [f"worker {each['slot']} (pid {each['pid']})" for each in late]
    return f"{', '.join(names) or 'the front door'} has not seen it."


def kill_lag_on_board(board: Path, limit_s: float) -> str | None:
    """Return which living workers have not seen a kill file in time, by the board; None if all have.

    Raises:
        LookupError: if no living worker uses this board.

    """
    deadline = time.monotonic() + limit_s
    while True:
        living = _living(board)
        if not living:
            raise LookupError
        late = [each for each in living if not each.get("killed")]
        if not late:
            return None
        if time.monotonic() >= deadline:
            names = ", ".join(f"worker {each['slot']} (pid {each['pid']})" for each in late)
            return f"after {limit_s:g} s {names} has not seen it."
        time.sleep(POLL_S)


def _living(board: Path) -> Sequence[Mapping[str, Any]]:
    """Return the living workers of a board; none if it cannot be read in time."""
    from overgrow.observe.board import workers  # noqa: PLC0415  only where somebody waits

    try:
        return within(ANSWER_S, board, partial(workers, board))
    except OSError:
        return ()


def _limit(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    try:
        return parse_duration_s(value, "--timeout")
    except FieldError as bad:
        raise click.BadParameter(f"{bad}. {bad.fix}") from bad


def waiting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --wait, --timeout and --admin, and pass it a Waiting, or None without --wait."""

    @click.option(
        "--wait", is_flag=True, help="Wait until all workers follow; exit 1 if they do not."
    )
    @click.option(
        "--timeout",
        metavar="SPAN",
        default="5s",
        callback=_limit,
        help="How long --wait waits. [default: 5s]",
    )
    @click.option(
        "--admin",
        metavar="ADDRESS",
        help="The admin listener to ask. [default: 127.0.0.1:8001]",
    )
    @wraps(command)
    def wrapper(call: Invocation, wait: bool, timeout: float, **given: Any) -> Any:  # noqa: FBT001  click's
        return command(call, waiting=_make_waiting(call, timeout) if wait else None, **given)

    return wrapper


def _make_waiting(call: Invocation, limit_s: float) -> Waiting:
    from overgrow.cli.admin_client import AdminClient  # noqa: PLC0415  http.client is slow to import

    return Waiting(AdminClient(call.settings.admin, call.settings.admin_token), limit_s)
