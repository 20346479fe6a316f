"""`overgrow report --html FILE`: the state of the migration as one self-contained file, for a review or a ticket.

It reads the table, the state folder and the store, and never asks the front door, so that it works while the
front door is stopped. The report names what cannot be read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from overgrow.cli.completion import RouteName
from overgrow.cli.context import Invocation, load_table, shared_options
from overgrow.cli.evidence.gate import judge_route
from overgrow.cli.evidence.store import NoEvidence, current_rules, review_of
from overgrow.cli.failures import Failed, InvalidTable, unknown_route
from overgrow.cli.file_deadline import AnyPath, file_deadline
from overgrow.cli.output import echo_safe
from overgrow.files import write_draft
from overgrow.shadow.review.gate_report import question_for
from overgrow.table.last_good import LAST_GOOD, read_last_good
from overgrow.table.reading.parse import parse
from overgrow.table.running import find_master
from overgrow.text import count_text

if TYPE_CHECKING:
    from overgrow.admin.report import ReportFindings
    from overgrow.routing.model import Route, RouteTable

STDOUT = Path("-")
BEGINNING_BYTES = 200
STOPPED = "No front door runs on this state folder: what happens now is unknown, and totals are those of its end."


@click.command(short_help="Write progress, gates and differences to an HTML file.")
@click.option(
    "--html",
    "target",
    type=AnyPath(),
    metavar="FILE",
    required=True,
    help="Where to write it; an older report there is replaced. -: standard output.",
)
@click.option("--route", type=RouteName(), metavar="NAME", help="Only this route. [default: all]")
@click.option("--force", is_flag=True, help="Replace FILE though it is not a report.")
@shared_options
def report(call: Invocation, target: Path, route: str | None, *, force: bool) -> None:
    """Write one self-contained HTML file of progress, routes, gates, differences and flips.

    The file needs no network and no script. It is made from the table, the state folder and the store, so that
    it also works while the front door is stopped. It names what is unknown. FILE is replaced in one step, and
    only if it is a report: name another file, or give --force.
    """
    from overgrow.admin.report import ReportFolder, counts_text, render_report, report_data  # noqa: PLC0415  loads Flask's templates

    with file_deadline(call):
        _require_replaceable(target, force=force)
    table, unknown = _find_table(call)
    if (
        route is not None
        and table is not None
        and route not in {each.name for each in table.routes}
    ):
        raise unknown_route(call.config, route, [each.name for each in table.routes])
    state = call.state_to_read
    findings = _find(call, table, route, unknown)
    folder = ReportFolder(state, state / "board", call.settings.store_url, table)
    title = f"Migration report of {call.config.absolute().parent.name or 'the root folder'}"
    title += f": {route}" if route else ""
    data = report_data(folder, findings, route, time.time(), title)
    text = render_report(data)
    with file_deadline(call):
        _write(target, text)
    if target != STDOUT:
        call.print_result(
            {"file": str(target), "route": route, "unknown": data["unknown"]},
            f"Wrote {target}: {counts_text(data)}."
            + "".join(f"\nunknown: {each}" for each in data["unknown"]),
        )


def _require_replaceable(target: Path, *, force: bool) -> None:
    """If the file exists but is not a report, exit 1, so that a mistyped name never destroys a table."""
    from overgrow.admin.report import MARK  # noqa: PLC0415  as above

    if target == STDOUT or not os.path.lexists(target):
        return
    if target.is_dir():
        raise Failed("file-exists", f"{target} is a folder.", "Name a file in it.")
    if force:
        return
    with target.open("rb") as file:
        if MARK.encode() in file.read(BEGINNING_BYTES):
            return
    what = f"{target} exists and is not a report."
    raise Failed("file-exists", what, "Name another file, or give --force to replace it.")


def _find_table(call: Invocation) -> tuple[RouteTable | None, list[str]]:
    """Return (table, sentences): the table on disk, else the last table in effect.

    In the second case, the sentences say why.
    """
    loaded = load_table(call, None)
    if loaded.table is not None:
        return loaded.table, []
    problems = count_text(len(loaded.problems), "problem")
    with file_deadline(call):
        last = read_last_good(call.state_to_read)
    former = last and parse(last.data, file=LAST_GOOD, env=os.environ, rules=None).table
    if former is None:
        raise InvalidTable(call.config, loaded.problems)
    return former, [
        f"{call.config.name} has {problems}: the routes are those of the last good table."
    ]


def _find(
    call: Invocation, table: RouteTable | None, route: str | None, unknown: list[str]
) -> ReportFindings:
    """Read gates and differences; collect sentences about everything that cannot be read."""
    from overgrow.admin.report import ReportFindings  # noqa: PLC0415  as above

    with file_deadline(call):
        is_stopped = find_master(call.state_to_read) is None
    said = [*unknown, *([STOPPED] if is_stopped else [])]
    rules = current_rules(call)
    judge = partial(judge_route, call, rules=rules)
    try:
        listing = review_of(call, rules).listing(route)
    except NoEvidence as failure:
        return ReportFindings(
            (), (), 0, [*said, f"Gates and differences are unknown: {failure.message}"]
        )
    gates = [judge(question_for(each)) for each in _routes_with_gate(table, route)]
    return ReportFindings(gates, listing.open_groups, listing.known, said)


def _routes_with_gate(table: RouteTable | None, route: str | None) -> Iterator[Route]:
    """Yield the routes for which the gate has figures: those with a shadow or with `require`."""
    for each in table.routes if table else ():
        if route in (None, each.name) and (each.shadow or each.require_clean):
            yield each


def _write(target: Path, text: str) -> None:
    """Write the report in one step: no reader sees half of it. If that fails, the former file stays."""
    if target == STDOUT:
        echo_safe(text)
        return
    draft = write_draft(target, text.encode("utf-8"), mode=0o644)
    try:
        draft.replace(target)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
