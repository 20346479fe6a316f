"""`overgrow history`: who moved what, when and why, and whether the record is complete.

It reads only `flips.jsonl`, neither the table nor the app.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from overgrow.cli.completion import RouteName
from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.failures import AlreadyPrinted, Failed
from overgrow.cli.file_deadline import file_deadline
from overgrow.cli.output import echo_safe
from overgrow.table.editing.history import JOURNAL, History, HistoryEntry, read_history
from overgrow.table.editing.unrecorded import waiting_notes
from overgrow.text import printable

LAST = 20


@click.command(short_help="Show who moved what, when and why.")
@click.argument("route", type=RouteName(groups=True), metavar="[ROUTE]", required=False)
@click.option(
    "--last",
    type=click.IntRange(min=1),
    default=LAST,
    metavar="N",
    help=f"How many entries, the latest first. [default: {LAST}]",
)
@shared_options
def history(call: Invocation, route: str | None, last: int) -> None:
    """Show flips, rollbacks, kills, resumes and accepted rules, the latest first.

    With ROUTE or group:NAME only what was done to that. Each line of the history contains the hash of
    the line before. Exit 1 if a line was changed or removed later.
    """
    with file_deadline(call):
        found = read_history(call.state_to_read)
        late = waiting_notes(call.config, call.state_to_read)
    chosen = [entry for entry in reversed(found.entries) if route in (None, entry.route)][:last]
    undone = {entry.undoes: entry.at for entry in found.entries if entry.undoes}
    payload = {"entries": [_json(entry, undone) for entry in chosen], "broken": list(found.broken)}
    nothing = f"Nothing is recorded{f' of {route}' if route else ''} in {call.state_to_read}."
    call.print_result(payload, "\n".join(_text(entry, undone) for entry in chosen) or nothing)
    recorded = {entry.id for entry in found.entries}
    for note in late:
        if note["id"] not in recorded:
            what = f"{note['at']}  {note['who']}  {note['action']}"
            echo_safe(f"note: not in the history yet: {printable(what, keep='')}", err=True)
    _report_broken(call, found)


def _report_broken(call: Invocation, found: History) -> None:
    """Print a note on a line that a crash cut short; fail if a line was changed or removed."""
    place = call.state_to_read / JOURNAL
    if len(found.broken) == len(found.torn):
        for sentence in found.broken:
            echo_safe(f"note: {place}: {sentence}", err=True)
        return
    message = f"{place} was changed after it was written: {'; '.join(found.broken)}."
    fix = "Compare it with a backup. overgrow rollback uses the history as it is now."
    if call.json:
        raise AlreadyPrinted("history-broken", message, fix)
    raise Failed("history-broken", message, fix)


def _json(entry: HistoryEntry, undone: Mapping[str, str]) -> dict[str, Any]:
    return {
        "at": entry.at,
        "who": entry.who,
        "action": entry.action,
        "route": entry.route,
        "from": entry.from_,
        "to": entry.to,
        "before": entry.before,
        "after": entry.after,
        "why": entry.why,
        "overruled": list(entry.overruled),
        "undone": undone.get(entry.key),
    }


def _text(entry: HistoryEntry, undone: Mapping[str, str]) -> str:
    """Return an entry for people: when, who and what. Lines below it say why, which gates were overruled, and when it was undone."""
    moved = f" {entry.route}: {entry.from_} -> {entry.to}" if entry.route else ""
    lines = [f"{entry.at}  {entry.who}  {entry.action}{moved}"]
    lines += [f"  why: {entry.why}"] if entry.why else []
    lines += [f"  though: {sentence}" for sentence in entry.overruled]
    lines += [f"  undone {undone[entry.key]}"] if entry.key in undone else []
    # A line end in a name or a reason must not look like another entry.
    return "\n".join(printable(line, keep="") for line in lines)
