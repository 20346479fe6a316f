"""Opens the inventory in the store, and converts its rows to the counts of `overgrow.inventory` and back."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from overgrow.cli.context import Invocation, read_table
from overgrow.cli.evidence.store import NoEvidence
from overgrow.cli.failures import Failed
from overgrow.inventory.endpoints import EndpointDecision, Inventory, inventory_of
from overgrow.inventory.logs.log_file import LogHead
from overgrow.inventory.path_count import PathCount, path_count_from
from overgrow.inventory.scan import LogProgress
from overgrow.store.engine import StoreError, store_url
from overgrow.store.inventory import (
    InventoryStore,
    LogRow,
    PathRow,
    StoredInventory,
    open_store_of_inventory,
)
from overgrow.table.reading.parse import parse

UNNAMED = ("/<path:rest>",)  # a route for everything says nothing about endpoints


@contextmanager
def open_inventory(call: Invocation) -> Iterator[InventoryStore]:
    """Open the store for reading and writing; create it if there is none. If that fails, exit 1 with the reason."""
    try:
        with open_store_of_inventory(store_url(call.state, call.settings.store_url)) as store:
            yield store
    except StoreError as error:
        raise NoEvidence(error) from error


def counts_of(stored: StoredInventory) -> list[PathCount]:
    """Return the stored counts of all paths."""
    return [path_count_from(*row) for row in stored.paths]


def row_of(count: PathCount) -> PathRow:
    """Return the counts of a path as a row of the store."""
    first_at = 0.0 if math.isinf(count.first_at) else count.first_at
    return PathRow(count.path, count.requests, first_at, count.last_at, count.as_data())


def progress_from(row: LogRow) -> LogProgress:
    """Return how far a log was read."""
    data = dict(row.progress)
    head = LogHead(*data.pop("head"))
    columns = data.pop("columns").encode("latin-1")
    return LogProgress(row.id, head=head, columns=columns, **data)


def log_row_of(progress: LogProgress) -> LogRow:
    """Return how far a log was read, as a row of the store."""
    data = {
        "name": progress.name,
        "head": list(progress.head),
        "offset": progress.offset,
        "lines": progress.lines,
        "requests": progress.requests,
        "not_http": progress.not_http,
        "comments": progress.comments,
        "unread": progress.unread,
        "columns": progress.columns.decode("latin-1"),
        "is_cut": progress.is_cut,
    }
    return LogRow(progress.id, data)


def load_inventory(call: Invocation) -> tuple[Inventory, StoredInventory]:
    """Return the endpoints, and what the store has."""
    with open_inventory(call) as store:
        stored = store.read()
    return inventory_of(counts_of(stored), known_templates(call, stored)), stored


def known_templates(call: Invocation, stored: StoredInventory) -> Mapping[str, EndpointDecision]:
    """Return the templates that the table and people know. What a person decided goes first."""
    known = {path: EndpointDecision("confirmed", "table", name) for name, path in _routes(call)}
    for each in stored.decisions:
        route = known[each.template].route if each.template in known else ""
        known[each.template] = EndpointDecision(each.state, "person", route, each.why)
    return known


def _routes(call: Invocation) -> Iterator[tuple[str, str]]:
    """Yield name and path of each route with a path; none if there is no valid table yet."""
    try:
        data = read_table(call)
    except Failed:
        return
    table = parse(data, file=str(call.config), env=os.environ, rules=None).table
    for route in table.routes if table is not None else ():
        path = str(route.path or "")
        if path.startswith("/") and path not in UNNAMED:
            yield route.name, path
