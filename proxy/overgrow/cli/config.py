"""`overgrow config`: every setting in force, the source of its value, and what is needed to change it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from overgrow.cli.columns import columns, screen_width
from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.file_deadline import file_deadline
from overgrow.cli.output import echo_safe
from overgrow.cli.settings_in_force import (
    find_front_door,
    note_unknown_variables,
    report_settings,
    unknown_variable_warnings,
)
from overgrow.cli.workers import living_workers
from overgrow.text import printable

# Each shell names the table and the folder in its own way.
_WAYS_TO_THE_DOOR = frozenset({"config", "state"})


@click.command(short_help="Show the settings in force, and where each came from.")
@shared_options
def config(call: Invocation) -> None:
    """Show each setting with its value, where the value came from, and whether a change needs a restart or a reload.

    If a front door runs on the state folder, the values are those it runs with; notes say where this shell would
    start another one. Otherwise the values are those of this shell. The command says only that a
    secret is set, never its value.
    """
    given = click.get_current_context().params
    here = report_settings(call.settings, {name: given.get(name) for name in ("config", "state")})
    with file_deadline(call):
        state = call.state_to_read
        pid, report = find_front_door(state)
        unknown = list(unknown_variable_warnings(call.config))
        rows = here if report is None else _with_app_of_workers(report["settings"], state)
    differs = [] if report is None else list(_differences(here, rows))
    door = None if pid is None else {"pid": pid, "version": (report or {}).get("version")}
    payload = {
        "front_door": door,
        "of": "shell" if report is None else "front_door",
        "settings": rows,
        "differs": differs,
        "unknown": unknown,
    }
    call.print_result(payload, f"{_heading(str(state), door)}\n\n{_as_text(rows)}")
    _print_differences(differs)
    note_unknown_variables(call.config)


def _with_app_of_workers(rows: Sequence[dict[str, Any]], state: Path) -> list[dict[str, Any]]:
    """Return the rows of the settings with the app that the workers run now: a reload may have changed the app."""
    app = next((each["app"] for each in living_workers(state) if each.get("app")), None)
    return [
        {**row, "value": app, "source": "table", "change": "reload"}
        if app and row["name"] == "app" and row["source"] in {"table", "default"}
        else row
        for row in rows
    ]


def _heading(state: str, door: Mapping[str, Any] | None) -> str:
    if door is None:
        return f"The settings of this shell; no front door runs on {state}."
    if door["version"] is None:
        what = f"The front door that runs on {state} (pid {door['pid']}) does not say its settings"
        return f"{what}. These are the settings of this shell."
    return (
        f"The settings of the front door on {state} (version {door['version']}, pid {door['pid']})."
    )


def _as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("SETTING", "VALUE", "FROM", "CHANGE BY")
    return columns([head, *(_text_row(row) for row in rows)], width=screen_width())


def _text_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    places = {"flag": row["flag"], "environment": "environment", "env-file": row["file"]}
    cells = (
        row["variable"] or row["flag"],
        row["value"] or "-",
        places.get(row["source"]) or row["source"],
        row["change"],
    )
    return tuple(printable(cell, keep="") for cell in cells)


def _differences(
    here: Sequence[Mapping[str, Any]], running: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield each setting of this shell whose value differs from that of the running front door."""
    by_name = {row["name"]: row for row in running}
    for row in here:
        other = by_name.get(row["name"])
        is_set_here = row["source"] in {"flag", "environment", "env-file"}
        if row["name"] in _WAYS_TO_THE_DOOR or not is_set_here or other is None:
            continue
        if row["value"] != other["value"]:
            yield {
                "name": row["name"],
                "variable": row["variable"],
                "here": row["value"],
                "running": other["value"],
            }


def _print_differences(differs: Sequence[Mapping[str, Any]]) -> None:
    for each in differs:
        where = f"in this shell; the front door runs with {each['running'] or 'none'}"
        what = printable(f"{each['variable']} is {each['here']} {where}", keep="")
        fix = "Start the front door with this value if it should have it."
        echo_safe(f"note: {what}. {fix}", err=True)
