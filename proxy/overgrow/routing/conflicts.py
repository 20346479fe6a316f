"""Finds faults in a table's order: ties, and routes that an earlier route hides.

Pure. Rule: comparing every pair would take too long. To find ties, two routes are compared only if their sort
keys are equal and if they have the same value for each feature that both have. To find hidden routes, two
routes are compared only if the earlier one matches a sample path of the later one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from overgrow.routing.converters import DEFAULT, Converter
from overgrow.routing.facts import hostname_of
from overgrow.routing.model import Predicate, Route
from overgrow.routing.order import Key
from overgrow.routing.overlap import ANY_WORD, find_common_request, number_texts, trial_numbers
from overgrow.routing.ranking import Ranking
from overgrow.routing.rules import (
    Accepts,
    PathRule,
    Segment,
    acceptor,
    effective_methods,
    is_literal,
    literal_text,
    parse_rule,
    segments_of_prefix,
)

Features = dict[Hashable, Hashable]
Conditions = tuple[str, frozenset[Predicate]]
_FirstRanks = dict[tuple[str, ...] | None, int]  # by methods, the rank that is asked first


class Tie(NamedTuple):
    """Two routes with equal sort keys, in file order, and a request that both routes match."""

    first: Route
    second: Route
    example: str


def find_ties(ranking: Ranking) -> list[Tie]:
    """Return the ties: for each route, the first earlier route with an equal sort key that matches a common request.

    The ties are in matching order; routes with equal keys are in file order. A tie needs a common request with
    at most one value for each header, query key and cookie. For repeated values, the first route in the file
    wins.
    """
    alike: dict[tuple[Key, Hashable], list[Route]] = {}
    for route, key in zip(ranking.routes, ranking.keys, strict=True):
        alike.setdefault((key, _literal_segments(route)), []).append(route)
    return [tie for routes in alike.values() if len(routes) > 1 for tie in _find_ties_among(routes)]


def _literal_segments(route: Route) -> Hashable:
    """Return a route's literal segments.

    Two routes with equal keys match a common path only if these segments are equal. Routes with equal keys have
    their literal segments at the same places.
    """
    if route.path is None or "<" not in route.path:
        return route.path or route.prefix
    rule = parse_rule(route.path)
    return tuple([one for one in rule.segments[: rule.tail] if is_literal(one)])


def _find_ties_among(routes: list[Route]) -> Iterator[Tie]:
    """Yield the ties among routes with equal keys."""
    by_method: dict[str | None, _TieIndex] = {}
    methods = _representative_methods({route.methods for route in routes})
    for route in routes:
        features = _features(route)
        seen = [by_method.setdefault(name, _TieIndex()) for name in methods[route.methods]]
        tie = next((tie for one in seen for tie in one.find_ties_with(route, features)), None)
        if tie is not None:
            yield tie
        for one in seen:
            one.add(route, features)


def _representative_methods(
    named: set[tuple[str, ...] | None],
) -> dict[tuple[str, ...] | None, list[str | None]]:
    """Return for each list of methods the methods that represent it in the search for ties.

    If several methods occur in exactly the same lists, only one of them is compared.

    For example, if each route has [GET, HEAD] or [POST], the search compares POST and one of GET and HEAD.
    """
    effective = {one: effective_methods(one) or (None,) for one in named}
    together: dict[str | None, list[int]] = {}
    for at, methods in enumerate(effective.values()):
        for method in methods:
            together.setdefault(method, []).append(at)
    chosen = frozenset({tuple(lists): method for method, lists in together.items()}.values())
    return {
        one: [method for method in methods if method in chosen]
        for one, methods in effective.items()
    }


class _FeatureGroup:
    """Routes with predicates on the same parts of a request. An index finds them by what some of these predicates demand."""

    __slots__ = ("indexes", "members")

    def __init__(self) -> None:
        self.members: list[tuple[Route, Features]] = []
        self.indexes: dict[tuple[Hashable, ...], dict[Hashable, list[Route]]] = {}

    def add(self, route: Route, features: Features) -> None:
        """Add a route."""
        self.members.append((route, features))
        for names, index in self.indexes.items():
            index.setdefault(_feature_values(features, names), []).append(route)

    def routes_agreeing(self, names: tuple[Hashable, ...], features: Features) -> list[Route]:
        """Return the routes that have the same values as `features` for the features in `names`."""
        if names not in self.indexes:
            index: dict[Hashable, list[Route]] = {}
            for route, own in self.members:
                index.setdefault(_feature_values(own, names), []).append(route)
            self.indexes[names] = index
        return self.indexes[names].get(_feature_values(features, names), [])


class _TieIndex:
    """Routes with the same sort key and a common method, grouped by the features that they have."""

    __slots__ = ("_groups", "_shared")

    def __init__(self) -> None:
        self._groups: dict[frozenset[Hashable], _FeatureGroup] = {}
        self._shared: dict[
            tuple[frozenset[Hashable], frozenset[Hashable]], tuple[Hashable, ...]
        ] = {}

    def add(self, route: Route, features: Features) -> None:
        """Add a route."""
        names = frozenset(features)
        if names not in self._groups:
            self._groups[names] = _FeatureGroup()
        self._groups[names].add(route, features)

    def find_ties_with(self, route: Route, features: Features) -> Iterator[Tie]:
        """Yield the ties between this route and the routes added so far."""
        names = frozenset(features)
        for others, group in self._groups.items():
            if (names, others) not in self._shared:
                self._shared[names, others] = tuple(names & others)
            for other in group.routes_agreeing(self._shared[names, others], features):
                example = find_common_request(other, route)
                if example is not None:
                    yield Tie(other, route, example)


def _feature_values(features: Features, names: tuple[Hashable, ...]) -> Hashable:
    """Return the values of the features in `names`."""
    return tuple(map(features.__getitem__, names))


def _features(route: Route) -> Features:
    """Return the features of a route. Two routes with different values for the same feature cannot tie."""
    features: Features = {}
    if route.path is None or "<" not in route.path:
        features["path"] = route.path or route.prefix
    else:
        features.update(_path_features(parse_rule(route.path)))
    if route.host:
        features["host"] = hostname_of(route.host)
    for one in route.predicates:
        features[one.kind, one.name, "present"] = one.value is not None or one.present
        if one.value is not None:
            features[one.kind, one.name] = one.value
    return features


def _path_features(rule: PathRule) -> Iterator[tuple[Hashable, Hashable]]:
    """Yield the features of a template: its literal segments, and the first and last characters of mixed segments."""
    for at, segment in enumerate(rule.segments[: rule.tail]):
        if is_literal(segment):
            yield ("segment", at), literal_text(segment)
        else:
            yield from _edge_features(at, segment[0], segment[-1])
    if rule.tail is not None:
        first, last = rule.segments[rule.tail], rule.segments[-1]
        yield from _edge_features(rule.tail, first[0], last[-1] if last else "")


def _edge_features(
    at: int, first: str | Converter, last: str | Converter
) -> Iterator[tuple[Hashable, Hashable]]:
    """Yield the literal characters at the beginning and at the end of mixed text."""
    if isinstance(first, str):
        for place, character in enumerate(first):
            yield ("begin", at, place), character
    if isinstance(last, str):
        for place, character in enumerate(reversed(last)):
            yield ("end", at, place), character


def find_unreachable(ranking: Ranking) -> list[tuple[Route, Route]]:
    """Return (unreachable route, earlier route that takes all its requests) for each unreachable route.

    An earlier route hides a later one under two conditions. It matches all paths, hosts and methods of the
    later one, and all its predicates follow from those of the later one. The result is in matching order. Ties
    are not in it: `find_ties` reports them.
    """
    places = _HidingRoutes(ranking)
    found = []
    for rank, route in enumerate(ranking.routes):
        hiding = places.find_hiding(rank)
        if hiding is not None:
            found.append((route, hiding))
    return found


class _HidingRoutes:
    """Finds routes that hide others.

    For this it groups the routes at each place of a table's index by their conditions.
    """

    def __init__(self, ranking: Ranking) -> None:
        self._ranking = ranking
        self._groups: dict[int, dict[Conditions, _FirstRanks]] = {}  # by the first rank of a place

    def find_hiding(self, rank: int) -> Route | None:
        """Return a route that comes before the route at `rank` and takes all its requests; None if there is none."""
        routes = self._ranking.routes
        route = routes[rank]
        for place in self._ranking.paths.find_places(_sample_path(route)):
            if place[0] >= rank:
                continue  # nearly always: no route that is asked before takes the sample
            group = self._group(place)
            for conditions in _weaker_conditions(route, group):
                for other in group.get(conditions, {}).values():
                    if self._hides(other, rank):
                        return routes[other]
        return None

    def _group(self, place: list[int]) -> dict[Conditions, _FirstRanks]:
        """Return the routes at one place of the index, grouped by their conditions."""
        known = self._groups.get(place[0])
        if known is not None:
            return known
        group = self._groups[place[0]] = {}
        for rank in place:
            route = self._ranking.routes[rank]
            host = hostname_of(route.host) if route.host else ""
            conditions = (host, frozenset(route.predicates))
            group.setdefault(conditions, {}).setdefault(route.methods, rank)
        return group

    def _hides(self, wide: int, narrow: int) -> bool:
        """Return whether `wide` comes before `narrow` and matches all paths and methods of `narrow`."""
        routes, keys = self._ranking.routes, self._ranking.keys
        if keys[wide] >= keys[narrow]:
            return False
        ours = effective_methods(routes[wide].methods)
        theirs = effective_methods(routes[narrow].methods)
        if ours is not None and (theirs is None or not theirs <= ours):
            return False
        return _covers_path(routes[wide], routes[narrow])


def _weaker_conditions(route: Route, group: dict[Conditions, _FirstRanks]) -> Iterator[Conditions]:
    """Yield conditions that every request of `route` meets. They include all such conditions of the group."""
    implied = [*route.predicates]
    implied += [Predicate(one.kind, one.name) for one in route.predicates if one.value is not None]
    hosts = _wider_hosts(hostname_of(route.host or ""))
    if len(group) <= 2 ** len(implied) * len(hosts):
        yield from (one for one in group if one[0] in hosts and one[1].issubset(implied))
        return
    for size in range(len(implied) + 1):
        for predicates in combinations(implied, size):
            for host in hosts:
                yield host, frozenset(predicates)


def _wider_hosts(host: str) -> list[str]:
    """Return the host patterns that include `host`; "" stands for no condition."""
    labels = host.split(".")
    return ["", host, *(f"*.{'.'.join(labels[at:])}" for at in range(1, len(labels)))]


def _covers_path(wide: Route, narrow: Route) -> bool:
    """Return whether `wide` matches every path that `narrow` matches."""
    if wide.path is None:
        literal = segments_of_prefix(wide.prefix or "/")
        if narrow.path is None:
            return segments_of_prefix(narrow.prefix or "/")[: len(literal)] == literal
        segments = parse_rule(narrow.path).segments[: len(literal)]
        return segments == tuple((text,) for text in literal)
    if narrow.path is None:
        return False
    return _covers_rule(parse_rule(wide.path), parse_rule(narrow.path))


def _covers_rule(wide: PathRule, narrow: PathRule) -> bool:
    """Return whether the rule `wide` matches every path of `narrow`; False if this is unknown."""
    if wide.segments == narrow.segments:
        return True
    single = len(wide.segments) if wide.tail is None else wide.tail
    if narrow.tail is not None and narrow.tail < single:
        return False
    heads = zip(wide.segments[:single], narrow.segments[:single], strict=False)
    if len(narrow.segments) < single or not all(segment_takes_all(*pair) for pair in heads):
        return False
    rest = narrow.segments[single:]
    if wide.tail is None:
        return not rest
    return wide.segments[single:] == ((Converter("path"),),) and bool(rest) and rest[0] != ()


def segment_takes_all(wide: Segment, narrow: Segment) -> bool:
    """Return whether `wide` accepts every text that `narrow` accepts; False if this is unknown."""
    if wide == narrow:
        return True
    if is_literal(wide):
        return False
    accepts = acceptor((wide,))
    if is_literal(narrow):
        return bool(accepts(literal_text(narrow)))
    if len(wide) > 1 or len(narrow) > 1:
        return wide == (DEFAULT,)
    ours, theirs = wide[0], narrow[0]
    return (
        isinstance(ours, Converter)
        and isinstance(theirs, Converter)
        and _covers_converter(ours, theirs, accepts)
    )


def _covers_converter(wide: Converter, narrow: Converter, accepts: Accepts) -> bool:
    """Return whether `wide` accepts every text that `narrow` accepts."""
    if narrow.kind == "any":
        return all(accepts(item) for item in narrow.items)
    if wide.kind == "string" and narrow.kind != "string":
        return wide == DEFAULT and narrow.kind != "path"
    if wide.kind != narrow.kind or wide.digits not in (0, narrow.digits):
        return False
    if narrow.signed and not wide.signed:
        return False
    lower = wide.minimum is None or (narrow.minimum is not None and wide.minimum <= narrow.minimum)
    upper = wide.maximum is None or (narrow.maximum is not None and wide.maximum >= narrow.maximum)
    return lower and upper


def _sample_path(route: Route) -> str:
    """Return a path that the route matches, or nearly matches. It serves to look up routes that may hide this route."""
    if route.path is None:
        return route.prefix or "/"
    if "<" not in route.path:
        return route.path
    segments = parse_rule(route.path).segments
    return "/" + "/".join(
        [literal_text(one) if is_literal(one) else _sample_segment(one) for one in segments]
    )


@lru_cache(maxsize=4096)  # a pure memo: most templates share a few variables
def _sample_segment(segment: Segment) -> str:
    """Return a text that a segment with variables accepts."""
    return "".join([_sample_part(part) for part in segment])


def _sample_part(part: str | Converter) -> str:
    """Return a text that a part of a segment accepts."""
    if isinstance(part, str):
        return part
    match part.kind:
        case "string":
            return ANY_WORD * max(int(part.minimum or 0), 1)
        case "any":
            return part.items[0]
        case "uuid":
            return "00000000-0000-0000-0000-000000000000"
        case "path":
            return ANY_WORD
        case _:
            return next(iter(number_texts(part, trial_numbers((part,)))), "1")
