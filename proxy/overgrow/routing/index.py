"""Finds the paths and prefixes that fit a request's path. The time grows with the segments, not with the routes.

Pure. Theory of operation: literal paths are in one dict. Templates and prefixes are in a tree by segment. An
edge of the tree is a literal (in a dict), a converter (a node has few of them) or mixed text (found by the
literal text at its beginning and end). A place is the list of payloads at one path, in the order in which they
were added. After it is built, an index does not change.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from overgrow.routing.model import Route
from overgrow.routing.rules import (
    Accepts,
    PathRule,
    Segment,
    acceptor,
    is_literal,
    literal_text,
    parse_rule,
    segments_of_prefix,
)

Payload = TypeVar("Payload")
_Tests = dict[tuple[Segment, ...], tuple[Accepts, Payload]]
_ByEnd = dict[int, dict[str, _Tests[Payload]]]  # by the length of the text, then by the text


class _Patterns(Generic[Payload]):
    """Patterns, each with a payload. They are found by the literal text at their beginning and end.

    Only the text between beginning and end is tested, so that patterns with equal variables share one test.
    """

    __slots__ = ("_by_begin",)

    def __init__(self) -> None:
        self._by_begin: dict[int, dict[str, _ByEnd[Payload]]] = {}

    def place_at(self, segments: tuple[Segment, ...], payload: Payload) -> Payload:
        """Return the payload at this pattern. If there is none, put `payload` there and return it."""
        begin, inner, end = _split_ends(segments)
        by_end = self._by_begin.setdefault(len(begin), {}).setdefault(begin, {})
        tests = by_end.setdefault(len(end), {}).setdefault(end, {})
        if inner not in tests:
            tests[inner] = (acceptor(inner), payload)
        return tests[inner][1]

    def find(self, text: str) -> list[Payload]:
        """Return the payloads of the patterns that `text` matches."""
        found: list[Payload] = []
        size = len(text)
        for begin, by_begin in self._by_begin.items():
            by_end = by_begin.get(text[:begin])
            if by_end is None:
                continue
            for end, by_text in by_end.items():
                stop = size - end
                if begin <= stop and (tests := by_text.get(text[stop:])) is not None:
                    middle = text[begin:stop]
                    for accepts, payload in tests.values():
                        if accepts(middle):
                            found.append(payload)
        return found


def _split_ends(segments: tuple[Segment, ...]) -> tuple[str, tuple[Segment, ...], str]:
    """Return the literal text at the beginning of a pattern, the segments between, and the text at its end."""
    begin = end = ""
    inner = list(segments)
    if isinstance(inner[0][0], str):
        begin, inner[0] = inner[0][0], inner[0][1:]
    if inner[-1] and isinstance(inner[-1][-1], str):
        end, inner[-1] = inner[-1][-1], inner[-1][:-1]
    return begin, tuple(inner), end


class _IndexNode(Generic[Payload]):
    """A node of the tree. It stands for all paths and prefixes that begin with the same segments."""

    __slots__ = ("below", "ends", "literals", "variables")

    def __init__(self) -> None:
        self.literals: dict[str, _IndexNode[Payload]] = {}
        self.variables: _VariableEdges[Payload] | None = None
        self.ends: list[Payload] | None = None  # paths that end here
        self.below: list[Payload] | None = None  # prefixes: they take this path and all below it

    def child(self, segment: Segment) -> _IndexNode[Payload]:
        """Return the child node for a segment. If there is none, create it."""
        if is_literal(segment):
            return self.literal_child(literal_text(segment))
        return self.get_variables().child(segment)

    def literal_child(self, text: str) -> _IndexNode[Payload]:
        """Return the child node for a literal segment. If there is none, create it."""
        node = self.literals.get(text)
        if node is None:
            node = self.literals[text] = _IndexNode()
        return node

    def get_variables(self) -> _VariableEdges[Payload]:
        """Return the edges with variables. If there are none, create them."""
        if self.variables is None:
            self.variables = _VariableEdges()
        return self.variables


class _VariableEdges(Generic[Payload]):
    """The edges of a node that contain variables."""

    __slots__ = ("_converters", "_mixed", "_tails")

    def __init__(self) -> None:
        self._converters: dict[Segment, tuple[Accepts, _IndexNode[Payload]]] = {}
        self._mixed: _Patterns[_IndexNode[Payload]] | None = None
        self._tails: _Patterns[list[Payload]] | None = None

    def child(self, segment: Segment) -> _IndexNode[Payload]:
        """Return the child node for a segment with variables. If there is none, create it."""
        if len(segment) == 1:
            if segment not in self._converters:
                self._converters[segment] = (acceptor((segment,)), _IndexNode())
            return self._converters[segment][1]
        if self._mixed is None:
            self._mixed = _Patterns()
        return self._mixed.place_at((segment,), _IndexNode())

    def tail_place(self, segments: tuple[Segment, ...]) -> list[Payload]:
        """Return the place of the template that ends in `segments`; create a missing place.

        `segments` begin with a path converter.
        """
        if self._tails is None:
            self._tails = _Patterns()
        return self._tails.place_at(segments, [])

    def add_matches(
        self,
        segments: list[str],
        at: int,
        waiting: list[tuple[_IndexNode[Payload], int]],
        found: list[list[Payload]],
    ) -> None:
        """Follow the edges from the segment at index `at` of the path.

        Append to `waiting` the nodes that this segment leads to. Append to `found` the places with a path
        converter that matches all segments from `at` on.
        """
        segment = segments[at]
        for accepts, node in self._converters.values():
            if accepts(segment):
                waiting.append((node, at + 1))
        if self._mixed is not None and (onward := self._mixed.find(segment)):
            waiting.extend([(node, at + 1) for node in onward])
        if self._tails is not None:
            found += self._tails.find("/".join(segments[at:]))


class PathIndex(Generic[Payload]):
    """Paths and prefixes with payloads; finds all places that match a request's path."""

    __slots__ = ("_root", "exact")

    def __init__(self) -> None:
        self.exact: dict[str, list[Payload]] = {}  # the places of paths without variables
        self._root: _IndexNode[Payload] = _IndexNode()

    def add(self, route: Route, payload: Payload) -> None:
        """Put a payload at the path or prefix of `route`."""
        if route.path is None:
            self._prefix_place(route.prefix or "/").append(payload)
        elif "<" not in route.path:
            self.exact.setdefault(route.path, []).append(payload)
        else:
            self._rule_place(parse_rule(route.path)).append(payload)

    def _prefix_place(self, prefix: str) -> list[Payload]:
        """Return the place of a prefix."""
        node = self._root
        for text in segments_of_prefix(prefix):
            node = node.literal_child(text)
        if node.below is None:
            node.below = []
        return node.below

    def _rule_place(self, rule: PathRule) -> list[Payload]:
        """Return the place of a template."""
        node = self._root
        for segment in rule.segments[: rule.tail]:
            node = node.child(segment)
        if rule.tail is not None:
            return node.get_variables().tail_place(rule.segments[rule.tail :])
        if node.ends is None:
            node.ends = []
        return node.ends

    def find_places(self, path: str) -> list[list[Payload]]:
        """Return all places that match this path. Their order has no meaning."""
        exact = self.exact.get(path)
        found = [] if exact is None else [exact]
        segments = path.split("/")
        if not segments[0]:  # not so in `*`
            self._find_in_tree(segments, found)
        return found

    def _find_in_tree(self, segments: list[str], found: list[list[Payload]]) -> None:
        """Add to `found` the places in the tree that these segments lead to.

        Every request calls this. For speed, literal edges are followed at once, and nodes behind variables wait
        in a list.
        """
        node: _IndexNode[Payload] | None = self._root
        at, count = 1, len(segments)
        waiting: list[tuple[_IndexNode[Payload], int]] = []
        while node is not None:
            if node.below is not None:
                found.append(node.below)
            if at < count:
                if node.variables is not None:
                    node.variables.add_matches(segments, at, waiting, found)
                node = node.literals.get(segments[at])
                at += 1
            else:
                if node.ends is not None:
                    found.append(node.ends)
                node = None
            if node is None and waiting:
                node, at = waiting.pop()
