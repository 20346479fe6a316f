"""Finds the routes of a path if legacy folds case, or dots and spaces at the end of a segment.

Pure. Rule: if legacy treats two paths as the same path, this module does so too, in the table and in the
request. A table without such folds does not need this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain

from overgrow.routing.facts import plain_path_of
from overgrow.routing.index import PathIndex
from overgrow.routing.model import Route, RouteTable
from overgrow.routing.readings import CASE, IIS, TRAILING, Folds, fold_case

FOLDING_ROUTES = frozenset({CASE, TRAILING})  # the other folds change requests only
_VARIABLE = re.compile(r"(<[^<>]*>)")
_SEGMENT_END = re.compile(r"[ .]++(?=/)")


class FoldedPaths:
    """An index of routes by their folded paths."""

    __slots__ = ("_folds", "_index", "_is_unchanged", "has_others")

    def __init__(self, routes: Sequence[Route], folds: Folds) -> None:
        self._folds = folds
        self._index: PathIndex[int] = PathIndex()
        self._is_unchanged: list[bool] = []
        for rank, route in enumerate(routes):
            folded = folded_route(route, folds)
            self._is_unchanged.append(folded is route)
            self._index.add(folded, rank)
        self.has_others = not all(self._is_unchanged)  # some routes change when folded

    def ranks(self, path: str) -> list[int]:
        """Return the ranks, in order, of all routes that take a spelling of the path."""
        folded = fold_case(path) if CASE in self._folds else path
        return sorted(chain.from_iterable(self._index.find_places(folded)))

    def is_unchanged(self, rank: int) -> bool:
        """Return whether a route is the same after folding. Such a route stands for all spellings of its paths."""
        return self._is_unchanged[rank]


def folded_paths(routes: Sequence[Route], folds: Folds) -> FoldedPaths | None:
    """Return the index of folded paths; None if these folds leave every route unchanged."""
    return FoldedPaths(routes, folds) if folds & FOLDING_ROUTES else None


def folded_route(route: Route, folds: Folds) -> Route:
    """Return the route with its path or prefix folded. If folding changes nothing, return the same object."""
    written = route.path if route.path is not None else route.prefix or "/"
    folded = _folded_rule(written, folds)
    if folded == written or _has_lost_segment(folded, written):
        return route
    if route.path is None:
        return replace(route, prefix=folded)
    return replace(route, path=folded)


def _has_lost_segment(folded: str, written: str) -> bool:
    """Return whether folding made a segment empty. The folded route would then match all paths, or no path."""
    return "//" in folded or (folded.endswith("/") and not written.endswith("/"))


def _folded_rule(written: str, folds: Folds) -> str:
    """Return the text of a rule with two parts folded: literal text, and the items of `any` converters."""
    pieces = _VARIABLE.split(written)
    for at, piece in enumerate(pieces):
        if CASE in folds and (at % 2 == 0 or piece.startswith("<any(")):
            pieces[at] = fold_case(piece)
        if TRAILING in folds and at % 2 == 0:
            pieces[at] = _SEGMENT_END.sub("", pieces[at])
    if TRAILING in folds:
        pieces[-1] = pieces[-1].rstrip(" .")
    return "".join(pieces)


# --- targets with one obvious reading ------------------------------------------------------------------


def plain_path_reader(table: RouteTable, folded: FoldedPaths | None) -> PathReader:
    """Return a function that maps a target to its path. It returns None if the target may have several readings."""
    if table.legacy.rewrite_headers or (folded is not None and folded.has_others):
        return _no_path_of
    return _unchanged_path_reader(table.legacy.folds, table.routes)


def path_reader_but_for_case(table: RouteTable) -> PathReader:
    """Return a function that maps a target to its path.

    It returns None if the readings may differ in more than case.
    """
    folds = table.legacy.folds
    return _unchanged_path_reader(folds - {CASE}, table.routes) if CASE in folds else _no_path_of


def _unchanged_path_reader(folds: Folds, routes: Sequence[Route]) -> PathReader:
    """Return a function that maps a target to its path. It returns None if one of these folds may change the path."""
    if not folds:
        return plain_path_of
    if TRAILING in folds and any(_is_closed_with_slash(route) for route in routes):
        return _no_path_of
    match = _unchanged_path_pattern(folds).match

    def read_path(target: bytes) -> str | None:
        settled = match(target)
        return None if settled is None else settled[0].decode("ascii")

    return read_path


PathReader = Callable[[bytes], str | None]


def _no_path_of(_target: bytes) -> str | None:
    return None


def _is_closed_with_slash(route: Route) -> bool:
    """Return whether legacy must not answer this route, and the route's path ends in a slash that legacy drops."""
    is_closed = not route.reversible or route.target == "gone"
    return is_closed and route.path is not None and route.path != "/" and route.path.endswith("/")


def _unchanged_path_pattern(folds: Folds) -> re.Pattern[bytes]:
    """Return the pattern of the paths that these folds do not change."""
    loose = rb"A-Z" if CASE in folds else rb""
    loose += rb":" if folds & {TRAILING, IIS} else rb""
    end = rb"(?<![./])" if TRAILING in folds else rb""
    segment = rb"/(?![/.])[^%\\\0#\x80-\xff/?;" + loose + rb"]*+"
    return re.compile(rb"(?:/|(?:" + segment + end + rb")+)(?=\?|\Z)")
