"""Finds requests that the running table keeps from legacy for good, and that a new table would send to legacy.

Pure. Rule: each request that an irreversible route of the running table takes must be taken by an irreversible
route of the new table. The route may be another one, several routes may share the requests, and names do not
matter. Theory of operation: only differences are examined. An irreversible route that changed is compared with
all routes of the new table that may share a path with it. A new reversible route is compared with the
irreversible routes. To get an exact answer, sets of requests (region.py) and sets of paths (inclusion.py) are
subtracted from one another. If that would take too long, the answer is that the new table may weaken the
running one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple

from overgrow.routing.facts import hostname_of
from overgrow.routing.folded import FOLDING_ROUTES, folded_route
from overgrow.routing.inclusion import Undecidable, find_path_outside, surely_takes_all
from overgrow.routing.model import Route, RouteTable
from overgrow.routing.order import order_key
from overgrow.routing.overlap_tree import OverlapTree, TooManySteps
from overgrow.routing.readings import Folds
from overgrow.routing.region import Region, RequestKinds, all_requests, request_kinds
from overgrow.routing.rules import effective_methods, parse_rule

MAX_PARTS = 2_000  # of a set of requests, for one pair of routes
MAX_REPORTED = 100  # weakened routes; after these are fixed, the next ones are reported
MAX_NODES = 1_000_000  # of a tree of routes, to visit

_MATCHING_FIELDS = (
    attrgetter(  # what decides which requests a route takes and whether it keeps them
        "path", "prefix", "host", "methods", "predicates", "priority", "reversible"
    )
)


class Weakening(NamedTuple):
    """An irreversible route that would lose requests. `example` is one of these requests.

    `by` is the reversible route of the new table that takes the example; None if no route takes it.

    `example` is empty if the search was given up because it would take too long.
    """

    route: Route
    by: Route | None
    example: str


def find_weakenings(
    running: RouteTable, table: RouteTable, allowed: Callable[[Route], bool] = lambda _: False
) -> list[Weakening]:
    """Return at most one Weakening for each irreversible route, in the matching order of the running table."""
    if all(route.reversible for route in running.routes) or _is_unchanged(running, table):
        return []
    found = list(_TableComparison(running, table).find_weakenings(allowed))
    folds = running.legacy.folds & table.legacy.folds & FOLDING_ROUTES
    if not folds or not (_is_changed_by(running, folds) or _is_changed_by(table, folds)):
        return found
    named = {one.route.name: one for one in found}
    folded = _TableComparison(_fold_table(running, folds), _fold_table(table, folds))
    for one in folded.find_weakenings(lambda route: route.name in named or allowed(route)):
        named[one.route.name] = one
    return [named[route.name] for route in running.routes if route.name in named]


def _is_unchanged(running: RouteTable, table: RouteTable) -> bool:
    """Return whether both tables have routes that match alike: the same routes, in the same order.

    The comparison covers the fields that matter for matching, and `reversible`.

    Most reloads change only targets or canary shares. For such a reload, no path has to be examined.
    """
    return (
        running.trusted_proxies == table.trusted_proxies
        and len(running.routes) == len(table.routes)
        and all(
            _MATCHING_FIELDS(one) == _MATCHING_FIELDS(other)
            for one, other in zip(running.routes, table.routes, strict=True)
        )
    )


def lost_folds(running: RouteTable, table: RouteTable) -> list[str]:
    """Return the folds that only the running table has; an empty set if that table has no irreversible routes."""
    if all(route.reversible for route in running.routes):
        return []
    return sorted(running.legacy.folds - table.legacy.folds)


def _is_changed_by(table: RouteTable, folds: Folds) -> bool:
    return any(folded_route(route, folds) is not route for route in table.routes)


def _fold_table(table: RouteTable, folds: Folds) -> RouteTable:
    """Return the table with folded paths, as Matcher.find_takers sees it.

    Reversible routes that folding changes are left out. Such a route takes only one spelling, so that requests
    with other spellings still reach later routes.
    """
    pairs = [(route, folded_route(route, folds)) for route in table.routes]
    kept = [folded for route, folded in pairs if folded is route or not route.reversible]
    return replace(table, routes=tuple(kept))


def find_exposing_routes(routes: Sequence[Route]) -> Iterator[tuple[Route, Route, str]]:
    """Yield (reversible route, later irreversible route, request that both match)."""
    ranked = [(route, rank) for rank, route in enumerate(routes)]
    for_good = [(route, rank) for route, rank in ranked if not route.reversible]
    if not for_good:
        return
    tree = OverlapTree([(route, (route, rank)) for route, rank in for_good], MAX_NODES)
    for route, rank in ranked:
        if not route.reversible:
            continue
        try:
            met = tree.find_overlapping(route)
        except TooManySteps:
            return
        for kept, later in sorted(met, key=lambda one: one[1]):
            if rank < later and (example := _find_shared_request(kept, route)) is not None:
                yield route, kept, example
                break


def _find_shared_request(first: Route, second: Route) -> str | None:
    """Return a request that both routes match, as text; None if there is none, or if the search takes too long."""
    try:
        return _find_leak(first, second, [])
    except (Undecidable, TooManySteps):
        return None


def _matching_identity(route: Route) -> Hashable:
    """Return a value that is equal for two routes if they match the same requests and have the same sort key."""
    path = parse_rule(route.path).segments if route.path is not None else route.prefix
    host = hostname_of(route.host) if route.host else None
    methods = effective_methods(route.methods)
    return path, methods, host, frozenset(route.predicates), route.priority


class _TableComparison:
    """The comparison of two tables, with cached intermediate results.

    A leak is a request that an irreversible route of the running table takes, and that a reversible route of
    the new table, or no route, takes.
    """

    def __init__(self, running: RouteTable, table: RouteTable) -> None:
        self._before = running.routes
        self._after = table.routes
        # Trusted proxies decide which host a request has: if they change, any request may have any host.
        self._hosts_move = running.trusted_proxies != table.trusted_proxies
        self._ids_before = [_matching_identity(route) for route in self._before]
        self._ids_after = [_matching_identity(route) for route in self._after]

    def find_weakenings(self, allowed: Callable[[Route], bool]) -> Iterator[Weakening]:
        """Yield the first leak of each irreversible route; skip the routes for which `allowed` returns True."""
        kept = {
            one for one, r in zip(self._ids_after, self._after, strict=True) if not r.reversible
        }
        suspects, reported = self._find_suspects(), 0
        for rank, route in enumerate(self._before):
            if route.reversible or allowed(route):
                continue
            moved = self._hosts_move and route.host is not None
            found = (
                self._find_any_leak(rank)
                if moved or self._ids_before[rank] not in kept
                else self._find_leak_to(rank, suspects.get(rank, ()))
            )
            if found is not None:
                reported += 1
                yield found
            if reported == MAX_REPORTED:
                return

    # --- routes that are there as they were, and reversible ones that are new before them ---------------

    def _find_suspects(self) -> dict[int, list[int]]:
        """Return {rank of an irreversible route: ranks of the reversible routes to compare it with}.

        The key is a rank in the running table, and the values are ranks in the new table.
        """
        ranks = self._find_new_reversible()
        if not ranks:
            return {}
        found: dict[int, list[int]] = {}
        irreversible = [(r, rank) for rank, r in enumerate(self._before) if not r.reversible]
        tree = OverlapTree(irreversible, MAX_NODES)
        for rank in ranks:
            try:
                met = tree.find_overlapping(self._after[rank])
            except TooManySteps:
                met = [one for _, one in irreversible]
            for kept in met:
                found.setdefault(kept, []).append(rank)
        return found

    def _find_new_reversible(self) -> list[int]:
        """Return the ranks, in the new table, of reversible routes that are new, changed or reordered."""
        known = {one for one, r in zip(self._ids_before, self._before, strict=True) if r.reversible}
        reordered = self._reordered_keys()
        return [
            rank
            for rank, route in enumerate(self._after)
            if route.reversible
            and (
                self._ids_after[rank] not in known
                or (bool(reordered) and order_key(route) in reordered)
                or (self._hosts_move and route.host is not None)
            )
        ]

    def _reordered_keys(self) -> set[Hashable]:
        """Return the sort keys whose routes stand in a different order in the two tables."""
        orders: list[dict[Hashable, list[Hashable]]] = []
        common = set(self._ids_before) & set(self._ids_after)
        for routes, ids in ((self._before, self._ids_before), (self._after, self._ids_after)):
            order: dict[Hashable, list[Hashable]] = {}
            for route, one in zip(routes, ids, strict=True):
                if one in common:
                    order.setdefault(order_key(route), []).append(one)
            orders.append(order)
        return {key for key, listed in orders[0].items() if listed != orders[1].get(key)}

    def _find_leak_to(self, rank: int, suspects: Sequence[int]) -> Weakening | None:
        """Return a leak from an irreversible route to one of the `suspects`; None if there is none.

        `rank` is the route's rank in the running table. Only suspects before the route in the new table count.
        """
        route = self._before[rank]
        place = self._rank_of_irreversible[self._ids_before[rank]]
        for suspect in sorted(suspects):
            if suspect < place:
                found = self._find_leak_through(rank, route, suspect)
                if found is not None:
                    return found
        return None

    @cached_property
    def _rank_of_irreversible(self) -> dict[Hashable, int]:
        """The rank of each irreversible route of the new table."""
        return {
            one: rank
            for rank, (one, route) in enumerate(zip(self._ids_after, self._after, strict=True))
            if not route.reversible
        }

    # --- any irreversible route -------------------------------------------------------------------------

    def _find_any_leak(self, rank: int) -> Weakening | None:
        """Return a leak from the irreversible route at `rank`; None if there is none.

        The leak goes to a reversible route of the new table, or to legacy if no route takes the request.
        """
        route = self._before[rank]
        if self._hosts_move:
            route = replace(route, host=None)
        try:
            met = sorted(self._tree_after.find_overlapping(route))
        except TooManySteps:
            return Weakening(self._before[rank], None, "")
        for other in met:
            if self._after[other].reversible:
                found = self._find_leak_through(rank, route, other, met)
                if found is not None:
                    return found
            elif _takes_all(self._after[other], route):
                return None
        return self._find_leak_through(rank, route, None, met)

    def _find_leak_through(
        self, rank: int, route: Route, by: int | None, met: Sequence[int] | None = None
    ) -> Weakening | None:
        """If the new table's route at rank `by` takes a request that `route` must keep, return this leak; else None.

        If `by` is None, look for requests that no route of the new table takes.

        The requests of irreversible routes before `by` are subtracted. If some requests are left, those that
        the running table gives to an earlier route are subtracted too.
        """
        taker = None if by is None else self._after[by]
        try:
            if taker is not None and _find_leak(route, taker, []) is None:
                return None
            met = sorted(self._tree_after.find_overlapping(route)) if met is None else met
            keeping = [self._after[other] for other in met if self._is_kept_from(other, by)]
            example = _find_leak(route, taker, keeping)
            if example is not None and (others := self._routes_asked_before(rank, route)):
                example = _find_leak(route, taker, [*keeping, *others])
        except (Undecidable, TooManySteps):
            return Weakening(self._before[rank], taker, "")
        return None if example is None else Weakening(self._before[rank], taker, example)

    def _is_kept_from(self, other: int, by: int | None) -> bool:
        """Return whether to subtract the requests of another route of the new table before looking for a leak to `by`.

        The requests of irreversible routes before `by` are subtracted, because they never reach `by`. If `by` is None,
        the requests of all routes are subtracted, because the search is for requests that no route takes.
        """
        return by is None or (other < by and not self._after[other].reversible)

    def _routes_asked_before(self, rank: int, route: Route) -> list[Route]:
        """Return the routes that are tried before this one in the running table."""
        return [
            self._before[other]
            for other in self._tree_before.find_overlapping(route)
            if other < rank and not (self._hosts_move and self._before[other].host is not None)
        ]

    @cached_property
    def _tree_after(self) -> OverlapTree[int]:
        return OverlapTree([(route, rank) for rank, route in enumerate(self._after)], MAX_NODES)

    @cached_property
    def _tree_before(self) -> OverlapTree[int]:
        return OverlapTree([(route, rank) for rank, route in enumerate(self._before)], MAX_NODES)


def _takes_all(wide: Route, narrow: Route) -> bool:
    """Return whether one route surely takes all requests of another."""
    ours, theirs = effective_methods(wide.methods), effective_methods(narrow.methods)
    return (
        (ours is None or (theirs is not None and theirs <= ours))
        and (not wide.host or (bool(narrow.host) and wide.host == narrow.host))
        and set(wide.predicates) <= set(narrow.predicates)
        and surely_takes_all(wide, narrow)
    )


def _find_leak(route: Route, taker: Route | None, keeping: Sequence[Route]) -> str | None:
    """Return a request that `route`, `taker` (if given) and no route in `keeping` match; None if there is none."""
    within = [route] if taker is None else [route, taker]
    kinds = request_kinds([*within, *keeping])
    region: Region | None = all_requests(kinds)
    for one in within:
        region = region and region.intersect(one, kinds)
    if region is None:
        return None
    in_order = sorted(keeping, key=lambda one: len(one.predicates))
    return _Subtraction(within, in_order, kinds).find_request(region, 0, ())


class _Subtraction:
    """The requests that all routes in `within` match, minus the requests of the routes in `keeping`."""

    def __init__(self, within: list[Route], keeping: list[Route], kinds: RequestKinds) -> None:
        self._within, self._keeping, self._kinds = within, keeping, kinds
        self._paths: dict[tuple[int, ...], str | None] = {}
        self._parts = 0

    def find_request(self, region: Region, at: int, met: tuple[int, ...]) -> str | None:
        """Return a request of the region that the routes `keeping[at:]` do not match; None if they match all requests.

        The routes with indexes in `met` do not match the path of the returned request.
        """
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise TooManySteps
        if self._find_path_without(met) is None:
            return None
        for index in range(at, len(self._keeping)):
            route = self._keeping[index]
            common = region.intersect(route, self._kinds)
            if common is None:
                continue
            for part in region.subtract(route, self._kinds):
                found = self.find_request(part, index + 1, met)
                if found is not None:
                    return found
            region, met = common, (*met, index)
            if self._find_path_without(met) is None:
                return None
        path = self._find_path_without(met)
        return None if path is None else region.example_request(path)

    def _find_path_without(self, met: tuple[int, ...]) -> str | None:
        """Return a path that all routes of `within` match and no route in `met` matches; None if there is none."""
        if met not in self._paths:
            others = [self._keeping[index] for index in met]
            self._paths[met] = find_path_outside(self._within, others)
        return self._paths[met]
