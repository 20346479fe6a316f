"""Parses YAML text into a small tree in which every node knows its place in the text.

The tree is built from parser events. This takes a third of the time of PyYAML's `compose`. It never holds the
interpreter's lock for long, so that it can run in a thread beside a busy event loop. Scalars stay text, and
their field decides what they mean. An alias shares the subtree of its anchor without copying it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import yaml

MAX_DEPTH = 16
MAX_UNFOLDED = 1_000_000

Kind = Literal["scalar", "mapping", "list"]


class Node(NamedTuple):
    """A scalar, a mapping (pairs in file order) or a list, and its place.

    `style` is the quote of a scalar ("" for none), or "flow" for `{}` and `[]`. `shared` marks an anchor or
    alias. For an alias, `line` and `column` are the place of the alias, but `start` and `end` are those of its
    anchor's text.
    """

    kind: Kind
    text: str
    children: Sequence[Any]
    style: str
    shared: bool
    place: Any  # marks of the parser, from which line and column are computed when asked for
    begin: Any
    finish: Any

    @property
    def line(self) -> int:
        """The line, from 1."""
        return int(self.place.line) + 1

    @property
    def column(self) -> int:
        """The column, from 1."""
        return int(self.place.column) + 1

    @property
    def start(self) -> int:
        """The position of the text's first character, in the text without byte order mark."""
        return int(self.begin.index)

    @property
    def end(self) -> int:
        """The position after the text's last character. For a flow collection, the position of its closing bracket."""
        return int(self.finish.index)


class YamlSyntaxError(Exception):
    """The text cannot be read as a tree. There is only one problem, because the parser stops at the first error."""

    def __init__(self, code: str, at: tuple[int, int], message: str, fix: str) -> None:
        super().__init__(message)
        self.code, self.at, self.message, self.fix = code, at, message, fix


def decode_text(data: bytes) -> str:
    """Return the text of a file without a byte order mark. If it is not UTF-8, raise YamlSyntaxError."""
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        what = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise YamlSyntaxError(
            "not-utf-8", _position_after(before), what, "Save the file as UTF-8."
        ) from None


def parse_tree(text: str, *, fix_if_empty: str, takes_tags: bool = False) -> Node:
    """Return the document's root. If the text is not one well-formed document, raise YamlSyntaxError.

    With `takes_tags`, tags are ignored; without it, a tag is an error.
    """
    try:
        # Not yaml.parse, which fetches each event with two calls.
        return _TreeBuilder(yaml.CSafeLoader(text).get_event, takes_tags=takes_tags).build_document(
            fix_if_empty
        )
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text) from None
    except yaml.reader.ReaderError as error:
        before = text.encode()[: error.position].decode(errors="replace")
        what = f"character U+{error.character:04X} is not allowed in YAML"
        raise YamlSyntaxError("yaml-syntax", _position_after(before), what, "Remove it.") from None


def free_gradually(items: Sequence[Any]) -> None:
    """Free the items of a long list one by one.

    Freeing ten thousand entries at once would hold the interpreter's lock for tens of milliseconds.
    """
    while items and isinstance(items, list):
        items.pop()


def _position_after(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _syntax_error(error: yaml.MarkedYAMLError, text: str) -> YamlSyntaxError:
    mark = error.problem_mark or error.context_mark
    at = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.splitlines()
    line = lines[at[0] - 1] if at[0] <= len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return YamlSyntaxError("tab", at, "the indentation contains a tab", "Indent with spaces.")
    what = error.problem or "the text cannot be read"
    if error.context and error.context_mark and error.context_mark.line != (mark and mark.line):
        what += f" ({error.context} that begins on line {error.context_mark.line + 1})"
    fix = _SYNTAX_FIX.get(error.problem or "", "Check indentation, quotes and brackets there.")
    return YamlSyntaxError("yaml-syntax", at, what, fix)


_SYNTAX_FIX = {
    "mapping values are not allowed in this context": "Quote text that contains a colon and a space, or fix the indentation.",
    "found character that cannot start any token": "Quote the value.",
}


_new_tuple = tuple.__new__


class _TreeBuilder:
    """Builds the tree in one pass over the events, recursively and with bounded depth."""

    def __init__(self, next_event: Callable[[], Any], *, takes_tags: bool) -> None:
        self.next_event = next_event
        self.takes_tags = takes_tags
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.open: set[str] = set()
        self.built = 0

    def build_document(self, fix_if_empty: str) -> Node:
        self.next_event()  # the stream's start
        if isinstance(self.next_event(), yaml.StreamEndEvent):
            raise YamlSyntaxError("file-empty", (1, 1), "the file is empty", fix_if_empty)
        root = self.build_node(self.next_event(), 0)
        self.next_event()  # the document's end
        after = self.next_event()
        if not isinstance(after, yaml.StreamEndEvent):
            fix = "Keep one document and remove the --- between them."
            raise YamlSyntaxError(
                "multiple-documents", _position_of_event(after), "a second document begins", fix
            )
        return root

    def build_node(self, event: Any, depth: int) -> Node:
        self.built += 1
        kind = type(event)
        if kind is yaml.ScalarEvent and event.anchor is None and event.tag is None:
            # Nearly all nodes of a large table are plain scalars, and Node(...) takes longer.
            begin = event.start_mark
            fields = ("scalar", event.value, (), event.style, False, begin, begin, event.end_mark)
            return _new_tuple(Node, fields)
        if kind is yaml.AliasEvent:
            return self.build_alias(event)
        if event.tag is not None and not self.takes_tags:
            raise YamlSyntaxError(
                "tag",
                _position_of_event(event),
                f"the tag {event.tag} is not supported",
                "Remove it.",
            )
        if depth > MAX_DEPTH:
            raise YamlSyntaxError(
                "too-deep", _position_of_event(event), "values are nested too deep", "Flatten them."
            )
        anchor = event.anchor
        if anchor is None:
            return self.build_value(event, kind, depth)
        self.open.add(anchor)
        before = self.built
        node = self.build_value(event, kind, depth)
        self.open.discard(anchor)
        self.anchors[anchor] = (node, self.built - before + 1)
        return node

    def build_value(self, event: Any, kind: type, depth: int) -> Node:
        shared = event.anchor is not None
        start = event.start_mark
        if kind is yaml.ScalarEvent:
            value, end = event.value, event.end_mark
            return Node("scalar", value, (), event.style, shared, start, start, end)
        children: list[Any]
        if kind is yaml.MappingStartEvent:
            children, end = self.build_pairs(depth + 1)
            name: Kind = "mapping"
        else:
            children, end = self.build_items(depth + 1)
            name = "list"
        style = "flow" if event.flow_style else ""
        return Node(name, "", children, style, shared, start, start, end)

    def build_pairs(self, depth: int) -> tuple[list[Any], Any]:
        found = []
        next_event, node, end = self.next_event, self.build_node, yaml.MappingEndEvent
        while type(event := next_event()) is not end:
            key = node(event, depth)
            found.append((key, node(next_event(), depth)))
        return found, event.start_mark

    def build_items(self, depth: int) -> tuple[list[Any], Any]:
        found = []
        next_event, node, end = self.next_event, self.build_node, yaml.SequenceEndEvent
        while type(event := next_event()) is not end:
            found.append(node(event, depth))
        return found, event.start_mark

    def build_alias(self, event: Any) -> Node:
        name = event.anchor
        if name in self.open:
            what = f"the alias *{name} stands inside the value of &{name}"
            raise YamlSyntaxError(
                "alias-cycle", _position_of_event(event), what, "Write the value out."
            )
        if name not in self.anchors:
            what = f"the alias *{name} has no anchor before it"
            raise YamlSyntaxError(
                "alias-unknown",
                _position_of_event(event),
                what,
                f"Define &{name} above, or quote the text.",
            )
        node, weight = self.anchors[name]
        self.built += weight
        if self.built > MAX_UNFOLDED:
            what = "the aliases unfold into more than a million values"
            raise YamlSyntaxError(
                "alias-bomb", _position_of_event(event), what, "Write the values out."
            )
        return node._replace(place=event.start_mark, shared=True)


def _position_of_event(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1
