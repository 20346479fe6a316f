"""Sets of requests, described by everything except the path: methods, hosts, headers, query keys and cookies.

Pure. A few routes distinguish only a few kinds of methods and hosts, so one method or host of each kind stands
for all of that kind. If a header, query key or cookie is repeated, each of its values may match. Therefore each
value that a route requires is present or absent independently of the other values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import NamedTuple
from urllib.parse import quote

from overgrow.routing.facts import hostname_of
from overgrow.routing.model import Predicate, PredicateKind, Route
from overgrow.routing.overlap import ANY_WORD, request_text
from overgrow.routing.rules import effective_methods

Name = tuple[PredicateKind, str]
_PLAIN = "/:@!$&'()*+,;="  # in an example's path, beside letters and digits
_USUAL = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")


class RequestKinds(NamedTuple):
    """One example method and one example host of each kind that some routes distinguish."""

    methods: frozenset[str]
    hosts: frozenset[str]


def request_kinds(routes: Sequence[Route]) -> RequestKinds:
    """Return one example of each kind of method and host that these routes distinguish."""
    named = {m for route in routes for m in effective_methods(route.methods) or ()}
    other = next(m for m in chain(_USUAL, (f"X-{n}" for n in count())) if m not in named)
    hosts = {hostname_of(route.host) for route in routes if route.host}
    known = {host for host in hosts if not host.startswith("*.")}
    below = {_unnamed_host(host[1:], known) for host in hosts - known}
    return RequestKinds(frozenset(named | {other}), frozenset({"", *known, *below}))


def _unnamed_host(suffix: str, known: set[str]) -> str:
    """Return a host below the suffix that differs from every host of the routes."""
    return next(host for n in count(1) if (host := ANY_WORD * n + suffix) not in known)


class KnownValues(NamedTuple):
    """Knowledge about the values of one name: which are present, which are absent, and whether there is any value."""

    there: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    any: bool | None = None

    @property
    def is_possible(self) -> bool:
        """Whether this knowledge is free of contradictions, so that a request can fit it."""
        return not (self.there & self.absent) and not (self.there and self.any is False)


@dataclass(frozen=True, slots=True)
class Region:
    """The requests with one of these methods, one of these hosts, and values that fit `KnownValues`."""

    methods: frozenset[str]
    hosts: frozenset[str]
    values: Mapping[Name, KnownValues]

    def intersect(self, route: Route, kinds: RequestKinds) -> Region | None:
        """Return the requests of this region that meet the route's conditions; None if there are none."""
        methods = self.methods & _methods_of(route, kinds)
        hosts = self.hosts & _hosts_of(route, kinds)
        found: Region | None = Region(methods, hosts, self.values)
        for one in route.predicates:
            found = found and found.restrict(one, holds=True)
        return found if methods and hosts else None

    def subtract(self, route: Route, kinds: RequestKinds) -> Iterator[Region]:
        """Yield, in parts, the requests of this region that do not meet the route's conditions."""
        theirs, places = _methods_of(route, kinds), _hosts_of(route, kinds)
        yield from _unless_empty(Region(self.methods - theirs, self.hosts, self.values))
        yield from _unless_empty(Region(self.methods & theirs, self.hosts - places, self.values))
        rest: Region | None = Region(self.methods & theirs, self.hosts & places, self.values)
        for one in route.predicates:
            if rest is None:
                return
            other = rest.restrict(one, holds=False)
            if other is not None:
                yield from _unless_empty(other)
            rest = rest.restrict(one, holds=True)

    def restrict(self, predicate: Predicate, *, holds: bool) -> Region | None:
        """Return the requests of this region that meet the predicate; with `holds=False`, those that fail it.

        Return None if there are none.
        """
        name: Name = (predicate.kind, predicate.name)
        held = self.values.get(name, KnownValues())
        if predicate.value is None:
            present = predicate.present is holds
            if held.any is not None and held.any is not present:
                return None
            held = held._replace(any=present)
        elif holds:
            held = held._replace(there=held.there | {predicate.value})
        else:
            held = held._replace(absent=held.absent | {predicate.value})
        return (
            Region(self.methods, self.hosts, {**self.values, name: held})
            if held.is_possible
            else None
        )

    def example_request(self, path: str) -> str:
        """Return a request of this region for `path` as a short text, such as `GET /users/1`."""
        method = next((one for one in _USUAL if one in self.methods), None) or min(self.methods)
        host = "" if "" in self.hosts else min(self.hosts)
        values = [
            (name, value) for name, held in self.values.items() for value in _example_values(held)
        ]
        return request_text(method, host, quote(path, safe=_PLAIN), values)


def _example_values(held: KnownValues) -> Iterator[str]:
    """Yield the values that an example request must have for one name."""
    yield from sorted(held.there)
    if held.any and not held.there:
        yield next(one for n in count(1) if (one := ANY_WORD * n) not in held.absent)


def _unless_empty(region: Region) -> Iterator[Region]:
    if region.methods and region.hosts:
        yield region


def _methods_of(route: Route, kinds: RequestKinds) -> frozenset[str]:
    methods = effective_methods(route.methods)
    return kinds.methods if methods is None else methods


def _hosts_of(route: Route, kinds: RequestKinds) -> frozenset[str]:
    if not route.host:
        return kinds.hosts
    host = hostname_of(route.host)
    if not host.startswith("*."):
        return frozenset({host})
    return frozenset(one for one in kinds.hosts if one.endswith(host[1:]))


def all_requests(kinds: RequestKinds) -> Region:
    """Return all requests."""
    return Region(kinds.methods, kinds.hosts, {})
