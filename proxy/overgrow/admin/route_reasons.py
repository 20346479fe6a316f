"""Explains in sentences why a route is on its present side: what the table says, and what overrules the table now.

Pure. If one sentence overrules another, it comes after that other sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from overgrow.admin.route_rows import RouteRow
from overgrow.admin.traffic import MINUTE
from overgrow.observe.split import DEFAULT
from overgrow.routing.model import FULL_CANARY, Route
from overgrow.text import count_text, percent_text


def reasons_of(
    row: RouteRow, members: Sequence[str], killed_since: str | None, *, is_rejected: bool
) -> Iterator[str]:
    """Yield the sentences.

    `members` are the routes of the route's group. `is_rejected` says that the file on disk is not in effect.
    """
    route = row.route
    if route is None:
        yield _of_no_route(row)
        return
    yield _of_target(route)
    if route.canary and route.target == "legacy":
        yield from _of_canary(row)
    if route.canary and route.target != "legacy":
        yield f"Its canary of {percent_text(route.canary)} is dormant: it counts only with target legacy."
    if route.group and len(members) > 1:
        yield f"Group {route.group} moves together: {', '.join(members)}."
    if not route.servable:
        yield "Migrated has no rule for it, so it cannot be flipped there."
    if not route.reversible:
        yield "It is irreversible, because its data has left legacy: neither the kill file nor a breaker moves it."
    for side, state in row.breakers.items():
        yield _of_breaker(route, side, state)
    if killed_since and route.reversible:
        yield f"The kill file overrules this since {killed_since}: legacy serves everything until Resume."
    if is_rejected:
        yield "The file on disk was rejected. This is what the former table says, which stays in effect."


def _of_no_route(row: RouteRow) -> str:
    if row.name == DEFAULT:
        return "No route of the table takes these requests, so they go to legacy. The page Unrouted shows which ones."
    return "The table has no route of this name any more. What was counted under it is still shown."


def _of_target(route: Route) -> str:
    where = f" (line {route.line} of the table)" if route.line else ""
    if route.target == "gone":
        return f"The table says that it is gone{where}: clients get 410."
    if route.target == "migrated":
        more = " If migrated fails, legacy answers safe methods." if route.fallback else ""
        return f"The table sends it to migrated{where}.{more}"
    if route.canary:
        share = "all" if route.canary == FULL_CANARY else percent_text(route.canary)
        return f"The table sends it to legacy{where}, but {share} of clients to migrated, always the same ones."
    return f"The table sends it to legacy{where}."


def _of_canary(row: RouteRow) -> Iterator[str]:
    legacy, migrated = (row.recent.get((side, MINUTE)) for side in ("legacy", "migrated"))
    requests = [counts.requests if counts else 0 for counts in (legacy, migrated)]
    if sum(requests):
        yield (
            f"In the last minute migrated served {100 * requests[1] / sum(requests):.3g}% of"
            f" {count_text(sum(requests), 'request')}. A share of clients is not the same share of requests:"
            " some clients send more, and those without a cohort key stay on legacy."
        )


def _of_breaker(route: Route, side: str, state: str) -> str:
    if side == "migrated" and route.fallback:
        return f"The breaker of migrated is {state} in at least one worker, which sends safe requests to legacy."
    return f"The breaker of {side} is {state} in at least one worker, which answers 503 for it."
