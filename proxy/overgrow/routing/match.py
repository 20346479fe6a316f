"""Finds the route that takes a request: an index finds routes by path, then their other conditions are checked.

Pure. A Matcher is built once per table and never changes. The index finds the ranks of the routes whose path matches;
`match` and `candidates` check host, method and predicates of these routes, in that order. This module re-exports the
functions about rules and their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from overgrow.routing.conflicts import Tie, find_ties, find_unreachable
from overgrow.routing.converters import RuleError
from overgrow.routing.facts import (
    Head,
    hostname_of,
    parse_cookies,
    parse_query,
    path_of,
    trusted_header_values,
)
from overgrow.routing.folded import folded_paths, path_reader_but_for_case, plain_path_reader
from overgrow.routing.index import PathIndex
from overgrow.routing.model import Decision, Predicate, Route, RouteTable
from overgrow.routing.order import sort_routes
from overgrow.routing.overlap import find_common_request
from overgrow.routing.ranking import index_of
from overgrow.routing.rules import (
    derived_name,
    effective_methods,
    is_below_prefix,
    parse_rule,
    shape_of,
)

__all__ = [
    "Candidate",
    "Matcher",
    "RuleError",
    "Tie",
    "build_matcher",
    "derived_name",
    "find_common_request",
    "find_ties",
    "find_unreachable",
    "is_below_prefix",
    "parse_rule",
    "shape_of",
    "sort_routes",
]


MAX_KNOWN_PATHS = 2_048  # paths
MAX_KNOWN_LENGTH = 200  # characters of a path


class Candidate(NamedTuple):
    """A route whose path matches the request.

    `failed` is its first other condition that the request does not meet, or None.
    """

    route: Route
    matched: bool
    failed: str | None  # "host", "method", "header:NAME", "query:NAME", "cookie:NAME"


class _ParsedHead:
    """A head whose host, query and cookies are parsed when they are first needed."""

    __slots__ = ("_cookies", "_hostname", "_query", "head")

    def __init__(self, head: Head) -> None:
        self.head = head
        self._hostname: str | None = None
        self._query: list[tuple[str, str]] | None = None
        self._cookies: list[tuple[bytes, bytes]] | None = None

    @property
    def hostname(self) -> str:
        """The host in lower case, without port."""
        if self._hostname is None:
            self._hostname = hostname_of(self.head.host)
        return self._hostname

    def values(self, predicate: Predicate) -> list[bytes]:
        """Return the values of the predicate's header, cookie or query key as bytes.

        Query values are encoded in UTF-8.
        """
        name = predicate.name.encode()
        if predicate.kind == "header":
            return list(trusted_header_values(self.head, name))
        if predicate.kind == "cookie":
            if self._cookies is None:
                self._cookies = list(parse_cookies(self.head.headers))
            return [value for key, value in self._cookies if key == name]
        if self._query is None:
            self._query = parse_query(self.head.target)
        return [value.encode() for key, value in self._query if key == predicate.name]


class _RouteEntry:
    """A route with conditions that are prepared for matching."""

    __slots__ = ("asks_more", "host", "methods", "predicates", "route", "suffix")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.methods = effective_methods(route.methods)
        host = hostname_of(route.host) if route.host else None
        self.suffix = host[1:] if host is not None and host.startswith("*.") else None
        self.host = host if self.suffix is None else None
        self.predicates = route.predicates
        self.asks_more = host is not None or bool(route.predicates)  # than the method

    def takes_method(self, method: str) -> bool:
        """Return whether the route takes requests with this method."""
        # Methods are case-sensitive (RFC 9110 9.1), but frameworks fold them: `post` must not slip
        # past a route for POST to a legacy app that takes it for one.
        return self.methods is None or method in self.methods or method.upper() in self.methods

    def unmet_condition(self, request: _ParsedHead) -> str | None:
        """Return the first condition that this request does not meet; None if it meets all conditions."""
        if self.host is not None and request.hostname != self.host:
            return "host"
        if self.suffix is not None and not _is_below(request.hostname, self.suffix):
            return "host"
        if not self.takes_method(request.head.method):
            return "method"
        for predicate in self.predicates:
            if not _is_met(predicate, request.values(predicate)):
                return predicate.label
        return None


def _is_below(hostname: str, suffix: str) -> bool:
    """Return whether the host is a subdomain. It must end in `suffix`, such as `.example.com`, and be longer."""
    return hostname.endswith(suffix) and len(hostname) > len(suffix)


def _is_met(predicate: Predicate, values: list[bytes]) -> bool:
    """Return whether the values meet the predicate.

    One of them must be the required value. If the predicate has no value, they must be present or absent, as it
    requires.
    """
    if predicate.value is not None:
        return predicate.value.encode() in values
    return bool(values) == predicate.present


class Matcher:
    """A table prepared for matching. Building a Matcher is pure, so a thread may do it.

    It is immutable, except for a cache of recent paths and the routes that match them.
    """

    __slots__ = (
        "_entries",
        "_exact",
        "_folded",
        "_index",
        "_known",
        "default",
        "path_but_for_case",
        "plain_path_of",
        "table",
    )

    def __init__(self, table: RouteTable, index: PathIndex[int] | None = None) -> None:
        """Prepare a table. `index` is the index of its routes, if the caller has one already."""
        self.table = table
        self.default = Decision(None, "legacy", "default", table.revision)  # the most frequent one
        self._entries = [_RouteEntry(route) for route in table.routes]
        self._index = index_of(table.routes) if index is None else index
        self._exact = self._index.exact if _are_exact_first(table.routes) else {}
        self._known: dict[str, Sequence[int]] = {}
        self._folded = folded_paths(table.routes, table.legacy.folds)
        # From a target to its path, if the target obviously has one reading; else None.
        self.plain_path_of = plain_path_reader(table, self._folded)
        self.path_but_for_case = path_reader_but_for_case(table)

    def match(self, head: Head) -> Route | None:
        """Return the route that takes the request. Return None if no route takes it, so that it goes to legacy by default.

        For an ambiguous path the result is None, too: `decide` handles such paths.
        """
        path = path_of(head.target)
        return None if path is None else self.match_path(path, head)

    def match_path(self, path: str, head: Head) -> Route | None:
        """Return the route that takes a request for the decoded `path`."""
        exact = self._exact.get(path)
        if exact is not None:
            route = self._first_match(exact, head)
            if route is not None:
                return route
        known = self._known.get(path)
        return self._first_match(self._find_ranks(path) if known is None else known, head)

    def find_takers(self, path: str, head: Head) -> Iterator[Route | None]:
        """Yield the route for the path as written (or None). Then yield the routes for other spellings of the path.

        If a route's path stays the same when it is folded (legacy may fold case, for example), the route also
        matches all other spellings. If folding changes the path, such as `/Users`, the route takes only its own
        spelling, so that other spellings may reach a later route.
        """
        yield self.match_path(path, head)
        if self._folded is None:
            return
        request, is_taken = _ParsedHead(head), False
        for rank in self._folded.ranks(path):
            is_unchanged = self._folded.is_unchanged(rank)
            if (is_taken and is_unchanged) or self._entries[rank].unmet_condition(
                request
            ) is not None:
                continue
            is_taken = is_taken or is_unchanged
            yield self._entries[rank].route

    def _first_match(self, ranks: Sequence[int], head: Head) -> Route | None:
        """Return the first route at these ranks that takes the request. The path must match all of them."""
        entries = self._entries
        request: _ParsedHead | None = None
        for rank in ranks:
            entry = entries[rank]
            if not entry.asks_more:
                if entry.takes_method(head.method):
                    return entry.route
                continue
            if request is None:
                request = _ParsedHead(head)
            if entry.unmet_condition(request) is None:
                return entry.route
        return None

    def candidates(self, head: Head) -> tuple[Candidate, ...]:
        """Return the routes whose path matches, in order, up to the one that takes the request."""
        path = path_of(head.target)
        if path is None:
            return ()
        found: list[Candidate] = []
        request = _ParsedHead(head)
        for rank in self._find_ranks(path):
            entry = self._entries[rank]
            failed = entry.unmet_condition(request)
            found.append(Candidate(entry.route, failed is None, failed))
            if failed is None:
                break
        return tuple(found)

    def _find_ranks(self, path: str) -> Sequence[int]:
        """Return the ranks of the routes that match the path, in order."""
        places = self._index.find_places(path)
        if len(places) > 1:
            ranks: Sequence[int] = sorted(chain.from_iterable(places))
        else:
            ranks = places[0] if places else ()
        if len(path) <= MAX_KNOWN_LENGTH:  # clients choose paths
            if len(self._known) >= MAX_KNOWN_PATHS:
                self._known.clear()
            self._known[path] = ranks
        return ranks


def _are_exact_first(routes: Sequence[Route]) -> bool:
    """Return whether all paths without variables come before all templates and prefixes, even with priorities."""
    exact = [route.path is not None and "<" not in route.path for route in routes]
    return exact == sorted(exact, reverse=True)


def build_matcher(table: RouteTable) -> Matcher:
    """Return the matcher of a table."""
    return Matcher(table)
