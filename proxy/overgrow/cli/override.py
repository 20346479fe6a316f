"""`overgrow override`: a signed token that sends one tester to one side for a while."""

from __future__ import annotations

import time
from typing import cast

import click

from overgrow.cli.completion import RouteName
from overgrow.cli.context import Invocation, load_valid_table, shared_options
from overgrow.cli.failures import Failed, unknown_route
from overgrow.cli.output import echo_safe
from overgrow.durations import parse_duration_s
from overgrow.routing.model import Side
from overgrow.routing.override import MAX_LIFETIME_S, create_override
from overgrow.text import rfc3339


def parse_span(_ctx: click.Context, _param: click.Parameter, value: str) -> int:
    """Parse 30m, 8h or 7d into seconds."""
    seconds = int(parse_duration_s(value, "s", "m", "h", "d") or 0)
    if not 0 < seconds <= MAX_LIFETIME_S:
        raise click.BadParameter(
            f"{value!r} is not a duration of at most 7d. Write 30m or 8h, for example."
        )
    return seconds


@click.command(short_help="Print a token that sends a tester to one side.")
@click.argument("side", metavar="SIDE", type=click.Choice(["legacy", "migrated"]))
@click.option(
    "--route",
    type=RouteName(),
    metavar="NAME",
    default="*",
    help="One route. [default: all routes]",
)
@click.option(
    "--for",
    "seconds",
    metavar="SPAN",
    default="8h",
    callback=parse_span,
    help="How long: 30m, 8h, at most 7d. [default: 8h]",
)
@shared_options
def override(call: Invocation, side: str, route: str, seconds: int) -> None:
    """Print a token that sends one tester's requests to SIDE, legacy or migrated.

    The token beats target and canary, but not the kill file, gone or reversible: false.

    Send it in the header X-Overgrow-Override or the cookie overgrow_override. It is signed with
    OVERGROW_SECRET, which overgrow serve must have too.
    """
    if not call.settings.secret:
        raise Failed(
            "no-secret",
            "OVERGROW_SECRET is not set. Overrides are signed with it; without it the front door "
            "ignores them.",
            "Set it to the same long random text here and for overgrow serve.",
        )
    if route != "*":
        _require_route(call, route)
    expiry_s = int(time.time()) + seconds
    token = create_override(cast("Side", side), route, expiry_s, call.settings.secret.encode())
    until = rfc3339(expiry_s)
    payload = {"token": token, "side": side, "route": route, "expires": until}
    call.print_result(payload, token)  # alone, so that a shell can write $(overgrow override ...)
    if not call.json:
        echo_safe(
            f"Until {until}. As a header: X-Overgrow-Override: TOKEN\nAs a cookie: overgrow_override=TOKEN",
            err=True,
        )


def _require_route(call: Invocation, route: str) -> None:
    names = [each.name for each in load_valid_table(call).routes]
    if route not in names:
        raise unknown_route(call.config, route, names)
