"""Measures how alike two values are, and expresses the result without the values.

Pure. A comparison and a later judgement of stored differences use the same comparators. The comparators see
only a Likeness, so that both reach the same result. A Likeness reveals little of the values: distances are
rounded up to two digits, distances in time to whole seconds, minutes, hours or days.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_UP, Context, Decimal
from email.utils import parsedate_to_datetime
from functools import lru_cache
from math import ceil
from typing import NamedTuple

from overgrow.shadow.values.difference import Likeness, json_type_of
from overgrow.shadow.values.kinds import class_change_between


def likeness_of(control: object, candidate: object) -> Likeness:
    """Return what two values of a difference have in common."""
    gap, gap_s = gap_between(control, candidate), seconds_between(control, candidate)
    return Likeness(
        None if gap is None else round_up_gap(gap),
        None if gap_s is None else round_up_gap_s(gap_s),
        have_same_value_shape(control, candidate),
        type(control) is type(candidate),
        differing_piece_numbers(control, candidate),
        class_change_between(control, candidate),
    )


_TWO_DIGITS = Context(prec=2, rounding=ROUND_UP, traps=[])
_MIN_GAP, _MAX_GAP = Decimal("1e-300"), Decimal("1e300")  # smaller ones are zero to a double


def round_up_gap(gap: Decimal) -> float | None:
    """Return a distance rounded up to two digits. Return None if the distance is larger than any tolerance."""
    if gap >= _MAX_GAP:
        return None
    return float(_TWO_DIGITS.plus(max(gap, _MIN_GAP))) if gap else 0.0


def round_up_gap_s(gap_s: float) -> float:
    """Return a distance in time rounded up: up to 100 s in seconds, 100 min in minutes, 100 h in hours."""
    units = (each for each in (1, 60, 3600) if gap_s <= 100 * each)
    unit_s = next(units, 86_400)
    return float(ceil(gap_s / unit_s) * unit_s)


# Numbers are exact up to 60 digits; larger ones become infinite, which no tolerance allows.
_EXACT = Context(prec=60, traps=[])
_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?", re.ASCII)


def numeric_value_of(value: object) -> Decimal | None:
    """Return the value of a number, or of a text that is a number; None for any other value."""
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
    """Return the distance of two numbers, or of two texts that are numbers; None for any other values."""
    if isinstance(control, str) is not isinstance(candidate, str):
        return None
    first, second = numeric_value_of(control), numeric_value_of(candidate)
    if first is None or second is None:
        return None
    gap = _EXACT.abs(_EXACT.subtract(first, second))
    return gap if gap.is_finite() else None


class Instant(NamedTuple):
    """A point in time, and the notation in which it was written. Times in different notations are never compared."""

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
    """Return the time that a value expresses: ISO 8601, an HTTP date, or Unix seconds or milliseconds."""
    if isinstance(value, str):
        return _parse_iso(value) or _parse_http_date(value) or _parse_epoch_text(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return _parse_epoch(value, json_type_of(value))
    return None


def _parse_iso(text: str) -> Instant | None:
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


def _parse_http_date(text: str) -> Instant | None:
    found = _HTTP_DATE.fullmatch(text)
    if found is None:
        return None
    try:
        return Instant(f"http{found[1]}", parsedate_to_datetime(text))
    except (ValueError, OverflowError):
        return None


def _parse_epoch_text(text: str) -> Instant | None:
    number = numeric_value_of(text) if len(text) <= 24 else None
    return None if number is None else _parse_epoch(number, "text")


def _parse_epoch(number: int | Decimal, written: str) -> Instant | None:
    if not _EPOCH_S.start <= number < _EPOCH_MS.stop:
        return None
    unit, seconds = ("s", Decimal(number))
    if number >= _EPOCH_S.stop:
        if number < _EPOCH_MS.start:
            return None
        unit, seconds = ("ms", Decimal(number) / 1000)
    return Instant(f"unix {unit} {written}", _EPOCH + timedelta(seconds=float(seconds)))


def seconds_between(control: object, candidate: object) -> float | None:
    """Return the seconds between two timestamps in one notation; None for any other values."""
    first, second = instant_of(control), instant_of(candidate)
    if first is None or second is None or first.notation != second.notation:
        return None
    return abs((first.at - second.at).total_seconds())


# Shapes. A token is a text that a program generated (hex, base64, signed): long, mixed, without spaces.
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_HEX = re.compile(r"[0-9a-f]{8,}|[0-9A-F]{8,}", re.ASCII)
_TOKEN = re.compile(r"(?=.*(?:[0-9]|[a-z][A-Z]))[A-Za-z0-9_+/=~.-]{16,}", re.ASCII)
_PIECES = re.compile(
    r"(?P<nonce>'nonce-[a-z0-9+/_-]+=*')"  # of a Content-Security-Policy
    r"|(?P<token>(?<![a-z0-9_])(?-i:(?=[A-Za-z_]*[0-9])(?=[A-Z0-9_]*[a-z])(?=[a-z0-9_]*[A-Z]))\w{20,})"
    r"|(?P<uuid>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)"
    r"|(?P<hex>\b(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{8,}\b)"
    r"|(?P<number>\d+)",
    re.IGNORECASE | re.ASCII,
)
MAX_SHAPED = 4096  # characters: longer values have no shape


def have_same_value_shape(control: object, candidate: object) -> bool:
    """Return whether two values of one type look alike. Containers and null never look alike."""
    if isinstance(control, str) and isinstance(candidate, str):
        return _have_same_text_shape(control, candidate)
    if bool in (type(control), type(candidate)):
        return False
    numbers = isinstance(control, int | Decimal) and isinstance(candidate, int | Decimal)
    # 1 and 1.0 are one number of two types; 10 and 9.5 are two numbers.
    return numbers and (type(control) is type(candidate) or control != candidate)


def _have_same_text_shape(control: str, candidate: str) -> bool:
    if max(len(control), len(candidate)) > MAX_SHAPED:
        return False
    return _are_tokens_of_one_form(control, candidate) or text_skeleton(control) == text_skeleton(
        candidate
    )


def _are_tokens_of_one_form(control: str, candidate: str) -> bool:
    if len(control) != len(candidate) or _lengths_between_dots(control) != _lengths_between_dots(
        candidate
    ):
        return False
    forms = (_UUID, _HEX, _TOKEN)
    return any(form.fullmatch(control) and form.fullmatch(candidate) for form in forms)


def _lengths_between_dots(text: str) -> list[int]:
    return [len(part) for part in text.split(".")]


# Numbers that form one piece: a date, a time, both, an amount, a version. Other numbers are one piece each,
# even if a character joins them: `4711-98.10` is an id and an amount.
_TIME = r"\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:[+-]\d\d:?\d\d)?(?!\d)"
_JOINED = re.compile(
    rf"\d{{4}}([-/.])\d\d?\1\d\d?(?!\d)(?:[ T]{_TIME})?|\d\d?([-/.])\d\d?\2\d{{4}}(?!\d)(?: {_TIME})?"
    rf"|{_TIME}|\d+(?:\.\d+)+",
    re.ASCII,
)


def text_skeleton(text: str) -> str:
    """Return a text with each uuid, token, nonce and number replaced by the word for its kind."""
    return _split_skeleton_and_pieces(text)[0]


def variable_pieces_of(text: str) -> list[str]:
    """Return the uuids, tokens, nonces and numbers of a text. Numbers that belong together are one piece."""
    return [*_split_skeleton_and_pieces(text)[1]]


@lru_cache(maxsize=8)  # one difference asks for both texts, several times
def _split_skeleton_and_pieces(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the skeleton and the pieces of a text, found in one pass."""
    skeleton: list[str] = []
    pieces: list[str] = []
    at = stop = 0  # where the last piece ended, and where joined numbers do
    for found in _PIECES.finditer(text):
        skeleton += (text[at : found.start()], _piece_placeholder(found))
        at = found.end()
        if found.start() < stop:
            continue
        joined = _JOINED.match(text, found.start()) if found.lastgroup == "number" else None
        pieces.append(joined[0] if joined else found[0])
        stop = joined.end() if joined else at
    return "".join([*skeleton, text[at:]]), tuple(pieces)


def _piece_placeholder(found: re.Match[str]) -> str:
    has_length = found.lastgroup in {"hex", "token"}
    return f"<{found.lastgroup} {len(found[0])}>" if has_length else f"<{found.lastgroup}>"


def characters_to_read(control: object, candidate: object) -> int:
    """Return how many characters `likeness_of` reads of two values.

    The result is 0 if one of them is not a text, or is too long to be read.
    """
    if not (isinstance(control, str) and isinstance(candidate, str)):
        return 0
    length = max(len(control), len(candidate))
    return 0 if length > MAX_SHAPED else 2 * length


def differing_piece_numbers(control: object, candidate: object) -> tuple[int, ...] | None:
    """Return the numbers of the pieces that differ in two texts with the same skeleton; None for any other values."""
    if not (isinstance(control, str) and isinstance(candidate, str)):
        return None
    if max(len(control), len(candidate)) > MAX_SHAPED or _are_tokens_of_one_form(
        control, candidate
    ):
        return None
    if text_skeleton(control) != text_skeleton(candidate):
        return None
    pairs = enumerate(
        zip(variable_pieces_of(control), variable_pieces_of(candidate), strict=True), 1
    )
    return tuple(at for at, (one, other) in pairs if one != other)
