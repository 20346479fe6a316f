"""Finds the routes that may share a path with a given route. The time grows with the segments, not with the routes.

Pure. Like the index of a table, this is a tree by segment, but it is searched with a route instead of a path.
The result contains every route that shares a path with the given one, and perhaps more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from overgrow.routing.model import Route
from overgrow.routing.rules import (
    Accepts,
    Segment,
    acceptor,
    is_literal,
    literal_text,
    parse_rule,
    segments_of_prefix,
)

Payload = TypeVar("Payload")


class TooManySteps(Exception):
    """The search would take too long."""


class PathSteps(NamedTuple):
    """A route's path by segments.

    `is_open` says that more segments may follow, as after a prefix or a path converter.
    """

    segments: tuple[Segment, ...]
    is_open: bool


def steps_of(route: Route) -> PathSteps:
    """Return the segments of a route up to its first path converter."""
    if route.path is None:
        return PathSteps(
            tuple((text,) for text in segments_of_prefix(route.prefix or "/")), is_open=True
        )
    rule = parse_rule(route.path)
    return PathSteps(rule.segments[: rule.tail], is_open=rule.tail is not None)


class _TreeNode(Generic[Payload]):
    """Routes that begin with the same segments. The first search sorts them into child nodes."""

    __slots__ = ("_waiting", "ends", "literals", "open", "variables")

    def __init__(self) -> None:
        # Most nodes of a large tree hold one route, so containers are made when needed: freeing five of
        # them for each node at once would stop an event loop in another thread.
        self._waiting: tuple[tuple[PathSteps, Payload], ...] | list[tuple[PathSteps, Payload]] = ()
        self.literals: dict[str, _TreeNode[Payload]] | None = None
        self.variables: dict[Segment, tuple[Accepts, _TreeNode[Payload]]] | None = None
        self.ends: tuple[Payload, ...] = ()
        self.open: tuple[Payload, ...] = ()  # prefixes and paths that go on from here in any way

    def add(self, steps: PathSteps, payload: Payload) -> None:
        """Add a route."""
        if isinstance(self._waiting, tuple):
            self._waiting = []
        self._waiting.append((steps, payload))

    def push_down(self, depth: int) -> None:
        """Sort the routes of this node into child nodes. Routes without a further segment go to `ends` or `open`."""
        if not self._waiting:
            return
        ends, beyond = list(self.ends), list(self.open)
        for steps, payload in self._waiting:
            if depth < len(steps.segments):
                self._get_child(steps.segments[depth]).add(steps, payload)
            else:
                (beyond if steps.is_open else ends).append(payload)
        self._waiting, self.ends, self.open = (), tuple(ends), tuple(beyond)

    def _get_child(self, segment: Segment) -> _TreeNode[Payload]:
        """Return the child node for a segment. If there is none, create it."""
        if is_literal(segment):
            text = literal_text(segment)
            if self.literals is None:
                self.literals = {}
            if text not in self.literals:
                self.literals[text] = _TreeNode()
            return self.literals[text]
        if self.variables is None:
            self.variables = {}
        if segment not in self.variables:
            self.variables[segment] = (acceptor((segment,)), _TreeNode())
        return self.variables[segment][1]

    def nodes_sharing(self, segment: Segment) -> Iterator[_TreeNode[Payload]]:
        """Yield each child node whose segment may match a text that the given segment matches, too."""
        literals, variables = self.literals or {}, self.variables or {}
        if is_literal(segment):
            text = literal_text(segment)
            if text in literals:
                yield literals[text]
            yield from (node for accepts, node in variables.values() if accepts(text))
            return
        if literals:
            accepts = acceptor((segment,))
            yield from (node for text, node in literals.items() if accepts(text))
        yield from (node for _, node in variables.values())

    def children(self) -> Iterator[_TreeNode[Payload]]:
        """Yield all child nodes."""
        yield from (self.literals or {}).values()
        yield from (node for _, node in (self.variables or {}).values())


class OverlapTree(Generic[Payload]):
    """Routes with payloads; it finds those that may share a path with a given route."""

    def __init__(self, routes: Iterable[tuple[Route, Payload]], budget: int) -> None:
        self._root: _TreeNode[Payload] = _TreeNode()
        self._budget = budget  # of nodes to look at, over the life of this tree
        for route, payload in routes:
            self._root.add(steps_of(route), payload)

    def find_overlapping(self, route: Route) -> list[Payload]:
        """Return the payloads of the routes that may share a path with this one.

        Raises:
            TooManySteps: all searches together took more steps than the budget.

        """
        steps = steps_of(route)
        found: list[Payload] = []
        waiting = [(self._root, 0, 0)]
        while waiting:
            node, at, depth = waiting.pop()
            self._budget -= 1
            if self._budget < 0:
                raise TooManySteps
            node.push_down(depth)
            found += node.open
            if at < len(steps.segments):
                onward = node.nodes_sharing(steps.segments[at])
                waiting += [(child, at + 1, depth + 1) for child in onward]
                continue
            found += node.ends
            if steps.is_open:
                waiting += [(child, at, depth + 1) for child in node.children()]
        return found
