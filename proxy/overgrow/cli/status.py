"""`overgrow status`: the state of the running front door, as a table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from overgrow.cli.admin_client import AdminClient, Unreachable
from overgrow.cli.columns import columns, screen_width
from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.failures import Failed
from overgrow.cli.running_admin import admin_address
from overgrow.text import ago, clock_text, count_text, duration_text


@click.command(short_help="Show the running workers and the traffic split.")
@click.option(
    "--admin",
    metavar="ADDRESS",
    help="The admin listener. [default: that of the front door here]",
)
@shared_options
def status(call: Invocation) -> None:
    """Show workers, revision and each route's share, errors and medians, from the admin listener.

    LIVE is migrated's share of requests in the last minute; LEGACY and MIGRATED are median times.
    Breakers that are not closed are listed. Exit 1 if the listener cannot be reached, the front door
    is not ready, the table on disk is refused, or legacy does not answer.
    """
    client = AdminClient(admin_address(call), call.settings.admin_token)
    try:
        payload = client.get("/api/status")
    except Unreachable as error:
        raise Failed("unreachable", error.message, error.fix) from error
    call.print_result(payload, _as_text(payload))
    if payload["status"] != "ready" or payload["reload_error"] or _upstream_error(payload):
        raise SystemExit(1)


def _as_text(payload: dict[str, Any]) -> str:
    parts = (
        _health(payload),
        _split(payload["routes"]),
        _breakers(payload.get("breakers", ())),
        _errors(payload),
        _boot_error(payload),
    )
    return "\n\n".join(part for part in parts if part)


# Workers run one revision, and yet /readyz says that they do not agree.
DIFFER_ON_KILL = (
    "not all workers have noticed that the kill file was made or removed: that takes a second"
)


def _health(payload: dict[str, Any]) -> str:
    count = len(payload["workers"])
    on_it = all(each["revision"] == payload["revision"] for each in payload["workers"])
    agreed = "all running it" if on_it else "not all running it"
    workers = f"{count_text(count, 'worker')}{f', {agreed}' if count else ''}"
    lines = [f"{payload['status']}: revision {payload['revision'] or '-'}, {workers}"]
    if server := payload.get("server"):  # an earlier version's front door does not send it
        since = f"{server['started_at'].replace('T', ' ').removesuffix('Z')} UTC"
        lines.append(f"version {server['version']}, pid {server['pid']}, up since {since}")
    if legacy_error := _upstream_error(payload):
        lines.append(legacy_error)
    if count and on_it and not payload["agreed"]:
        lines.append(DIFFER_ON_KILL)
    elif not on_it:
        lines += [
            f"  worker {each['slot']} (pid {each['pid']}): revision {each['revision']} since {each['since']}"
            for each in payload["workers"]
        ]
    if payload["killed"]:
        lines.append(
            "KILLED: everything goes to legacy. To follow the table again: overgrow resume"
        )
        if payload.get("irreversible"):
            names = ", ".join(payload["irreversible"])
            lines.append(f"  except these, whose data has left legacy: {names}")
    return "\n".join([*lines, *(f"note: {note}" for note in payload.get("notes", ()))])


def _upstream_error(payload: Mapping[str, Any]) -> str:
    """Return since when legacy does not answer, and why; "" if it answers."""
    upstream = payload.get("upstream")  # an earlier version's front door does not send it
    if upstream is None or upstream["up"]:
        return ""
    since_s, now_s = datetime.fromisoformat(upstream["since"]).timestamp(), time.time()
    since = clock_text(since_s, now_s)
    return (
        f"legacy does not answer since {since} ({upstream['error']}): {ago(now_s - since_s)}, UTC"
    )


def _breakers(breakers: Sequence[Mapping[str, Any]]) -> str:
    """Return a line for each route, side and state with breakers that are not closed; "" if all are closed."""
    by_breaker: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for each in breakers:
        by_breaker.setdefault((each["route"], each["side"], each["state"]), []).append(each)
    lines = [_breaker(*key, found) for key, found in sorted(by_breaker.items())]
    if lines:
        lines.append("To close them at once: overgrow breaker reset ROUTE")
    return "\n".join(lines)


def _breaker(route: str, side: str, state: str, found: Sequence[Mapping[str, Any]]) -> str:
    where = count_text(len(found), "worker")
    line = f"BREAKER {state}: {route}, {side}, in {where}"
    by = found[0]["opened_by"]
    return f"{line}: {by['failed']} failed and {by['slow']} slow of {by['answers']}" if by else line


def _errors(payload: dict[str, Any]) -> str:
    error = payload["reload_error"]
    if error is None:
        return ""
    lines = [f"REFUSED: the front door has not loaded the file on disk since {error['at']}"]
    for each in error["problems"]:
        place = f"{each['file']}:{each['line']}:{each['column']}"
        who = f'route "{each["route"]}": ' if each["route"] else ""
        lines.append(f"  {place}: {who}{each['message']}. {each['fix']} [{each['code']}]")
    return "\n".join(lines)


def _boot_error(payload: dict[str, Any]) -> str:
    error = payload.get("boot_error")  # an earlier version's front door does not send it
    if error is None:
        return ""
    what = f"NOT STARTED: {error['failures']} workers in a row since {error['at']}; the others keep serving"
    return f"{what}\n  {error['reason']}"


def _split(routes: list[dict[str, Any]]) -> str:
    head = ("ROUTE", "TARGET", "CANARY", "LIVE", "REQUESTS", "ERRORS", "LEGACY", "MIGRATED")
    rows = [head, *(_row(route) for route in routes)]
    return columns(rows, right=frozenset(range(2, len(head))), width=screen_width())


def _row(route: dict[str, Any]) -> tuple[str, ...]:
    share = route["live_share"]
    return (
        route["name"],
        route["target"] or "-",
        f"{route['canary']:g}%" if route["canary"] else "-",
        "-" if share is None else f"{share:.4g}%",
        str(route["requests"]),
        str(route["errors"]),
        duration_text(route["legacy"]["median_s"]),
        duration_text(route["migrated"]["median_s"]),
    )
