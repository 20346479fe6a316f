"""`overgrow override`: a signed token that puts one tester on one side for a while."""

from __future__ import annotations

import difflib
import re
import time
from datetime import UTC, datetime
from typing import cast

import click

from proxy.cli.context import Call, fail, loaded_table, shared_options
from proxy.routing.model import Side
from proxy.routing.override import LONGEST_S, mint

_UNITS_S = {"m": 60, "h": 3600, "d": 86_400}


def span(_ctx: click.Context, _param: click.Parameter, value: str) -> int:
    """Read 30m, 8h or 7d as seconds."""
    found = re.fullmatch(r"([1-9][0-9]*)([mhd])", value)
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if not 0 < seconds <= LONGEST_S:
        raise click.BadParameter(f"{value!r}: write a span up to 7d, such as 30m or 8h.")
    return seconds


@click.command(short_help="Print a token that puts a tester on one side.")
@click.argument("side", type=click.Choice(["legacy", "migrated"]))
@click.option("--route", default="*", help="One route's name. [* for all]")
@click.option("--for", "seconds", default="8h", callback=span, help="How long: 30m, 8h, 7d. [8h]")
@shared_options
def override(call: Call, side: str, route: str, seconds: int) -> None:
    """Print a token for the header X-Overgrow-Override or the cookie overgrow_override.

    It is signed with OVERGROW_SECRET, which the front door must run with too.
    """
    if not call.settings.secret:
        fail(
            "OVERGROW_SECRET is not set: overrides are signed with it, and without it the front "
            "door ignores them. Set it to one long random text here and for overgrow serve."
        )
    if route != "*":
        _require_route(call, route)
    expiry_s = int(time.time()) + seconds
    token = mint(cast("Side", side), route, expiry_s, call.settings.secret.encode())
    until = datetime.fromtimestamp(expiry_s, UTC).isoformat().replace("+00:00", "Z")
    told = {"token": token, "side": side, "route": route, "expires": until}
    text = f"{token}\n\nUntil {until}. Use it as\n  curl -H 'X-Overgrow-Override: {token}' ..."
    call.answer(told, text)


def _require_route(call: Call, route: str) -> None:
    table = loaded_table(call, None).table
    names = [each.name for each in table.routes] if table else None
    if names is not None and route not in names:
        near = difflib.get_close_matches(route, names, 3)
        hint = f" Did you mean {', '.join(near)}?" if near else " See overgrow routes."
        fail(f"{call.config} has no route {route!r}.{hint}")
