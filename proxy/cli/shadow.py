"""`overgrow shadow`: what is being compared, and a fresh start for a route whose code has changed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from proxy.cli.context import Call, InOrder, known_route, shared_options, valid_table
from proxy.cli.evidence import NoEvidence, RulesOf, ago, judged, store, told_at
from proxy.cli.layout import columns, screen_width
from proxy.loading.state import login_name
from proxy.observe.describe import percent
from proxy.routing.model import Route, RouteTable

if TYPE_CHECKING:
    from proxy.store.records import RouteStatus


@click.group(cls=InOrder, short_help="See what shadowing compared; begin a route anew.")
def shadow() -> None:
    """See what shadowing compared, and begin a route's evidence anew."""


class Row(NamedTuple):
    """One route and the side that answered its clients, with what was compared."""

    route: str
    control: str
    table: Route | None  # None: no longer in the table
    counted: RouteStatus | None  # None: nothing was
    open_groups: int

    def as_json(self) -> dict[str, Any]:
        """The row as --json prints it."""
        counted = self.counted
        return {
            "route": self.route,
            "control": self.control,
            "shadow": percent(self.table.shadow) if self.table else 0,
            "served": counted.served if counted else 0,
            "compared": counted.compared if counted else 0,
            "matched": counted.matched if counted else 0,
            "ignored": counted.ignored if counted else 0,
            "mismatched": counted.mismatched if counted else 0,
            "open_groups": self.open_groups,
            "newest": told_at(counted.newest_at) if counted else None,
        }

    def cells(self) -> tuple[str, ...]:
        """The row for people."""
        told = self.as_json()
        newest = self.counted.newest_at if self.counted else None
        numbers = ("compared", "matched", "ignored", "mismatched", "open_groups")
        share = f"{told['shadow']}%" if told["shadow"] else "-"
        return (
            self.route,
            self.control,
            share,
            *(str(told[each]) for each in numbers),
            ago(newest),
        )


HEAD = ("ROUTE", "CONTROL", "SHADOW", "COMPARED", "MATCHED", "IGNORED", "DIFFER", "OPEN", "LAST")


@shadow.command(short_help="Show what was compared, route by route.")
@shared_options
def status(call: Call) -> None:
    """Show for each route with a shadow or evidence what was compared, and what came of it.

    CONTROL is the side that answered the clients. IGNORED differed only where a rule allows it, and
    DIFFER elsewhere, by the rules of that time; OPEN are the groups that no rule of today explains.
    """
    table = valid_table(call)
    counted, open_groups = _counted(call)
    rows = _rows(table, counted, open_groups)
    cells = [HEAD, *(row.cells() for row in rows)]
    right = frozenset(range(2, len(HEAD) - 1))
    nothing = "No route has `shadow:`, and nothing was compared."
    text = columns(cells, right=right, width=screen_width()) if rows else nothing
    call.answer([row.as_json() for row in rows], text)


def _counted(call: Call) -> tuple[Sequence[RouteStatus], Counter[tuple[str, str]]]:
    """What the store says, and how many groups of each route are open; nothing without a store."""
    try:
        with store(call) as reader:
            statuses, groups = reader.shadow_status(), reader.groups()
    except NoEvidence as failure:
        click.echo(f"note: {failure.message}", err=True)
        return (), Counter()
    found = [each.group for each in judged(groups, RulesOf(call)) if each.is_open]
    return statuses, Counter((group.route, group.control) for group in found)


def _rows(
    table: RouteTable, counted: Sequence[RouteStatus], open_groups: Counter[tuple[str, str]]
) -> list[Row]:
    """Routes in matching order, each with the sides that have evidence; then what left the table."""
    by_owner = {(each.route, each.control): each for each in counted}
    routes = {route.name: route for route in table.routes}
    owners = [
        (route.name, side)
        for route in table.routes
        for side in ("legacy", "migrated")
        if (route.name, side) in by_owner or (route.shadow and side == route.target)
    ]
    owners += [owner for owner in by_owner if owner[0] not in routes]
    return [
        Row(*owner, routes.get(owner[0]), by_owner.get(owner), open_groups[owner])
        for owner in owners
    ]


@shadow.command(short_help="Forget what was found of a route: its code changed.")
@click.argument("route")
@click.option("--reason", metavar="TEXT", required=True, help="What changed; it is kept.")
@shared_options
def restart(call: Call, route: str, reason: str) -> None:
    """Begin the evidence of ROUTE anew, for instance after a fix of its code was deployed.

    Comparisons and groups of mismatches found so far are forgotten; who did it, when and why is kept.
    """
    known_route(call, route)
    store(call).close()
    _begin_anew(call, route, reason)
    told = {"route": route, "reason": reason}
    call.answer(told, f"{route}: the evidence begins anew.")


def _begin_anew(call: Call, route: str, reason: str) -> None:
    from proxy.store.desk import begin_anew  # noqa: PLC0415  SQLAlchemy is slow to import
    from proxy.store.opening import StoreError, opened, store_url  # noqa: PLC0415  as above
    from proxy.store.records import Restart  # noqa: PLC0415  as above

    try:
        engine = opened(store_url(call.state, call.settings.store_url))
        begin_anew(engine, Restart(route, time.time(), login_name(), reason))
    except (StoreError, OSError) as error:
        raise NoEvidence(error) from error
    engine.dispose()
