"""`overgrow breaker`: close breakers by hand; `overgrow status` shows them.

The command writes a file that workers read, so it works without the network and the admin listener.
"""

from __future__ import annotations

import click

from overgrow.cli.completion import RouteName
from overgrow.cli.context import Invocation, require_route, shared_options
from overgrow.cli.failures import Failed
from overgrow.cli.file_deadline import file_deadline
from overgrow.resilience.reset_files import request_reset


@click.group(short_help="Close the breakers of a route at once.")
def breaker() -> None:
    """Close breakers. A breaker stops requests to a side that fails; overgrow status shows open ones."""


@breaker.command(short_help="Close the breakers of a route in every worker.")
@click.argument("route", type=RouteName(), metavar="ROUTE")
@shared_options
def reset(call: Invocation, route: str) -> None:
    """Close both breakers of ROUTE in every worker, for instance after a fix was deployed.

    Workers notice within a second. A side that still fails opens its breaker again.
    """
    require_route(call, route)
    try:
        with file_deadline(call):
            file = request_reset(call.state, route)
    except OSError as error:
        what = f"{error.filename or call.state} cannot be written: {error.strerror}."
        raise Failed("state-unwritable", what, "Name the state folder with --state.") from error
    text = f"{route}: every worker closes its breakers within a second or two."
    call.print_result({"route": route, "file": str(file)}, text)
