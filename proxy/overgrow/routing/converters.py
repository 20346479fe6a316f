"""Defines which texts a variable of a path accepts: Werkzeug's converters.

Pure. It covers string, int, float, path, uuid, any and their arguments, in our own code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

MAX_DIGITS = 4_000  # of a number whose value is compared

Kind = Literal["string", "int", "float", "path", "uuid", "any"]


class RuleError(ValueError):
    """A path or prefix is not a valid rule: `message` says what is wrong, and `fix` what to write."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(f"{message}. {fix}")
        self.message = message
        self.fix = fix


class Converter(NamedTuple):
    """The texts that one variable accepts.

    `minimum` and `maximum` are inclusive bounds: of the length of a string, or of the value of a number.
    """

    kind: Kind
    minimum: float | None = None
    maximum: float | None = None
    digits: int = 0  # the exact length of an int's text; 0 for any
    signed: bool = False
    items: tuple[str, ...] = ()  # of any, sorted

    @property
    def pattern(self) -> str:
        """The regular expression of the text. It does not check the value of a number: `is_within` does that."""
        match self.kind:
            case "string":
                return f"[^/]{{{self.minimum},{'' if self.maximum is None else self.maximum}}}"
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
        """Whether the value of a number is restricted, in addition to its form."""
        number = self.kind in ("int", "float")
        return number and (self.digits > 0 or self.minimum is not None or self.maximum is not None)

    def is_within(self, text: str) -> bool:
        """Return whether a number written as `text` has the required digits and value."""
        if self.digits and len(text) != self.digits:
            return False
        number = _parse_whole(text) if self.kind == "int" else float(text)
        low_enough = self.maximum is None or number <= self.maximum
        return low_enough and (self.minimum is None or number >= self.minimum)


def _parse_whole(text: str) -> float:
    """Return the number written as `text`. For thousands of digits, which int() refuses, return infinity."""
    digits = text.lstrip("-").lstrip("0")
    if len(digits) <= MAX_DIGITS:
        return int(digits or "0") * (-1 if text[0] == "-" else 1)
    return float("-inf" if text[0] == "-" else "inf")


DEFAULT = Converter("string", 1)

# --- reading text -------------------------------------------------------------------------------

_ARGUMENT = re.compile(
    r"\s*(?:(?P<name>\w+)\s*=\s*)?(?P<value>\"[^\"]*\"|'[^']*'|[\w.]+)\s*(?:,|\Z)", re.ASCII
)
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


@lru_cache(maxsize=1024)  # a pure memo: few variables differ
def converter_of(kind: str, arguments: str) -> Converter:
    """Return the converter named `kind` ("default" is string), with its arguments as written."""
    kind = "string" if kind == "default" else kind
    if kind == "any":
        return _any_converter(arguments)
    if kind not in _PARAMETERS:
        raise RuleError(
            f'converter "{kind}" is not known',
            f"Use one of any, {', '.join(sorted(_PARAMETERS))}; instead of a converter of your own, use string.",
        )
    values = _parse_numbers(kind, arguments)
    match kind:
        case "string":
            length = values.get("length")
            minimum, maximum = (
                (length, length)
                if length is not None
                else (values["minlength"], values.get("maxlength"))
            )
            return Converter("string", minimum, maximum)
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


def _any_converter(arguments: str) -> Converter:
    """Return the converter that accepts one of the listed items."""
    items = [value for _, value in _parse_arguments("any", arguments)]
    texts = sorted({str(item) for item in items if "/" not in str(item)})
    if not texts:
        raise RuleError("converter any names nothing to accept", "Write <any(one, two):name>.")
    return Converter("any", items=tuple(texts))


def _parse_numbers(kind: str, arguments: str) -> dict[str, float | None]:
    """Return the numeric arguments of a converter by name, with defaults."""
    names = _PARAMETERS[kind]
    values: dict[str, float | None] = {name: _DEFAULTS.get(name) for name in names}
    for position, (name, value) in enumerate(_parse_arguments(kind, arguments)):
        key = name or (names[position] if position < len(names) else None)
        if key not in values or isinstance(value, str):
            raise RuleError(
                f'converter {kind} does not take "{arguments}"',
                f"It takes {', '.join(names) or 'no arguments'}, as numbers or True and False.",
            )
        values[key] = value
    return values


def _parse_arguments(kind: str, text: str) -> Iterable[tuple[str | None, Value]]:
    """Yield each argument's name, if it has one, and its value."""
    position = 0
    while position < len(text.rstrip()):
        argument = _ARGUMENT.match(text, position)
        if argument is None:
            raise RuleError(
                f'the arguments of converter {kind} cannot be read at "{text[position:]}"',
                'Separate words and numbers by commas; put other text into "quotes".',
            )
        yield argument["name"], _parse_value(argument["value"])
        position = argument.end()


def _parse_value(text: str) -> Value:
    """Return the meaning of an argument's text, as Werkzeug reads it."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text[1:-1] if text[0] in "\"'" else text
