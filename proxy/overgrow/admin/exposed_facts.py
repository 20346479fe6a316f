"""Values for /metrics that do not come from the workers: the version, the history of flips, the table in effect."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version

from overgrow.admin.view import AdminView, history_of
from overgrow.observe.exposed_facts import FrontDoorFacts
from overgrow.routing.model import Route
from overgrow.table.editing.history_list import count_flips, last_flips
from overgrow.text import percent_number


def read_facts(view: AdminView) -> FrontDoorFacts:
    """Return the facts; if the history cannot be read, return the facts that need no history."""
    try:
        entries = history_of(view).entries
    except OSError:
        entries = ()
    server = view.server
    return FrontDoorFacts(
        version=version("overgrow"),
        flips=count_flips(entries),
        last_flips={route: _unix_time(at) for route, at in last_flips(entries).items()},
        migrated_percents={
            route.name: _migrated_percent(route)
            for route in (view.table.routes if view.table else ())
        },
        master_pid=server["pid"] if server else None,
    )


def _migrated_percent(route: Route) -> float:
    if route.target == "legacy":
        return percent_number(route.canary)
    return 100.0 if route.target == "migrated" else 0.0


def _unix_time(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
