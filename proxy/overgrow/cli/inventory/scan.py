"""`overgrow inventory scan`: counts the requests of access logs by path, from where the last scan stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from overgrow.cli.columns import columns, screen_width
from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.failures import AlreadyPrinted, Failed
from overgrow.cli.inventory.opened import (
    counts_of,
    log_row_of,
    open_inventory,
    progress_from,
    row_of,
)
from overgrow.cli.output import echo_safe
from overgrow.inventory.scan import LogProgress, LogResult, scan_log, show
from overgrow.inventory.tally import Tally
from overgrow.store.inventory import InventoryStep, InventoryStore
from overgrow.text import count_text

HEAD = ("LOG", "NEW", "LINES", "REQUESTS", "NO HTTP", "COMMENTS", "UNREAD")
_NUMBERS = frozenset({1, 2, 3, 4, 5, 6})


@click.command(short_help="Read access logs, from where the last scan stopped.")
@click.argument(
    "files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE..."
)
@shared_options
def scan(call: Invocation, files: tuple[Path, ...]) -> None:
    """Count the requests of access logs: nginx, Apache, HAProxy, IIS, JSON; plain, gzip, bzip2 or xz.

    Each line is counted once, also if the log grew, was renamed or compressed, or a scan was killed. Lines that
    are no requests are counted and the first one is shown. Queries are not stored, nor tokens in paths. Exit 1 if a
    log cannot be read.
    """
    with open_inventory(call) as store:
        results = _scan_all(store, files)
    _report(call, results)


@dataclass(slots=True)
class _Saver:
    """Stores what a scan counted, step by step."""

    store: InventoryStore
    tally: Tally
    turn: int

    def save(self, progress: LogProgress) -> None:
        """Store the counts that changed, and how far the log was read, in one transaction."""
        changed, removed = self.tally.take_changed()
        rows = [row_of(each) for each in changed]
        step = InventoryStep(self.turn, self.tally.dropped, rows, removed, log_row_of(progress))
        self.turn = self.store.save_step(step)


def _scan_all(store: InventoryStore, files: Sequence[Path]) -> list[LogResult]:
    stored = store.read()
    known = [progress_from(row) for row in stored.logs]
    tally = Tally(counts_of(stored), stored.dropped)
    saver = _Saver(store, tally, stored.turn)
    results = []
    for path in files:
        result = scan_log(path, known, tally, saver.save)
        if result.progress is not None and not result.is_resumed:
            known.append(result.progress)
        results.append(result)
    return results


def _report(call: Invocation, results: Sequence[LogResult]) -> None:
    call.print_result(
        {"logs": [_as_json(each) for each in results]},
        columns([HEAD, *map(_row, results)], _NUMBERS, screen_width()),
    )
    for result in results:
        for note in _notes(result):
            echo_safe(f"note: {result.path}: {note}", err=True)
    bad = [each for each in results if each.reason]
    if bad:
        what = " ".join(f"{each.path}: {each.reason}." for each in bad)
        fix = "Give access logs; overgrow check --traffic reads HAR files."
        raise (AlreadyPrinted if call.json else Failed)("log-unreadable", what, fix)


def _row(result: LogResult) -> tuple[str, ...]:
    found = result.progress
    if found is None:
        return (str(result.path), *["0"] * len(_NUMBERS))
    kinds = (found.requests, found.not_http, found.comments, found.unread)
    numbers = (result.new_lines, found.lines, *kinds)
    return (str(result.path), *(f"{each:,}" for each in numbers))


def _as_json(result: LogResult) -> dict[str, Any]:
    found = result.progress
    return {
        "file": str(result.path),
        "new_lines": result.new_lines,
        "lines": found.lines if found else 0,
        "requests": found.requests if found else 0,
        "not_http": found.not_http if found else 0,
        "comments": found.comments if found else 0,
        "unread": found.unread if found else 0,
        "first_unread": _example(result.unread),
        "first_not_http": _example(result.not_http),
        "unfinished": result.unfinished,
        "resumed": result.is_resumed,
        "problem": result.reason or None,
    }


def _example(found: tuple[int, bytes] | None) -> dict[str, Any] | None:
    return (
        None if found is None else {"line": found[0], "data": found[1].decode("utf-8", "replace")}
    )


def _notes(result: LogResult) -> Iterator[str]:
    """Yield a sentence on each kind of line that is no request."""
    found = result.progress
    if result.unread and found and not result.reason:
        number, line = result.unread
        yield f"{count_text(found.unread, 'line')} fit no format; the first new one is line {number}: {show(line)}"
    if result.not_http and found:
        number, line = result.not_http
        lines = count_text(found.not_http, "line")
        yield f"{lines} of connections without an HTTP request; the first new one is line {number}: {show(line)}"
    if result.unfinished:
        yield "the last line has no end yet; the next scan reads it"
    if result.is_resumed and not result.new_lines and not result.problem:
        yield "nothing is new since the last scan"
