"""`overgrow check` and `overgrow routes`: validate the table, and list its routes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click

from overgrow.cli.columns import columns, screen_width
from overgrow.cli.context import (
    Invocation,
    load_table,
    load_valid_table,
    read_table,
    shared_options,
)
from overgrow.cli.failures import AlreadyPrinted, Failed, InvalidTable
from overgrow.cli.file_deadline import AnyPath, file_deadline
from overgrow.cli.output import echo_safe
from overgrow.cli.team_rules import import_app
from overgrow.cli.traffic import (
    TrafficReport,
    read_traffic,
    traffic_json,
    traffic_notes,
    traffic_text,
)
from overgrow.cli.workers import find_refusal
from overgrow.data.beside import report_stages
from overgrow.observe.as_json import route_json
from overgrow.observe.board import workers
from overgrow.routing.model import FULL_CANARY, Route, RouteTable
from overgrow.table.flip_notes import drop_flip_notes
from overgrow.table.judging import find_half_written, parse_last_good, read_last_good_in_time
from overgrow.table.reading.certificates import reject_unusable_certificates
from overgrow.table.reading.parse import AppRule, ParsedTable, parse
from overgrow.table.reading.weakened import reject_weakened
from overgrow.text import count_text, percent_text
from overgrow.yaml_file.problem import Problem


class CheckResult(NamedTuple):
    """The result of `check`: first the problems of the app, then the problems of the table."""

    problems: Sequence[Problem]
    notes: Sequence[str]
    table: RouteTable | None

    @property
    def revision(self) -> str | None:
        """The revision that would take effect; None if there are problems."""
        return None if self.problems or self.table is None else self.table.revision


def _require_one_file(
    _ctx: click.Context, _param: click.Parameter, files: tuple[Path, ...]
) -> Path | None:
    """Refuse more than one file, because click would silently use only the last one."""
    if len(files) > 1:
        raise click.BadParameter("more than one file. Join logs: cat A B > all.log.")
    return files[0] if files else None


@click.command(short_help="Check whether the table may take effect.")
@click.argument("file", type=AnyPath(), required=False)
@click.option("--no-app", is_flag=True, help="Do not import the app; skip the checks that need it.")
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The table to compare with. [default: last-good.yaml]",
)
@click.option(
    "--traffic",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    multiple=True,
    callback=_require_one_file,
    help="An access log or HAR file: show which requests change side.",
)
@shared_options
def check(
    call: Invocation,
    file: Path | None,
    no_app: bool,  # noqa: FBT001  click's
    against: Path | None,
    traffic: Path | None,
) -> None:
    """Report every problem of FILE (default: the table of --config), in file order.

    The command also imports the app and checks that it has a rule for each route that may send clients to it.
    It checks that no request can reach legacy if an irreversible route of the last table in effect, or of
    --against, kept it from legacy. With --traffic it also compares a valid table with that former table by
    recorded requests. Exit 1 if there is a problem; notes do not count.
    """
    if file is not None:
        call = call._replace(settings=replace(call.settings, config=file))
    _require_readable(call)
    former = _table_to_compare(call, against)
    _note_partial_write(call, former)
    found = _without_app(call, former) if no_app else _with_app(call, former)
    found = _with_stages(call, found)
    report = _read_traffic(call, traffic, former, found)
    for note in [*found.notes, *(traffic_notes(report) if report else ())]:
        echo_safe(f"note: {note}", err=True)
    if file is None and not found.problems and (refusal := find_refusal(call, read_table(call))):
        echo_safe(f"note: {refusal}", err=True)
    if call.json:
        _print_json(call, found, report)
    if found.problems:
        failure = InvalidTable(call.config, found.problems)
        raise _already_printed(failure) if call.json else failure
    if not call.json and found.table is not None:
        routes = count_text(len(found.table.routes), "route")
        echo_safe(f"{call.config}: ok, {routes}, revision {found.revision}")
        if report is not None:
            echo_safe(traffic_text(report))


def _read_traffic(
    call: Invocation, traffic: Path | None, former: RouteTable | None, found: CheckResult
) -> TrafficReport | None:
    """Compare the table with the former one by recorded requests.

    Return None without --traffic, or if the table has problems.
    """
    if traffic is None or found.problems or found.table is None:
        return None
    if former is None:
        kept = read_last_good_in_time(call.state_to_read)
        former = None if kept is None else parse_last_good(kept, call.config, os.environ)
    return read_traffic(traffic, former, found.table)


def _print_json(call: Invocation, found: CheckResult, report: TrafficReport | None = None) -> None:
    problems = [problem.as_json() for problem in found.problems]
    result = {"ok": not problems, "revision": found.revision, "problems": problems}
    call.print_result(result | ({"traffic": traffic_json(report)} if report else {}), "")


def _already_printed(failure: Failed) -> AlreadyPrinted:
    return AlreadyPrinted(failure.code, failure.message, failure.fix, failure.problems)


def _require_readable(call: Invocation) -> None:
    """Report an unreadable file as a problem too, in the same JSON shape."""
    try:
        read_table(call)
    except Failed as failure:
        if not call.json:
            raise
        what = failure.message.removesuffix(".")
        problem = Problem(failure.code, str(call.config), 1, 1, None, what, failure.fix)
        _print_json(call, CheckResult([problem], [], None))
        raise _already_printed(failure) from failure


def _table_to_compare(call: Invocation, against: Path | None) -> RouteTable | None:
    """Return the table to compare with: the one that --against names, else the last good one.

    Return None if there is no last good table, or if its text equals that of the table to check.
    """
    if against is not None:
        return load_valid_table(call._replace(settings=replace(call.settings, config=against)))
    kept = read_last_good_in_time(call.state_to_read)
    if kept is None or kept.data == read_table(call):
        return None
    return parse_last_good(kept, call.config, os.environ)


def _note_partial_write(call: Invocation, former: RouteTable | None) -> None:
    """Print a note if the file looks half-written. A running front door makes the same check."""
    waiting = (
        None if former is None else find_half_written(call.config, call.state_to_read, os.environ)
    )
    if waiting is not None:
        echo_safe(f"note: {waiting}", err=True)


def _with_stages(call: Invocation, found: CheckResult) -> CheckResult:
    """Add the routes that the stages of data.yaml beside the table do not allow."""
    if found.table is None:
        return found
    with file_deadline(call):
        report = report_stages(call.config, found.table)
    notes = (
        [*found.notes, f"stages were not checked: {report.unread}"]
        if report.unread
        else found.notes
    )
    return CheckResult([*found.problems, *report.problems], notes, found.table)


def _without_app(call: Invocation, former: RouteTable | None) -> CheckResult:
    loaded = reject_weakened(load_table(call, None), str(call.config), former)
    skipped = "the app was not imported (--no-app), so its rules were not checked"
    notes = drop_flip_notes(loaded.notes, call.state_to_read)
    return CheckResult(loaded.problems, [*map(str, notes), skipped], loaded.table)


def _with_app(call: Invocation, former: RouteTable | None) -> CheckResult:
    from overgrow.app import app_problems, app_rules  # noqa: PLC0415  imports Flask

    team = import_app(call.settings)
    parsed = _parse_as_running(call, app_rules(team))
    loaded = reject_weakened(parsed, str(call.config), former)
    problems = [*app_problems(call.settings, team), *loaded.problems]
    notes = drop_flip_notes(loaded.notes, call.state_to_read)
    return CheckResult(problems, [str(note) for note in notes], loaded.table)


def _parse_as_running(call: Invocation, rules: Sequence[AppRule] | None) -> ParsedTable:
    """Parse the table as running workers do: they keep the app that they started with, even if `app` changes."""
    running: Sequence[Mapping[str, Any]] = ()
    with (
        suppress(OSError),
        file_deadline(call),
    ):  # this user may not be allowed to read the board
        running = workers(call.state_to_read / "board")
    app = next((worker["app"] for worker in running if worker.get("app") is not None), None)
    text = read_table(call)
    file = str(call.config)
    loaded = parse(text, file=file, env=os.environ, rules=rules, app_in_use=app)
    return reject_unusable_certificates(loaded, text, file)


@click.command(short_help="List the routes in matching order.")
@shared_options
def routes(call: Invocation) -> None:
    """List the routes in the order in which they are tried; the first one that matches wins.

    The app is not imported.
    """
    table = load_valid_table(call)
    call.print_result([route_json(route) for route in table.routes], _listing(table))


def _listing(table: RouteTable) -> str:
    head = ("ROUTE", "METHODS", "PATH", "ONLY IF", "TARGET", "LINE")
    rows = [head, *(_row(route) for route in table.routes)]
    rows.append(("(default)", "all", "everything else", "", "legacy", ""))
    if not any(row[3] for row in rows[1:]):
        rows = [(*row[:3], *row[4:]) for row in rows]
    return f"{columns(rows, width=screen_width())}\n\nlegacy is {table.legacy.url}"


def _row(route: Route) -> tuple[str, ...]:
    path = route.path if route.path is not None else f"{route.prefix} and below"
    methods = ",".join(route.methods) if route.methods else "all"
    conditions = [route.host] if route.host else []
    conditions += [str(predicate) for predicate in route.predicates]
    target = route.target + (f" canary {percent_text(route.canary)}" if route.canary else "")
    if route.target == "legacy" and route.canary == FULL_CANARY:
        target = "migrated (canary 100%)"
    more = ", ".join(_extra_words(route))
    target += f" ({more})" if more else ""
    return (route.name, methods, path or "", ", ".join(conditions), target, str(route.line))


def _extra_words(route: Route) -> Iterator[str]:
    """Yield the settings of a route other than target and canary, in words."""
    if not route.reversible:
        yield "irreversible"
    if route.shadow:
        yield f"shadow {percent_text(route.shadow)}"
    if route.fallback:
        yield "fallback"
    if route.group:
        yield f"group {route.group}"
    if route.priority:
        yield f"priority {route.priority}"
