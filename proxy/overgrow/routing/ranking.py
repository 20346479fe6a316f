"""The routes of a table in matching order, with their sort keys and their index.

Pure. Checking a table needs the same keys and the same index as matching. With ten thousand routes, building
keys and index twice would take a considerable part of the loading time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from overgrow.routing.index import PathIndex
from overgrow.routing.model import Route
from overgrow.routing.order import Key, order_key


class Ranking(NamedTuple):
    """Routes in matching order. A route's rank is its position in `routes`, and rank 0 is tried first.

    `keys` are the sort keys of the routes. Each place of `paths` holds ranks, the smallest first.
    """

    routes: tuple[Route, ...]
    keys: tuple[Key, ...]
    paths: PathIndex[int]


def rank_routes(routes: Iterable[Route]) -> Ranking:
    """Return the ranking of these routes. Routes with equal keys stay in the given order."""
    given = [(order_key(route), route) for route in routes]
    given.sort(key=_key_of)
    in_order = tuple([route for _, route in given])
    return Ranking(in_order, tuple([key for key, _ in given]), index_of(in_order))


def index_of(routes: Sequence[Route]) -> PathIndex[int]:
    """Return the index of routes in matching order."""
    index: PathIndex[int] = PathIndex()
    for rank, route in enumerate(routes):
        index.add(route, rank)
    return index


def _key_of(pair: tuple[Key, Route]) -> Key:
    """Return the sort key of a pair."""
    return pair[0]
