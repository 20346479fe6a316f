"""What a rule allows: a small family of comparators, each a question about two values.

Pure. A comparator is asked only about the path its rule names, and answers whether the difference
found there is one that it allows. Values are JSON values or text; ABSENT never satisfies more than
Ignore. The narrowest one that explains a difference is the right one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from proxy.shadow.difference import Kind, type_of


@dataclass(frozen=True, slots=True)
class Ignore:
    """Anything may differ here."""

    def allows(self, kind: Kind, control: object, candidate: object) -> bool:  # noqa: ARG002
        """Return True."""
        return True

    def __str__(self) -> str:
        return "ignore"


@dataclass(frozen=True, slots=True)
class Unordered:
    """The items of an array may stand in any order; they are paired by what they are."""

    def allows(self, kind: Kind, control: object, candidate: object) -> bool:  # noqa: ARG002
        """Return whether only the order differs."""
        return kind == "order"

    def __str__(self) -> str:
        return "unordered"


@dataclass(frozen=True, slots=True)
class KeyedBy:
    """The items of an array may stand in any order; they are paired by one of their members."""

    key: str

    def allows(self, kind: Kind, control: object, candidate: object) -> bool:  # noqa: ARG002
        """Return whether only the order differs."""
        return kind == "order"

    def __str__(self) -> str:
        return f"keyed_by {self.key}"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Two numbers, or texts that are numbers, may lie this far apart."""

    most: Decimal

    def allows(self, kind: Kind, control: object, candidate: object) -> bool:  # noqa: ARG002
        """Return whether both are numbers and near enough."""
        gap = gap_between(control, candidate)
        return gap is not None and gap <= self.most

    def __str__(self) -> str:
        return f"tolerance {self.most}"


@dataclass(frozen=True, slots=True)
class TimestampWithin:
    """Two timestamps written in the same notation may lie this many seconds apart."""

    most_s: int

    def allows(self, kind: Kind, control: object, candidate: object) -> bool:  # noqa: ARG002
        """Return whether both are timestamps, written alike and near enough."""
        gap_s = seconds_between(control, candidate)
        return gap_s is not None and gap_s <= self.most_s

    def __str__(self) -> str:
        return f"timestamp_within {span(self.most_s)}"


@dataclass(frozen=True, slots=True)
class SameShape:
    """Two values may differ that look alike: uuids, tokens of one length, texts but for numbers."""

    def allows(self, kind: Kind, control: object, candidate: object) -> bool:  # noqa: ARG002
        """Return whether the values have the same shape."""
        return have_same_shape(control, candidate)

    def __str__(self) -> str:
        return "same_shape"


Comparator = Ignore | Unordered | KeyedBy | Tolerance | TimestampWithin | SameShape


def span(seconds: int) -> str:
    """Return whole seconds as a duration: `90s`, `5m`, `1h`."""
    for unit, size_s in (("h", 3600), ("m", 60)):
        if seconds and seconds % size_s == 0:
            return f"{seconds // size_s}{unit}"
    return f"{seconds}s"


# Numbers. Exact up to 60 digits; what overflows becomes infinite, which no tolerance allows.
_EXACT = Context(prec=60, traps=[])
_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?", re.ASCII)


def number_of(value: object) -> Decimal | None:
    """Return the number that a value is, or that its text is; None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return _EXACT.create_decimal(value)
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    return None


def gap_between(control: object, candidate: object) -> Decimal | None:
    """Return how far apart two numbers are; None unless both are numbers or both texts of numbers."""
    if isinstance(control, str) is not isinstance(candidate, str):
        return None
    first, second = number_of(control), number_of(candidate)
    if first is None or second is None:
        return None
    gap = _EXACT.abs(_EXACT.subtract(first, second))
    return gap if gap.is_finite() else None


class Instant(NamedTuple):
    """A point in time, and how it was written; two notations are never near each other."""

    notation: str
    at: datetime


_ISO = re.compile(
    r"\d{4}-\d\d-\d\d(?:([T ])\d\d:\d\d(?::\d\d)?(?:[.,]\d{1,9})?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2,8}, \d\d([ -])[A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d GMT")
_EPOCH_S = range(1_000_000_000, 4_000_000_000)  # from 2001 to 2096
_EPOCH_MS = range(_EPOCH_S.start * 1000, _EPOCH_S.stop * 1000)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant_of(value: object) -> Instant | None:
    """Return the time a value tells: ISO 8601, an HTTP date, or Unix seconds or milliseconds."""
    if isinstance(value, str):
        return _iso(value) or _http_date(value) or _epoch_text(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return _epoch(value, type_of(value))
    return None


def _iso(text: str) -> Instant | None:
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    zone = "offset" if (found[2] or "Z") != "Z" else found[2]
    try:
        at = datetime.fromisoformat(text.replace(",", "."))
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:  # the 31st of February
        return None
    return Instant(f"iso {len(text) > 10} {found[1]} {zone}", at)


def _http_date(text: str) -> Instant | None:
    found = _HTTP_DATE.fullmatch(text)
    if found is None:
        return None
    try:
        return Instant(f"http{found[1]}", parsedate_to_datetime(text))
    except (ValueError, OverflowError):
        return None


def _epoch_text(text: str) -> Instant | None:
    number = number_of(text) if len(text) <= 24 else None
    return None if number is None else _epoch(number, "text")


def _epoch(number: int | Decimal, written: str) -> Instant | None:
    if not _EPOCH_S.start <= number < _EPOCH_MS.stop:
        return None
    unit, seconds = ("s", Decimal(number))
    if number >= _EPOCH_S.stop:
        if number < _EPOCH_MS.start:
            return None
        unit, seconds = ("ms", Decimal(number) / 1000)
    return Instant(f"unix {unit} {written}", _EPOCH + timedelta(seconds=float(seconds)))


def seconds_between(control: object, candidate: object) -> float | None:
    """Return how many seconds lie between two timestamps; None unless both are, written alike."""
    first, second = instant_of(control), instant_of(candidate)
    if first is None or second is None or first.notation != second.notation:
        return None
    return abs((first.at - second.at).total_seconds())


# Shapes. A token is what nobody chose: hex, base64, signed; long, without spaces, mixed.
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_HEX = re.compile(r"[0-9a-f]{8,}|[0-9A-F]{8,}", re.ASCII)
_TOKEN = re.compile(r"(?=.*(?:[0-9]|[a-z][A-Z]))[A-Za-z0-9_+/=~.-]{16,}", re.ASCII)
_PIECES = re.compile(
    r"(?P<uuid>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)"
    r"|(?P<hex>\b(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{8,}\b)"
    r"|(?P<number>\d+)",
    re.IGNORECASE | re.ASCII,
)
MAX_SHAPED = 4096  # characters: longer values have no shape


def have_same_shape(control: object, candidate: object) -> bool:
    """Return whether two values of one type look alike; containers and null never do."""
    if isinstance(control, str) and isinstance(candidate, str):
        return _look_alike(control, candidate)
    if bool in (type(control), type(candidate)):
        return False
    numbers = isinstance(control, int | Decimal) and isinstance(candidate, int | Decimal)
    # 1 and 1.0 are one number in two types; 10 and 9.5 are two numbers.
    return numbers and (type(control) is type(candidate) or control != candidate)


def _look_alike(control: str, candidate: str) -> bool:
    if max(len(control), len(candidate)) > MAX_SHAPED:
        return False
    return _are_tokens(control, candidate) or skeleton(control) == skeleton(candidate)


def _are_tokens(control: str, candidate: str) -> bool:
    if len(control) != len(candidate) or _dots(control) != _dots(candidate):
        return False
    forms = (_UUID, _HEX, _TOKEN)
    return any(form.fullmatch(control) and form.fullmatch(candidate) for form in forms)


def _dots(text: str) -> list[int]:
    return [len(part) for part in text.split(".")]


def skeleton(text: str) -> str:
    """Return text with uuids, hex tokens and numbers replaced by what they are; the rest stays."""
    return _PIECES.sub(_name_of, text)


def _name_of(found: re.Match[str]) -> str:
    return f"<hex {len(found[0])}>" if found.lastgroup == "hex" else f"<{found.lastgroup}>"


def decimal_of(text: str) -> Decimal | None:
    """Return a plain non-negative decimal number; None for anything else."""
    number = number_of(text)
    return number if number is not None and number >= 0 else None
