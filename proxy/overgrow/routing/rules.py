"""Parses the text of `path` and `prefix` into segments, and tests which texts a segment accepts.

Pure: Werkzeug's rule syntax in code of our own. A rule is a tuple of segments, and a segment is a tuple of
parts; a part is literal text or a Converter. Names of variables are dropped, so that two rules that differ only
in these names are equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from overgrow.routing.converters import DEFAULT, Converter, RuleError, converter_of

Accepts = Callable[[str], object]  # true for a text that fits


Part = str | Converter
Segment = tuple[Part, ...]


class PathRule(NamedTuple):
    """A parsed path. `tail` is the index of the first segment with a path converter; None if there is none.

    A segment before `tail` matches exactly one segment of a request's path. From `tail` on, a segment may match
    several.
    """

    segments: tuple[Segment, ...]
    tail: int | None


def is_literal(segment: Segment) -> bool:
    """Return whether the segment is plain text (the empty one included)."""
    return not segment or (len(segment) == 1 and segment[0].__class__ is str)


def literal_text(segment: Segment) -> str:
    """Return the literal text of a segment."""
    if len(segment) == 1:  # nearly always
        return segment[0] if isinstance(segment[0], str) else ""
    return "".join([part for part in segment if isinstance(part, str)])


@lru_cache(maxsize=4096)  # a pure memo: most templates share a few variables
def acceptor(segments: tuple[Segment, ...]) -> Accepts:
    """Return a function that tests whether a text matches these segments, joined by slashes."""
    if len(segments) == 1 and len(segments[0]) == 1 and isinstance(segments[0][0], Converter):
        simple = _simple_acceptor(segments[0][0])
        if simple is not None:
            return simple
    return _pattern_acceptor(segments)


def _simple_acceptor(converter: Converter) -> Accepts | None:
    """Return a test for one variable that is faster than a regular expression.

    Return None if only a regular expression works.
    """
    if converter.kind == "any":
        return frozenset(converter.items).__contains__
    if converter == DEFAULT:
        return bool
    return None


def _pattern_acceptor(segments: tuple[Segment, ...]) -> Accepts:
    """Return a test by regular expression, then by the values of bounded numbers."""
    bounded: list[tuple[int, Converter]] = []
    texts: list[str] = []
    count = 0
    for segment in segments:
        text = ""
        for part in segment:
            if isinstance(part, str):
                text += re.escape(part)
                continue
            if not part.is_bounded:
                text += part.pattern
                continue
            count += 1
            text += f"({part.pattern})"
            bounded.append((count, part))
        texts.append(text)
    fullmatch = re.compile("/".join(texts)).fullmatch
    if not bounded:
        return fullmatch

    def accepts(text: str) -> bool:
        match = fullmatch(text)
        return match is not None and all(one.is_within(match[group]) for group, one in bounded)

    return accepts


def shape_of(rule: str) -> tuple[Segment, ...]:
    """Return the rule without the names of its variables. Rules with equal results match the same paths."""
    return parse_rule(rule).segments


def is_below_prefix(rule: str, prefix: str) -> bool:
    """Return whether a route with this `prefix` would match all paths of `rule`."""
    literal = tuple((text,) if text else () for text in segments_of_prefix(prefix))
    return parse_rule(rule).segments[: len(literal)] == literal


# --- reading text -------------------------------------------------------------------------------

_DECODE_HINT = re.compile(r"%[0-9A-Fa-f]{2}")
_VARIABLE = re.compile(
    r"<(?:(?P<kind>[A-Za-z_]\w*)(?:\((?P<arguments>(?:[^\"')]|\"[^\"]*\"|'[^']*')*)\))?:)?(?P<name>[A-Za-z_]\w*)>",
    re.ASCII,
)

# It has no refused character and no quotes, and no segment is empty or begins with a dot.
_PLAIN_PATH = re.compile(r"(?:/(?![/.])[^/?#%\\\0\"']*)+")


@lru_cache(maxsize=32_768)  # a pure memo: loading, ordering and matching parse the same text
def parse_rule(text: str) -> PathRule:
    """Return the rule that `path: text` means. If the text is not a rule, raise RuleError."""
    try:
        whole = (
            _parse_plain_segments(text) if _PLAIN_PATH.fullmatch(text) else _parse_segments(text)
        )
    except RuleError:
        whole = _parse_segments(text)  # its message is about the whole path
    if "path" not in text:
        return PathRule(whole, None)
    return PathRule(whole, next((at for at, one in enumerate(whole) if _has_path(one)), None))


def _parse_plain_segments(text: str) -> tuple[Segment, ...]:
    """Return the segments of a path that can be split at every slash."""
    return tuple(
        [
            _parse_segment(one) if "<" in one or ">" in one else (one,) if one else ()
            for one in text.split("/")[1:]
        ]
    )


@lru_cache(maxsize=4096)  # a pure memo: most templates share a few variables
def _parse_segment(text: str) -> Segment:
    """Return one segment with variables."""
    return tuple(_parse_pieces(text))


def _parse_segments(text: str) -> tuple[Segment, ...]:
    """Return the segments of any path; a slash inside a variable does not separate segments."""
    pieces = _parse_pieces(text)
    _refuse_unreachable(
        "path", text, "".join(part if isinstance(part, str) else "x" for part in pieces)
    )
    segments: list[list[Part]] = [[]]
    for piece in pieces:
        if not isinstance(piece, str):
            segments[-1].append(piece)
            continue
        first, *more = piece.split("/")
        _append_text(segments[-1], first)
        segments += [[segment] if segment else [] for segment in more]
    return tuple(tuple(segment) for segment in segments[1:])


def _append_text(segment: list[Part], text: str) -> None:
    """Add literal text to a segment."""
    if text:
        segment.append(text)


def _has_path(segment: Segment) -> bool:
    """Return whether a variable of the segment also accepts slashes."""
    return any(isinstance(part, Converter) and part.kind == "path" for part in segment)


def _parse_pieces(text: str) -> list[Part]:
    """Return literal texts and converters, in order."""
    pieces: list[Part] = []
    position = 0
    while position < len(text):
        start = text.find("<", position)
        literal = text[position:] if start < 0 else text[position:start]
        if ">" in literal:
            raise RuleError(f'path "{text}" has a ">" without "<"', "Write variables as <int:id>.")
        if literal:
            pieces.append(literal)
        if start < 0:
            break
        variable = _VARIABLE.match(text, start)
        if variable is None:
            raise RuleError(
                f'path "{text}" has a variable that cannot be read at "{text[start:]}"',
                "Write variables as <id>, <int:id> or <string(length=2):lang>.",
            )
        pieces.append(converter_of(variable["kind"] or "string", variable["arguments"] or ""))
        position = variable.end()
    return pieces


@lru_cache(maxsize=32_768)  # a pure memo, as above
def segments_of_prefix(prefix: str) -> tuple[str, ...]:
    """Return the literal segments of `prefix: text`; an empty list for `/`.

    If the prefix is invalid, raise RuleError.
    """
    _refuse_unreachable("prefix", prefix, prefix)
    if "<" in prefix or ">" in prefix:
        raise RuleError(
            f'prefix "{prefix}" has a variable; a prefix is plain text',
            f'Write "path: {prefix}/<path:rest>" or shorten the prefix.',
        )
    if prefix == "/":
        return ()
    if prefix.endswith("/"):
        raise RuleError(
            f'prefix "{prefix}" ends in a slash; a prefix takes whole segments anyway',
            f"Write {prefix.rstrip('/') or '/'}.",
        )
    return tuple(prefix.split("/")[1:])


def _refuse_unreachable(field: str, text: str, literal: str) -> None:
    """If every path that equals this text is ambiguous, raise RuleError."""
    if not literal.startswith("/"):
        raise RuleError(f'{field} "{text}" does not begin with a slash', f"Write /{text}.")
    for character, fix in (
        ("?", "Match the query with `query:`."),
        ("#", "Remove it."),
        ("\\", "Write /."),
    ):
        if character in literal:
            raise RuleError(f'{field} "{text}" contains "{character}"', fix)
    if _DECODE_HINT.search(literal):
        raise RuleError(
            f'{field} "{text}" is percent-encoded; matching is on the decoded path',
            "Write the character itself.",
        )
    segments = literal.split("/")[1:]
    if "" in segments[:-1] or "\0" in literal or not {".", ".."}.isdisjoint(segments):
        raise RuleError(
            f'{field} "{text}" has an empty segment or a dot segment; such requests go to legacy',
            "Write the path without it.",
        )


# --- names --------------------------------------------------------------------------------------

_NOT_IN_NAMES = re.compile(r"[^a-z0-9._]+")
_ANY_VARIABLE = re.compile(r"<(?:[^<>]*:)?(\w+)>")


def derived_name(
    methods: Iterable[str] | None, path: str | None = None, prefix: str | None = None
) -> str:
    """Return the name that a route gets if it has no `name:`, such as `get-orders-id`, `admin-all` or `root`."""
    plain = _ANY_VARIABLE.sub(r"\1", path or prefix or "/")
    body = _NOT_IN_NAMES.sub("-", plain.lower()).strip("-._") or "root"
    words = [_NOT_IN_NAMES.sub("-", method.lower()).strip("-._") for method in methods or ()]
    return "-".join(filter(None, [*words, body])) + ("-all" if prefix is not None else "")


@lru_cache(maxsize=1024)  # a pure memo: most routes share a few lists
def effective_methods(methods: tuple[str, ...] | None) -> frozenset[str] | None:
    """Return the methods that a route takes, with HEAD added to GET; None stands for all methods."""
    if methods is None:
        return None
    named = frozenset(methods)
    return named | {"HEAD"} if "GET" in named else named
