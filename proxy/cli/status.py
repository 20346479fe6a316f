"""`overgrow status`: what the running front door says of itself, as a table."""

from __future__ import annotations

from typing import Any

import click

from proxy.cli.admin_client import AdminClient, Unreachable
from proxy.cli.context import Call, columns, fail, shared_options


@click.command(short_help="Show the running workers and the traffic split.")
@click.option("--admin", help="The admin listener. [127.0.0.1:8001]")
@shared_options
def status(call: Call) -> None:
    """Ask the admin listener for workers, table and each route's share, errors and medians.

    Exit 1 when it cannot be reached or is not ready.
    """
    client = AdminClient(call.settings.admin, call.settings.admin_token)
    try:
        told = client.get("/api/status")
    except Unreachable as error:
        fail(str(error))
    call.answer(told, _as_text(told))
    if told["status"] != "ready":
        raise SystemExit(1)


def _as_text(told: dict[str, Any]) -> str:
    return "\n\n".join(
        part for part in (_health(told), _split(told["routes"]), _errors(told)) if part
    )


def _health(told: dict[str, Any]) -> str:
    workers = told["workers"]
    agreed = "all on it" if told["agreed"] else "not all on it yet"
    killed = ", KILLED: everything goes to legacy" if told["killed"] else ""
    count = f"{len(workers)} worker{'' if len(workers) == 1 else 's'}"
    lines = [f"{told['status']}: revision {told['revision']}, {count}, {agreed}{killed}"]
    if told.get("irreversible"):
        lines.append(f"still on migrated, irreversible: {', '.join(told['irreversible'])}")
    return "\n".join([*lines, *told.get("notes", ())])


def _errors(told: dict[str, Any]) -> str:
    error = told["reload_error"]
    if error is None:
        return ""
    lines = [f"The file on disk is not what runs, since {error['at']}:"]
    for each in error["problems"]:
        place = f"{each['file']}:{each['line']}:{each['column']}"
        lines.append(f"  {place}: {each['message']}. {each['fix']} [{each['code']}]")
    return "\n".join(lines)


def _split(routes: list[dict[str, Any]]) -> str:
    head = ("ROUTE", "TARGET", "CANARY", "LIVE", "REQUESTS", "ERRORS", "LEGACY", "MIGRATED")
    rows = [head, *(_row(route) for route in routes)]
    return columns(rows, right=frozenset(range(2, len(head))))


def _row(route: dict[str, Any]) -> tuple[str, ...]:
    share = route["live_share"]
    return (
        route["name"],
        route["target"] or "-",
        f"{route['canary']:g}%" if route["canary"] else "-",
        "-" if share is None else f"{share:.4g}%",
        str(route["requests"]),
        str(route["errors"]),
        _median(route["legacy"]),
        _median(route["migrated"]),
    )


def _median(side: dict[str, Any]) -> str:
    median_s = side["median_s"]
    return "-" if median_s is None else f"{median_s * 1000:.3g} ms"
