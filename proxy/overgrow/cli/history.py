"""`overgrow history`: who moved what, when and why, and whether the record is complete.

It reads only `flips.jsonl`, neither the table nor the app.
"""

from __future__ import annotations

import click

from overgrow.cli.completion import RouteName
from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.failures import AlreadyPrinted, Failed
from overgrow.cli.file_deadline import file_deadline
from overgrow.cli.output import echo_safe
from overgrow.table.editing.history import JOURNAL, History, read_history
from overgrow.table.editing.history_list import WAITING, HistoryRow, list_history
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

    With ROUTE, show only changes of that route, including flips of its group. With group:NAME, show only
    changes of that group. Each line of the history contains the hash of the line before. Exit 1 if a line was
    changed or removed later.
    """
    with file_deadline(call):
        found = read_history(call.state_to_read)
        late = waiting_notes(call.config, call.state_to_read)
    rows = list_history(found, late, route)[:last]
    payload = {"entries": [row.as_json() for row in rows], "broken": list(found.broken)}
    nothing = f"Nothing is recorded{f' of {route}' if route else ''} in {call.state_to_read}."
    call.print_result(payload, "\n".join(map(_text, rows)) or nothing)
    _report_broken(call, found)


def _report_broken(call: Invocation, found: History) -> None:
    """If a crash cut the last line short, print a note; if a line was changed or removed, fail."""
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


def _text(row: HistoryRow) -> str:
    """Return an entry for people: when, who and what.

    Further lines say why, which gates were overruled, and whether the change was undone.
    """
    entry = row.entry
    moved = f" {entry.route}: {entry.from_} -> {entry.to}" if entry.route else ""
    lines = [f"{entry.at}  {entry.who}  {entry.action}{moved}"]
    lines += [f"  why: {entry.why}"] if entry.why else []
    lines += [f"  though: {sentence}" for sentence in entry.overruled]
    lines += [f"  undone {row.undone_at}"] if row.undone_at else []
    lines += [] if row.is_recorded else [f"  {WAITING}"]
    # A line end in a name or a reason must not look like another entry.
    return "\n".join(printable(line, keep="") for line in lines)
