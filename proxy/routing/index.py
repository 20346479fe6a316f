"""Which paths and prefixes a request's path fits, at a cost of segments, not of routes.

Pure. Theory of operation: literal paths sit in one dict; templates and prefixes sit in a tree by
segment, whose edges are literals (a dict), converters (few per node) and mixed text (found by the
literals it begins and ends with). Only building changes an index.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from proxy.routing.model import Route
from proxy.routing.rules import (
    Accepts,
    Rule,
    Segment,
    acceptor,
    is_literal,
    parse_rule,
    segments_of_prefix,
    text_of,
)

Payload = TypeVar("Payload")


class _Patterns(Generic[Payload]):
    """Patterns with something of type Payload each, found by the text they begin and end with.

    Only what stands between these ends is tested, so that patterns with equal variables share a test.
    """

    __slots__ = ("_by_ends", "_lengths")

    def __init__(self) -> None:
        self._by_ends: dict[
            tuple[str, str], dict[tuple[Segment, ...], tuple[Accepts, Payload]]
        ] = {}
        self._lengths: dict[tuple[int, int], None] = {}

    def place(self, segments: tuple[Segment, ...], payload: Payload) -> Payload:
        """Return what stands at this pattern, after putting `payload` there if nothing did."""
        begin, inner, end = _parted(segments)
        self._lengths[len(begin), len(end)] = None
        entries = self._by_ends.setdefault((begin, end), {})
        if inner not in entries:
            entries[inner] = (acceptor(inner), payload)
        return entries[inner][1]

    def found(self, text: str) -> Iterator[Payload]:
        """Yield what stands at the patterns that `text` fits."""
        for begin, end in self._lengths:
            stop = len(text) - end
            entries = self._by_ends.get((text[:begin], text[stop:])) if begin <= stop else None
            for accepts, payload in entries.values() if entries else ():
                if accepts(text[begin:stop]):
                    yield payload


def _parted(segments: tuple[Segment, ...]) -> tuple[str, tuple[Segment, ...], str]:
    """Return the literal text a pattern begins with, what lies between, and how it ends."""
    begin = end = ""
    inner = list(segments)
    if isinstance(inner[0][0], str):
        begin, inner[0] = inner[0][0], inner[0][1:]
    if inner[-1] and isinstance(inner[-1][-1], str):
        end, inner[-1] = inner[-1][-1], inner[-1][:-1]
    return begin, tuple(inner), end


class _Node(Generic[Payload]):
    """A place in the tree: everything whose segments so far are these."""

    __slots__ = ("below", "converters", "ends", "literals", "mixed", "tails")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[Payload]] = {}
        self.converters: dict[Segment, tuple[Accepts, _Node[Payload]]] = {}
        self.mixed: _Patterns[_Node[Payload]] | None = None
        self.tails: _Patterns[list[Payload]] | None = None
        self.ends: list[Payload] = []  # paths that end here
        self.below: list[Payload] = []  # prefixes: they take this path and all below it

    def child(self, segment: Segment) -> _Node[Payload]:
        """Return the node one segment further, made if it is not there."""
        if is_literal(segment):
            return self.literal(text_of(segment))
        if len(segment) == 1:
            if segment not in self.converters:
                self.converters[segment] = (acceptor((segment,)), _Node())
            return self.converters[segment][1]
        if self.mixed is None:
            self.mixed = _Patterns()
        return self.mixed.place((segment,), _Node())

    def literal(self, text: str) -> _Node[Payload]:
        """Return the node one literal segment further, made if it is not there."""
        node = self.literals.get(text)
        if node is None:
            node = self.literals[text] = _Node()
        return node

    def tail(self, segments: tuple[Segment, ...]) -> list[Payload]:
        """Return the list at this rest of a path, made if it is not there."""
        if self.tails is None:
            self.tails = _Patterns()
        return self.tails.place(segments, [])


class PathIndex(Generic[Payload]):
    """Paths and prefixes with a payload each, and all payloads that a request's path fits."""

    __slots__ = ("_exact", "_root")

    def __init__(self) -> None:
        self._exact: dict[str, list[Payload]] = {}
        self._root: _Node[Payload] = _Node()

    def add(self, route: Route, payload: Payload) -> None:
        """Put a payload at the path or prefix of `route`."""
        if route.path is None:
            self._at_prefix(route.prefix or "/").below.append(payload)
        elif "<" not in route.path:
            self._exact.setdefault(route.path, []).append(payload)
        else:
            self._at_rule(parse_rule(route.path)).append(payload)

    def _at_prefix(self, prefix: str) -> _Node[Payload]:
        """Return the node of a prefix."""
        node = self._root
        for text in segments_of_prefix(prefix):
            node = node.literal(text)
        return node

    def _at_rule(self, rule: Rule) -> list[Payload]:
        """Return the list where a template's payloads stand."""
        node = self._root
        for segment in rule.segments[: rule.tail]:
            node = node.child(segment)
        return node.ends if rule.tail is None else node.tail(rule.segments[rule.tail :])

    def found(self, path: str) -> list[Payload]:
        """Return the payloads of everything this path fits, in no order."""
        exact = self._exact.get(path)
        found = list(exact) if exact else []
        segments = path.split("/")
        if segments[0]:  # `*`
            return found
        nodes = [self._root]
        for at in range(1, len(segments)):
            nodes = self._onward(nodes, segments, at, found)
            if not nodes:
                return found
        for node in nodes:
            found += node.ends
            found += node.below
        return found

    def _onward(
        self, nodes: list[_Node[Payload]], segments: list[str], at: int, found: list[Payload]
    ) -> list[_Node[Payload]]:
        """Return where the segment leads from these nodes; add to `found` what ends before it.

        Every request runs through here: what most nodes do not have is asked for first.
        """
        segment = segments[at]
        onward: list[_Node[Payload]] = []
        for node in nodes:
            literal = node.literals.get(segment)
            if literal is not None:
                onward.append(literal)
            if node.below:
                found += node.below
            if node.converters:
                onward += [after for accepts, after in node.converters.values() if accepts(segment)]
            if node.mixed is not None:
                onward += node.mixed.found(segment)
            if node.tails is not None:
                for payloads in node.tails.found("/".join(segments[at:])):
                    found += payloads
        return onward
