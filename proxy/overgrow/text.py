"""Formats text for people: text that is safe for a terminal, counts with their nouns, times, shares, errors.

Pure. Rule: a time or a share looks the same on the command line, on the admin page and in the log.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

_TERMINAL_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


def printable(text: str, keep: str = "\n\t") -> str:
    """Escape the characters that could control a terminal or forge a line of a log.

    These are control and format characters (ESC, U+202E), line separators and surrogates.
    """
    if text.isprintable():
        return text
    return "".join(
        _escape(each)
        if unicodedata.category(each) in _TERMINAL_CATEGORIES and each not in keep
        else each
        for each in text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def exception_text(error: BaseException) -> str:
    """Return the text of an exception. If its `__str__` fails, return a text that says so."""
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001  user code may raise anything
        return f"no text, as its __str__ raises {type(fault).__name__}"


def count_text(count: int, noun: str) -> str:
    """Return a count with its noun: `1 route`, `3 routes`, `1,200 comparisons`."""
    plural = f"{noun}es" if noun.endswith("h") and not noun.endswith("th") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def join_or(words: Sequence[str]) -> str:
    """Return words as a choice: `a`, `a or b`, `a, b or c`."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def percent_number(hundredths: int) -> int | float:
    """Return hundredths of a percent as percent: 1_000 is 10, 1_234 is 12.34."""
    return hundredths // 100 if hundredths % 100 == 0 else hundredths / 100


def percent_text(hundredths: int) -> str:
    """Return hundredths of a percent as routes.yaml writes them: 1050 is `10.5%`."""
    whole, rest = divmod(hundredths, 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") + "%" if rest else f"{whole}%"


def rfc3339(unix_s: float, timespec: str = "seconds") -> str:
    """Return a time in UTC as `2026-03-15T12:00:00Z`. `timespec` means the same as in `datetime.isoformat`."""
    moment = datetime.fromtimestamp(unix_s, UTC)
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def clock_text(unix_s: float, now_s: float) -> str:
    """Return a time in UTC: `17:02` if it is at most a day ago, else `2026-03-15 17:02`."""
    moment = rfc3339(unix_s).replace("T", " ")[:16]
    return moment[11:] if now_s - unix_s < _DAY_S else moment


def ago(age_s: float) -> str:
    """Return how long ago something was: `40 s ago`, `25 h ago`, `2 days ago`, `just now`."""
    if age_s >= 2 * _DAY_S:
        return f"{int(age_s // _DAY_S)} days ago"
    for unit, unit_s in (("h", _HOUR_S), ("min", _MINUTE_S), ("s", 1)):
        if age_s >= unit_s:
            return f"{int(age_s // unit_s)} {unit} ago"
    return "just now"


def ago_text(at: str | None, now_s: float) -> str:
    """Return how long ago an RFC 3339 time was; empty if the text is not a time."""
    try:
        return ago(now_s - datetime.fromisoformat(at or "").timestamp())
    except ValueError:
        return ""


def duration_text(seconds: float | None) -> str:
    """Return a duration to three digits: `1.23 s`, `45.6 ms`; `-` for None."""
    if seconds is None:
        return "-"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
