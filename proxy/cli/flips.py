"""`overgrow flip`, `rollback`, `resume`: move a route, put it back, put everything back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from proxy.cli.admin_client import AdminClient, Unreachable
from proxy.cli.context import Call, fail, shared_options
from proxy.loading import edit
from proxy.loading.edit import Flipped
from proxy.loading.parse import AppRule
from proxy.loading.problems import Refused

POLL_S = 0.05


def timeout(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """Read --timeout as seconds."""
    from proxy.loading.values import Bad, seconds  # noqa: PLC0415

    try:
        return seconds(value, "--timeout")
    except Bad as bad:
        raise click.BadParameter(str(bad)) from bad


def waiting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --wait, --timeout and --admin."""
    for option in (
        click.option("--admin", help="The admin listener, for --wait. [127.0.0.1:8001]"),
        click.option("--timeout", default="5s", callback=timeout, help="Limit of --wait. [5s]"),
        click.option("--wait", is_flag=True, help="Wait until all workers run the change."),
    ):
        command = option(command)
    return command


@click.command(short_help="Move a route: legacy, migrated, gone or N%.")
@click.argument("route")
@click.argument("to", metavar="legacy|migrated|gone|N%")
@waiting_options
@shared_options
def flip(call: Call, route: str, to: str, wait: bool, timeout: float) -> None:  # noqa: FBT001
    """Move ROUTE to a side, retire it (gone), or give migrated a share of clients (N%).

    Changes that one word in the table, byte for byte, and records it. Running front doors see it
    within a second; --wait confirms that.
    """
    flipped = _refusable(
        lambda: edit.flip(
            call.config, call.state, route, to, env=os.environ, rules=lambda: _rules(call)
        )
    )
    _tell(call, flipped, wait=wait, timeout_s=timeout)


@click.command(short_help="Undo the last flip; --all puts everything on legacy.")
@click.argument("route", required=False)
@click.option("--all", "everything", is_flag=True, help="Everything to legacy, by the kill file.")
@waiting_options
@shared_options
def rollback(
    call: Call,
    route: str | None,
    everything: bool,  # noqa: FBT001
    wait: bool,  # noqa: FBT001
    timeout: float,
) -> None:
    """Undo the last flip (of ROUTE) that is not yet undone; a second rollback goes one further.

    With --all nothing is edited: a kill file sends every request to legacy until overgrow resume.
    """
    if everything and route:
        raise click.UsageError("--all puts everything on legacy; leave out ROUTE.")
    if everything:
        _kill(call, wait=wait, timeout_s=timeout)
        return
    flipped = _refusable(
        lambda: edit.rollback(
            call.config, call.state, route, env=os.environ, rules=lambda: _rules(call)
        )
    )
    _tell(call, flipped, wait=wait, timeout_s=timeout)


def _kill(call: Call, *, wait: bool, timeout_s: float) -> None:
    path = _refusable(lambda: edit.kill(call.config, call.state))
    confirmed = _confirmed(call, _is_killed, timeout_s) if wait else None
    _require(confirmed is not False, "the kill file is there, but not every worker has said so")
    told = {"killed": True, "file": str(path), "confirmed": confirmed}
    text = f"Everything goes to legacy while {path} exists. Back to the table: overgrow resume" + (
        ", seen by all workers" if confirmed else ""
    )
    call.answer(told, text)


@click.command(short_help="End rollback --all: the table decides again.")
@shared_options
def resume(call: Call) -> None:
    """Remove the kill file: the table decides again."""
    removed = _refusable(lambda: edit.resume(call.config, call.state))
    told = {"killed": False, "removed": [str(path) for path in removed]}
    gone = ", ".join(str(path) for path in removed)
    call.answer(told, f"Removed {gone}; the table decides again." if removed else "No kill file.")


def _refusable(act: Callable[[], Any]) -> Any:
    """Run an edit; what it refuses ends with exit 1 and the full reason."""
    try:
        return act()
    except Refused as refused:
        fail(str(refused))


def _rules(call: Call) -> Sequence[AppRule] | None:
    """The app's rules, asked for only when a change sends more clients to migrated."""
    from proxy.app import app_rules, team_of  # noqa: PLC0415  imports Flask and the team's app

    team = team_of(call.settings)
    rules = app_rules(team)
    if rules is None:
        fail(f"{team.why}. Nothing was changed: migrated could not answer. Mend the import first.")
    return rules


def _tell(call: Call, flipped: Flipped, *, wait: bool, timeout_s: float) -> None:
    confirmed: bool | None = None
    lag = ""
    if wait:
        confirmed = _confirmed(call, lambda told: _runs(told, flipped.revision), timeout_s)
        lag = "" if confirmed else _lag(call, flipped.revision)
    told = {
        "route": flipped.route,
        "from": flipped.from_,
        "to": flipped.to,
        "revision": flipped.revision,
        "confirmed": confirmed,
    }
    call.answer(told, _flipped_text(flipped, confirmed=confirmed))
    if confirmed is False:
        fail(f"The file says so, but after {timeout_s:g} s not every worker runs it. {lag}")


def _flipped_text(flipped: Flipped, *, confirmed: bool | None) -> str:
    if not flipped.changes:
        return f"{flipped.route} is {flipped.to} already; nothing was changed."
    seen = ", on all workers" if confirmed else ""
    return f"{flipped.route}: {flipped.from_} -> {flipped.to} (revision {flipped.revision}{seen})"


def _require(condition: bool, message: str) -> None:  # noqa: FBT001
    if not condition:
        fail(message)


def _runs(told: dict[str, Any], revision: str) -> bool:
    """Whether every worker runs the revision."""
    return bool(told["workers"]) and all(w["revision"] == revision for w in told["workers"])


def _is_killed(told: dict[str, Any]) -> bool:
    return bool(told["killed"] and told["agreed"])


def _confirmed(call: Call, done: Callable[[dict[str, Any]], bool], timeout_s: float) -> bool:
    """Poll /readyz until `done` or the time is up; a front door nobody can reach is exit 1."""
    client = AdminClient(call.settings.admin, call.settings.admin_token)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if done(client.get("/readyz")):
                return True
        except Unreachable as error:
            fail(f"The change is written, but cannot be confirmed. {error}")
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)


def _lag(call: Call, revision: str) -> str:
    """Name the workers that do not run the revision yet."""
    told = AdminClient(call.settings.admin, call.settings.admin_token).get("/readyz")
    late = [w for w in told["workers"] if w["revision"] != revision]
    names = ", ".join(f"slot {w['slot']} (pid {w['pid']}) runs {w['revision']}" for w in late)
    error = told["reload_error"]
    return names + (f"; its file is refused since {error['at']}" if error else "")
