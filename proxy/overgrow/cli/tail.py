"""`overgrow tail`: prints one line for each finished request, until Ctrl-C.

It polls /api/decisions, and asks each time for the decisions after the last answer. The command therefore shows
each decision once, and knows how many it missed. If the front door restarts, the command waits and goes on.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, get_args
from urllib.parse import urlencode

import click

from overgrow.cli.admin_client import Refused, Unreachable
from overgrow.cli.columns import screen_width
from overgrow.cli.completion import RouteName
from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.failures import failure_of_client
from overgrow.cli.output import echo_safe
from overgrow.cli.running_admin import reading_client
from overgrow.cli.terminal_screen import cut_to_width
from overgrow.observe.decision_list import STATUS_WORDS, is_status_filter
from overgrow.routing.model import Reason, Verdict
from overgrow.text import count_text, duration_text, printable

LAST = 10
CUT = "..."
MOST = 1000  # in one answer
POLL_S = 0.5  # workers write as often
_KEYS = frozenset({"decisions", "next_after", "missed"})
_MISSED = "were overwritten before they could be shown: they came too fast"
_RESTARTED = "the decisions are numbered from 1 again: the state folder is a new one"

Query = Mapping[str, str | int]


def _check_status(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Return the text of --status."""
    if value is not None and not is_status_filter(value):
        raise click.BadParameter(f"{value!r} is not {STATUS_WORDS}.")
    return value


@click.command(short_help="Show requests as they finish.")
@click.option(
    "--route",
    type=RouteName(),
    metavar="ROUTE",
    help="Only this route; default: those without one.",
)
@click.option(
    "--side", type=click.Choice(get_args(Verdict)), metavar="SIDE", help="Only this side."
)
@click.option(
    "--status", metavar="STATUS", callback=_check_status, help="Only this status: 404, 5xx, 0."
)
@click.option(
    "--reason", type=click.Choice(get_args(Reason)), metavar="REASON", help="Only this reason."
)
@click.option(
    "--last",
    type=click.IntRange(0, MOST),
    default=LAST,
    metavar="N",
    help=f"Begin with the last N. [default: {LAST}]",
)
@click.option(
    "--admin",
    metavar="ADDRESS",
    help="The admin listener. [default: that of the front door here]",
)
@shared_options
def tail(call: Invocation, last: int, **wanted: str | None) -> None:
    """Show each request: time (UTC), status, duration, method, side, reason, route and path.

    It runs until Ctrl-C. Status 0 means that the client left before the response began. The path
    has no query. With --json each line is an object, as in GET /api/decisions.
    """
    filters = {name: value for name, value in wanted.items() if value is not None}
    try:
        for page in _follow(call, filters, last):
            _print_page(call, page)
    except KeyboardInterrupt:
        return


def _follow(call: Invocation, filters: Query, last: int) -> Iterator[dict[str, Any]]:
    """Yield the stored decisions, then new decisions as they come. End when nobody reads the output."""
    page = _first_page(call, {**filters, "limit": max(1, last)})
    if not last:
        page["decisions"] = []
    yield page
    query = {**filters, "limit": MOST}
    while not _is_output_closed():
        if not page.get("more"):
            time.sleep(POLL_S)
        page = _next_page(call, {**query, "after": page["next_after"]})
        yield page


def _first_page(call: Invocation, query: Query) -> dict[str, Any]:
    try:
        return {**_ask(call, query), "more": False}  # earlier ones were not asked for
    except Unreachable as error:
        raise failure_of_client(error) from error


def _next_page(call: Invocation, query: Query) -> dict[str, Any]:
    """Return the next decisions; wait while no front door answers."""
    is_waiting = False
    while True:
        try:
            page = _ask(call, query)
        except Refused as error:
            raise failure_of_client(error) from error
        except Unreachable as error:
            if not is_waiting:
                echo_safe(f"note: waiting for the front door: {error.message}", err=True)
            is_waiting = True
        else:
            if is_waiting:
                echo_safe("note: the front door answers again", err=True)
            return page
        if _is_output_closed():
            raise SystemExit(0)
        time.sleep(POLL_S)


def _ask(call: Invocation, query: Query) -> dict[str, Any]:
    """Ask the front door that runs now. After a restart, its address may have changed."""
    client = reading_client(call)
    return client.get(f"/api/decisions?{urlencode(query)}", _KEYS)


def _is_output_closed() -> bool:
    """Whether standard output is a pipe whose reader has gone."""
    poller = select.poll()
    try:
        poller.register(sys.stdout, select.POLLERR)
    except (OSError, ValueError):  # not a file, as in a test
        return False
    return bool(poller.poll(0)) and not sys.stdout.isatty()


def _print_page(call: Invocation, page: Mapping[str, Any]) -> None:
    if page.get("restarted"):
        echo_safe(f"note: {_RESTARTED}", err=True)
    if missed := page["missed"]:
        echo_safe(f"note: {count_text(missed, 'decision')} {_MISSED}", err=True)
    decisions = page["decisions"]
    if not decisions:
        return
    width = screen_width()
    lines = (json.dumps(each) if call.json else _line(each, width) for each in decisions)
    echo_safe("\n".join(lines))


def _line(decision: Mapping[str, Any], width: int | None) -> str:
    """Return a decision as one line. On a terminal, cut the path if the line would be too long."""
    method, reason = decision["method"], decision["reason"]
    begin = (
        f"{decision['at'][11:19]} {decision['status']:>3} {duration_text(decision['duration_s']):>7} "
        f"{method:<5} {decision['side']:<8} {reason:<8}"
    )
    route = "" if decision["route"] == reason == "default" else f" {decision['route']}"
    failure = f" [{decision['failure']}]" if decision["failure"] else ""
    # A line end or an escape in what a client sent must not look like another line.
    path = printable(decision["path"], keep="")
    if width is not None:
        room = width - len(begin) - len(failure) - 1
        route = _cut(route, room // 2)
        path = _cut(path, room - len(route))
    return printable(f"{begin}{route} {path}{failure}", keep="")


def _cut(text: str, width: int) -> str:
    """Return a text that fits into some columns. If it is cut, it ends in `...`."""
    width = max(width, len(CUT))
    return text if cut_to_width(text, width) == text else cut_to_width(text, width - len(CUT)) + CUT
