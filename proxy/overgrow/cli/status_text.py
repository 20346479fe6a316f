"""The state of the running front door as text for people. Pure: the JSON of /api/status in, lines out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from overgrow.cli.columns import columns, screen_width
from overgrow.text import ago, clock_text, count_text, duration_text

WINDOWS = {"last_minute": "1 min", "last_five_minutes": "5 min"}


def is_well(payload: Mapping[str, Any]) -> bool:
    """Whether the front door is ready, its table on disk is in force, and legacy answers."""
    is_refused = payload["reload_error"] is not None
    return payload["status"] == "ready" and not is_refused and not upstream_error(payload)


def status_text(payload: Mapping[str, Any]) -> str:
    """Return the text of `overgrow status`."""
    parts = (
        health_text(payload),
        sides_table(payload.get("sides", {}), screen_width()),
        _split(payload["routes"]),
        breakers_text(payload.get("breakers", ())),
        error_text(payload),
        boot_error_text(payload),
    )
    return "\n\n".join(part for part in parts if part)


# Workers run one revision, and yet /readyz says that they do not agree.
DIFFER_ON_KILL = (
    "not all workers have noticed that the kill file was made or removed: that takes a second"
)


def health_text(payload: Mapping[str, Any]) -> str:
    """Return the state in words: revision, workers, version, load, legacy, kill file, notes."""
    count = len(payload["workers"])
    on_it = all(each["revision"] == payload["revision"] for each in payload["workers"])
    agreed = "all running it" if on_it else "not all running it"
    workers = f"{count_text(count, 'worker')}{f', {agreed}' if count else ''}"
    lines = [f"{payload['status']}: revision {payload['revision'] or '-'}, {workers}"]
    if server := payload.get("server"):  # an earlier version's front door does not send it
        since = f"{server['started_at'].replace('T', ' ').removesuffix('Z')} UTC"
        lines.append(f"version {server['version']}, pid {server['pid']}, up since {since}")
        if addresses := server.get("addresses"):
            lines.append(f"public {addresses['public']}, admin {addresses['admin']}")
    lines += _load_lines(payload)
    if legacy_error := upstream_error(payload):
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


def _load_lines(payload: Mapping[str, Any]) -> list[str]:
    """Return lines with the numbers of connections and calls.

    No lines if the front door is an earlier version that omits them.
    """
    if "connections" not in payload:
        return []
    open_now, calls = payload["connections"], payload["local_calls"]
    connections = f"{count_text(open_now['open'], 'connection')} of at most {open_now['most']:,}"
    running = f"{count_text(calls['running'], 'call')} in {count_text(calls['threads'], 'thread')}"
    found = [f"{connections}; {running}, {calls['waiting']:,} waiting"]
    if calls["stuck_threads"]:
        found.append(f"STUCK: {count_text(calls['stuck_threads'], 'thread')} past the timeout")
    return found


def sides_table(sides: Mapping[str, Mapping[str, Any]], width: int | None = None) -> str:
    """Return the rates of both sides as a table, one row for each window with requests.

    "" if there were no requests.
    """
    head = ("SIDE", "WINDOW", "REQUESTS", "REQ/S", "ERRORS", "SHARE", "P50", "P95", "P99")
    rows = [
        (side, words, *_window_cells(windows[name]))
        for side, windows in sides.items()
        for name, words in WINDOWS.items()
        if name in windows
    ]
    if not rows:
        return ""
    return columns([head, *rows], right=frozenset(range(2, len(head))), width=width)


def _window_cells(window: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{window['requests']}",
        f"{window['per_second']:.3g}",
        f"{window['errors']}",
        error_share(window["errors"], window["requests"]),
        *(duration_text(window[f"{name}_s"]) for name in ("p50", "p95", "p99")),
    )


def error_share(errors: int, requests: int) -> str:
    """Return the share of errors; a share above zero is never shown as 0%."""
    if not errors:
        return "-"
    percent = 100 * errors / requests
    return f"{percent:.3g}%" if percent >= 0.01 else "<0.01%"


def upstream_error(payload: Mapping[str, Any]) -> str:
    """Return since when legacy has not answered, and why; "" if it answers."""
    upstream = payload.get("upstream")  # an earlier version's front door does not send it
    if upstream is None or upstream["up"]:
        return ""
    since_s, now_s = datetime.fromisoformat(upstream["since"]).timestamp(), time.time()
    since = clock_text(since_s, now_s)
    return (
        f"legacy does not answer since {since} ({upstream['error']}): {ago(now_s - since_s)}, UTC"
    )


def breakers_text(breakers: Sequence[Mapping[str, Any]]) -> str:
    """Return a line for each route, side and state of open or half-open breakers; "" if all breakers are closed."""
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


def error_text(payload: Mapping[str, Any]) -> str:
    """Return why the file on disk is refused, with its problems; "" if it is accepted."""
    error = payload["reload_error"]
    if error is None:
        return ""
    lines = [f"REFUSED: the front door has not loaded the file on disk since {error['at']}"]
    for each in error["problems"]:
        place = f"{each['file']}:{each['line']}:{each['column']}"
        who = f'route "{each["route"]}": ' if each["route"] else ""
        lines.append(f"  {place}: {who}{each['message']}. {each['fix']} [{each['code']}]")
    return "\n".join(lines)


def boot_error_text(payload: Mapping[str, Any]) -> str:
    """Return why new workers do not start; "" if they start."""
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
