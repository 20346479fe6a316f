"""The order in which routes are tried: if two routes match the same request, the more specific route comes first.

Pure. Rule: one sort key defines the order, so that printing, matching and checking of a table agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from overgrow.routing.converters import Converter
from overgrow.routing.model import Route
from overgrow.routing.rules import Segment, is_literal, literal_text, parse_rule

_KIND_RANKS = {"int": 2, "float": 2, "string": 3, "any": 3, "uuid": 3, "path": 4}
_LITERAL = (0, 0)
_END = (5, 0)  # a longer rule comes before one that ends with a path converter here

Key = tuple[object, ...]


def sort_routes(routes: Iterable[Route]) -> tuple[Route, ...]:
    """Return the routes in matching order. Routes with equal keys stay in the given order."""
    return tuple(sorted(routes, key=order_key))


def order_key(route: Route) -> Key:
    """Return the sort key of a route; the smallest key is tried first."""
    return (
        -route.priority,
        _path_key(route),
        _host_key(route.host),
        route.methods is None,
        -len(route.predicates),
    )


def _path_key(route: Route) -> Key:
    """Return the rank of a path: exact paths first, then templates, then prefixes. Longer prefixes come first."""
    if route.path is None:
        return (2, -len(route.prefix or ""))
    if "<" not in route.path:
        return (0,)
    return _template_key(route.path)


@lru_cache(maxsize=32_768)  # a pure memo: sorting, ties and unreachable ask for the same key
def _template_key(path: str) -> Key:
    """Return the rank of a template, segment by segment from the left."""
    segments = parse_rule(path).segments
    return (1, (*[_LITERAL if is_literal(one) else _segment_key(one) for one in segments], _END))


@lru_cache(maxsize=4096)  # a pure memo: most templates share a few variables
def _segment_key(segment: Segment) -> tuple[int, int]:
    """Return the rank of a segment with variables: mixed text comes first, then numbers, then words, then `path`."""
    kinds = [part.kind for part in segment if isinstance(part, Converter)]
    if "path" in kinds:
        return (4, -len(literal_text(segment)))
    if len(segment) > 1:
        return (1, -len(literal_text(segment)))
    return (_KIND_RANKS[kinds[0]], 0)


def _host_key(host: str | None) -> tuple[int, int]:
    """Return the rank of a host: exact hosts first, then wildcards, then routes without a host.

    Longer wildcards come first.
    """
    if host is None:
        return (2, 0)
    return (1, -len(host)) if host.startswith("*.") else (0, 0)
