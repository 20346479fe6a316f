"""The syntax of `path` and `prefix`: text becomes segments, segments say what they accept.

Pure. Werkzeug's rule syntax in code of our own: string, int, float, path, uuid, any and their
arguments. A rule is a tuple of segments, a segment a tuple of parts, a part either literal text or
a Converter. Names of variables are forgotten: two rules of one shape are equal here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

Kind = Literal["string", "int", "float", "path", "uuid", "any"]
Accepts = Callable[[str], bool]


class RuleError(ValueError):
    """A path or prefix that cannot be a rule: `message` says what is wrong, `fix` what to write."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(f"{message}. {fix}")
        self.message = message
        self.fix = fix


class Converter(NamedTuple):
    """What one variable accepts.

    `least` and `most` bound the length of a string and the value of a number, both inclusive.
    """

    kind: Kind
    least: float | None = None
    most: float | None = None
    digits: int = 0  # the exact length of an int's text; 0 for any
    signed: bool = False
    items: tuple[str, ...] = ()  # of any, sorted

    @property
    def pattern(self) -> str:
        """The regular expression of the text; numbers are bounded by `is_within` besides."""
        match self.kind:
            case "string":
                return f"[^/]{{{self.least},{'' if self.most is None else self.most}}}"
            case "path":
                return "[^/].*?"
            case "any":
                return f"(?:{'|'.join(re.escape(item) for item in self.items)})"
            case "uuid":
                return "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
            case "int":
                return ("-?" if self.signed else "") + "[0-9]+"
            case _:
                return ("-?" if self.signed else "") + r"[0-9]+\.[0-9]+"

    @property
    def is_bounded(self) -> bool:
        """Whether a number's value counts besides its form."""
        number = self.kind in ("int", "float")
        return number and (self.digits > 0 or self.least is not None or self.most is not None)

    def is_within(self, text: str) -> bool:
        """Return whether a number written as `text` has the digits and the value asked for."""
        if self.digits and len(text) != self.digits:
            return False
        try:
            number = int(text) if self.kind == "int" else float(text)
        except ValueError:  # int() refuses thousands of digits
            return False
        low_enough = self.most is None or number <= self.most
        return low_enough and (self.least is None or number >= self.least)


Part = str | Converter
Segment = tuple[Part, ...]


class Rule(NamedTuple):
    """A parsed path: its segments; `tail` is the first one with a path converter, if any.

    From `tail` on, segments no longer stand for single segments of a request's path.
    """

    segments: tuple[Segment, ...]
    tail: int | None


def is_literal(segment: Segment) -> bool:
    """Return whether the segment is plain text (the empty one included)."""
    return not segment or (len(segment) == 1 and segment[0].__class__ is str)


def text_of(segment: Segment) -> str:
    """Return the literal text of a segment."""
    return "".join([part for part in segment if isinstance(part, str)])


@lru_cache(maxsize=4096)  # a pure memo: most templates share a few variables
def acceptor(segments: tuple[Segment, ...]) -> Accepts:
    """Return the test whether a piece of a path fits these segments joined by slashes."""
    if len(segments) == 1 and len(segments[0]) == 1 and isinstance(segments[0][0], Converter):
        simple = _simple_acceptor(segments[0][0])
        if simple is not None:
            return simple
    return _pattern_acceptor(segments)


def _simple_acceptor(converter: Converter) -> Accepts | None:
    """Return a test quicker than a regular expression, where there is one."""
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
            count += 1
            text += f"({part.pattern})"
            if part.is_bounded:
                bounded.append((count, part))
        texts.append(text)
    fullmatch = re.compile("/".join(texts)).fullmatch
    if not bounded:
        return lambda text: fullmatch(text) is not None

    def accepts(text: str) -> bool:
        match = fullmatch(text)
        return match is not None and all(one.is_within(match[group]) for group, one in bounded)

    return accepts


def shape_of(rule: str) -> tuple[Segment, ...]:
    """Return the rule without its variables' names: equal shapes take the same paths."""
    return parse_rule(rule).segments


def stands_below(rule: str, prefix: str) -> bool:
    """Return whether a prefix route would take the paths of `rule`."""
    literal = tuple((text,) if text else () for text in segments_of_prefix(prefix))
    return parse_rule(rule).segments[: len(literal)] == literal


# --- reading text -------------------------------------------------------------------------------

_DECODE_HINT = re.compile(r"%[0-9A-Fa-f]{2}")
_VARIABLE = re.compile(
    r"<(?:(?P<kind>[A-Za-z_]\w*)(?:\((?P<arguments>(?:[^\"')]|\"[^\"]*\"|'[^']*')*)\))?:)?(?P<name>[A-Za-z_]\w*)>",
    re.ASCII,
)
_ARGUMENT = re.compile(
    r"\s*(?:(?P<name>\w+)\s*=\s*)?(?P<value>\"[^\"]*\"|'[^']*'|[\w.]+)\s*(?:,|\Z)", re.ASCII
)


@lru_cache(maxsize=32_768)  # a pure memo: loading, ordering and matching parse the same text
def parse_rule(text: str) -> Rule:
    """Return the rule that `path: text` means; RuleError says why it can be none."""
    pieces = _pieces(text)
    _refuse_unreachable(
        "path", text, "".join(part if isinstance(part, str) else "x" for part in pieces)
    )
    segments: list[list[Part]] = [[]]
    for piece in pieces:
        if not isinstance(piece, str):
            segments[-1].append(piece)
            continue
        first, *more = piece.split("/")
        _extend(segments[-1], first)
        segments += [[segment] if segment else [] for segment in more]
    whole = tuple(tuple(segment) for segment in segments[1:])
    return Rule(whole, next((at for at, one in enumerate(whole) if _has_path(one)), None))


def _extend(segment: list[Part], text: str) -> None:
    """Add literal text to a segment."""
    if text:
        segment.append(text)


def _has_path(segment: Segment) -> bool:
    """Return whether a variable of the segment takes slashes too."""
    return any(isinstance(part, Converter) and part.kind == "path" for part in segment)


def _pieces(text: str) -> list[Part]:
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
        pieces.append(_converter(variable["kind"] or "string", variable["arguments"] or ""))
        position = variable.end()
    return pieces


def segments_of_prefix(prefix: str) -> tuple[str, ...]:
    """Return the literal segments of `prefix: text`; none for `/`. RuleError says why it is none."""
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
    """Raise RuleError for text that no unambiguous path can ever be."""
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


# --- converters ---------------------------------------------------------------------------------

_PARAMETERS: dict[str, tuple[str, ...]] = {
    "string": ("minlength", "maxlength", "length"),
    "int": ("fixed_digits", "min", "max", "signed"),
    "float": ("min", "max", "signed"),
    "path": (),
    "uuid": (),
}
_CONSTANTS: dict[str, bool | None] = {"True": True, "False": False, "None": None}
_DEFAULTS = {"minlength": 1, "fixed_digits": 0, "signed": False}

Value = str | int | float | bool | None


def _converter(kind: str, arguments: str) -> Converter:
    """Return the converter named `kind` ("default" is string), with its arguments as written."""
    kind = "string" if kind == "default" else kind
    if kind == "any":
        return _any(arguments)
    if kind not in _PARAMETERS:
        raise RuleError(
            f'converter "{kind}" is not known',
            f"Use one of any, {', '.join(sorted(_PARAMETERS))}; for one of your own, string.",
        )
    values = _named(kind, arguments)
    match kind:
        case "string":
            length = values.get("length")
            least, most = (
                (length, length)
                if length is not None
                else (values["minlength"], values.get("maxlength"))
            )
            return Converter("string", least, most)
        case "int" | "float":
            return Converter(
                "int" if kind == "int" else "float",
                values.get("min"),
                values.get("max"),
                int(values.get("fixed_digits") or 0),
                bool(values.get("signed")),
            )
        case _:
            return Converter("path" if kind == "path" else "uuid")


def _any(arguments: str) -> Converter:
    """Return the converter that takes one of the items listed."""
    items = [value for _, value in _arguments("any", arguments)]
    texts = sorted({str(item) for item in items if "/" not in str(item)})
    if not texts:
        raise RuleError("converter any names nothing to accept", "Write <any(one, two):name>.")
    return Converter("any", items=tuple(texts))


def _named(kind: str, arguments: str) -> dict[str, float | None]:
    """Return the numbers a converter was given, by name, defaults filled in."""
    names = _PARAMETERS[kind]
    values: dict[str, float | None] = {name: _DEFAULTS.get(name) for name in names}
    for position, (name, value) in enumerate(_arguments(kind, arguments)):
        key = name or (names[position] if position < len(names) else None)
        if key not in values or isinstance(value, str):
            raise RuleError(
                f'converter {kind} does not take "{arguments}"',
                f"It takes {', '.join(names) or 'no arguments'}, as numbers or True and False.",
            )
        values[key] = value
    return values


def _arguments(kind: str, text: str) -> Iterable[tuple[str | None, Value]]:
    """Yield each argument's name, if it has one, and its value."""
    position = 0
    while position < len(text.rstrip()):
        argument = _ARGUMENT.match(text, position)
        if argument is None:
            raise RuleError(
                f'the arguments of converter {kind} cannot be read at "{text[position:]}"',
                'Separate words and numbers by commas; put other text into "quotes".',
            )
        yield argument["name"], _value(argument["value"])
        position = argument.end()


def _value(text: str) -> Value:
    """Return what an argument's text means, read as Werkzeug reads it."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text[1:-1] if text[0] in "\"'" else text


DEFAULT = Converter("string", 1)


# --- names --------------------------------------------------------------------------------------

_NOT_IN_NAMES = re.compile(r"[^a-z0-9._]+")
_ANY_VARIABLE = re.compile(r"<(?:[^<>]*:)?(\w+)>")


def derived_name(
    methods: Iterable[str] | None, path: str | None = None, prefix: str | None = None
) -> str:
    """Return the name of a route that was given none: `get-orders-id`, `admin-all`, `root`."""
    plain = _ANY_VARIABLE.sub(r"\1", path or prefix or "/")
    body = _NOT_IN_NAMES.sub("-", plain.lower()).strip("-._") or "root"
    words = [*(method.lower() for method in methods or ()), body]
    return "-".join(words) + ("-all" if prefix is not None else "")


def effective_methods(methods: Iterable[str] | None) -> frozenset[str] | None:
    """Return the methods a route takes, HEAD beside GET; None for all."""
    if methods is None:
        return None
    named = frozenset(methods)
    return named | {"HEAD"} if "GET" in named else named
