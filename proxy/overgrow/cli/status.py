"""`overgrow status`: the state of the running front door, once or as long as somebody watches."""

from __future__ import annotations

import sys
from functools import partial

import click

from overgrow.cli.admin_client import Unreachable
from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.failures import failure_of_client
from overgrow.cli.running_admin import reading_client
from overgrow.cli.status_text import is_well, status_text
from overgrow.cli.watch import watch_status


@click.command(short_help="Show the running workers and the traffic split.")
@click.option("--watch", is_flag=True, help="Keep the terminal up to date until q or Ctrl-C.")
@click.option(
    "--admin",
    metavar="ADDRESS",
    help="The admin listener. [default: that of the front door here]",
)
@shared_options
def status(call: Invocation, *, watch: bool) -> None:
    """Show workers, revision, rates of both sides and each route's share, from the admin listener.

    The rates are of the last minute and the last five minutes. In the table of routes LIVE is
    migrated's share of requests in the last minute; the other figures are totals, and LEGACY and
    MIGRATED are median times. Breakers that are not closed are listed.

    With --watch the routes with most requests in the last minute come first, with their p95.

    Exit 1 if the listener cannot be reached, the front door is not ready, the table on disk is refused, or
    legacy does not answer. With --watch, the state at the end of the command counts.
    """
    if watch:
        _require_terminal(call)
    client = reading_client(call)
    try:
        payload = client.get("/api/status")
    except Unreachable as error:
        raise failure_of_client(error) from error
    if watch:
        raise SystemExit(watch_status(payload, partial(client.get, "/api/status")))
    call.print_result(payload, status_text(payload))
    if not is_well(payload):
        raise SystemExit(1)


def _require_terminal(call: Invocation) -> None:
    """If --json is given, or standard output is not a terminal, exit 2."""
    if call.json:
        raise click.UsageError(
            "--watch shows a screen, and --json prints once. Leave one of them out."
        )
    if not sys.stdout.isatty():
        what = "--watch needs a terminal, and standard output is none."
        raise click.UsageError(f"{what} Run overgrow status without it, as often as you need.")
