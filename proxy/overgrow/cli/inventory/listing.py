"""`overgrow inventory list`: the endpoints of legacy, the busiest first."""

from __future__ import annotations

import math
import time
from typing import Any

import click

from overgrow.cli.columns import columns, screen_width
from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.evidence.store import time_json
from overgrow.cli.inventory.opened import load_inventory
from overgrow.inventory.endpoints import STATES, Inventory, InventoryEndpoint
from overgrow.inventory.path_count import PathCount
from overgrow.text import ago, count_text, duration_text

HEAD = (
    "ENDPOINT",
    "STATE",
    "SOURCE",
    "REQUESTS",
    "METHODS",
    "CLIENTS",
    "5XX",
    "P95",
    "LAST",
    "EXAMPLE",
)
_NUMBERS = frozenset({3, 5, 6, 7})
MANY_CLIENTS = 5_000
SHOWN_METHODS = 4
SHOWN_EXAMPLE = 50


@click.command("list", short_help="List the endpoints, the busiest first.")
@click.option("--only", "wanted", type=click.Choice(STATES), help="Only endpoints in this state.")
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", default=50, help="How many. [default: 50]"
)
@shared_options
def list_endpoints(call: Invocation, wanted: str | None, limit: int) -> None:
    """List the endpoints that the scanned logs show, grouped into templates.

    Ignored endpoints are listed only with --only ignored. Paths that nobody got an answer for, as scanners try
    them, are no endpoints; the last line counts them.
    """
    found, stored = load_inventory(call)
    chosen = [each for each in found.endpoints if _is_chosen(each, wanted)]
    payload = {
        "endpoints": [endpoint_json(each) for each in chosen[:limit]],
        "more": len(chosen) > limit,
        "scanner_paths": found.junk_paths,
        "scanner_requests": found.junk_requests,
        "dropped_requests": stored.dropped,
    }
    call.print_result(payload, _text(chosen, limit, found, stored.dropped))


def _is_chosen(endpoint: InventoryEndpoint, wanted: str | None) -> bool:
    state = endpoint.decision.state
    return state == wanted if wanted else state != "ignored"


def endpoint_json(endpoint: InventoryEndpoint) -> dict[str, Any]:
    """Return an endpoint as --json prints it. Texts from traffic are below `data`."""
    count, decision = endpoint.count, endpoint.decision
    first = None if math.isinf(count.first_at) else count.first_at
    return {
        "template": endpoint.template,
        "state": decision.state,
        "source": decision.source,
        "route": decision.route or None,
        "why": decision.why or None,
        "requests": count.requests,
        "writes": endpoint.writes,
        "errors": endpoint.errors,
        "methods": count.methods,
        "statuses": {str(status): times for status, times in count.statuses.items()},
        "clients": count.clients,
        "callers": count.callers,
        "last_caller": count.last_caller or None,
        "bytes": count.bytes,
        "p95_ms": None if count.p95_s is None else round(count.p95_s * 1000, 1),
        "first_seen": time_json(first),
        "last_seen": time_json(count.last_at or None),
        "paths": endpoint.paths,
        "data": {"example": count.example},
    }


def _text(chosen: list[InventoryEndpoint], limit: int, found: Inventory, dropped: int) -> str:
    lines = []
    if chosen:
        now = time.time()
        rows = [HEAD, *(_row(each, now) for each in chosen[:limit])]
        lines.append(columns(rows, _NUMBERS, screen_width()))
    else:
        lines.append("No endpoints. overgrow inventory scan FILE... reads access logs.")
    if len(chosen) > limit:
        lines.append(f"and {len(chosen) - limit:,} more: --limit N shows more, --json too")
    if found.junk_paths:
        paths = count_text(found.junk_paths, "path")
        lines.append(
            f"{paths} without a useful answer, {count_text(found.junk_requests, 'request')}: no endpoints"
        )
    if dropped:
        lines.append(
            f"{count_text(dropped, 'request')} of rare paths beyond the limit of paths: counted, not listed"
        )
    return "\n".join(lines)


def _row(endpoint: InventoryEndpoint, now: float) -> tuple[str, ...]:
    count, decision = endpoint.count, endpoint.decision
    example = count.example
    shown = example if len(example) <= SHOWN_EXAMPLE else f"{example[: SHOWN_EXAMPLE - 3]}..."
    return (
        endpoint.template,
        decision.state,
        f"route {decision.route}" if decision.route else decision.source,
        f"{count.requests:,}",
        " ".join([*count.methods][:SHOWN_METHODS]) or "-",
        _clients_text(count),
        f"{endpoint.errors:,}",
        duration_text(count.p95_s),
        ago(now - count.last_at) if count.last_at else "-",
        shown if shown != endpoint.template else "",
    )


def _clients_text(count: PathCount) -> str:
    return f"over {MANY_CLIENTS:,}" if count.clients > MANY_CLIENTS else f"{count.clients:,}"
