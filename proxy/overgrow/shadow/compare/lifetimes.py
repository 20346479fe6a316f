"""Compares how long two responses and their cookies may be kept.

Absolute times are relative to the response's own Date. Pure. Two responses to one request are sent at two
moments. Therefore two expiry times mean the same if the time from the response to its expiry is equal (RFC 9111
4.2.1). A max-age needs no clock and takes precedence (RFC 9111 5.3, RFC 6265 5.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from overgrow.shadow.values.snapshot import ResponseSnapshot

SLACK_S = 2  # times are whole seconds, taken at two moments of one response
# A response without a Date takes the other's; two responses are at most this far apart.
WIDE_SLACK_S = 15
EXPIRED = 0.0  # all times in the past mean the same

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DELIMITERS = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\D.*)?", re.ASCII)
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?\d", re.IGNORECASE | re.ASCII)


def have_same_expiry(
    control: ResponseSnapshot, candidate: ResponseSnapshot, first: str, second: str
) -> bool:
    """Return whether two values of Expires mean the same for their responses."""
    if all(
        _MAX_AGE.search(each.joined_header(b"cache-control") or "") for each in (control, candidate)
    ):
        return True
    one, other = (_parse_http_time(each) for each in (first, second))
    dates = _date_headers_of_both(control, candidate)
    if dates is None:
        return False
    # RFC 9111 5.3: a value that is not a date, such as 0, means expired.
    return are_lifetimes_near(
        _remaining_s(one, dates[0]),
        _remaining_s(other, dates[1]),
        lifetime_slack_s(control, candidate),
    )


def cookie_lifetimes_s(
    control: ResponseSnapshot,
    candidate: ResponseSnapshot,
    first: Mapping[str, str],
    second: Mapping[str, str],
) -> tuple[float | None, float | None] | None:
    """Return the lifetimes of two cookies in seconds. A lifetime of None lasts until the browser closes.

    If the lifetimes are unknown, return None instead of the pair: a time is unreadable, or both responses lack
    a Date.
    """
    dates = _date_headers_of_both(control, candidate) or (None, None)
    found = []
    for attributes, date in zip((first, second), dates, strict=True):
        lifetime = _cookie_lifetime_s(attributes, date)
        if lifetime == "unknown":
            return None
        found.append(lifetime)
    return found[0], found[1]  # type: ignore[return-value]  # unknown is out


def are_lifetimes_near(first: float | None, second: float | None, slack_s: float) -> bool:
    """Return whether two lifetimes are equal within the accuracy of clocks."""
    if first is None or second is None:
        return first is second
    if EXPIRED in {first, second}:
        return first == second
    return abs(first - second) <= slack_s


def lifetime_slack_s(control: ResponseSnapshot, candidate: ResponseSnapshot) -> int:
    """Return by how many seconds two equal lifetimes may seem to differ."""
    has_dates = all(_date_header_of(each) is not None for each in (control, candidate))
    return SLACK_S if has_dates else WIDE_SLACK_S


def _cookie_lifetime_s(attributes: Mapping[str, str], date: datetime | None) -> float | str | None:
    age = attributes.get("max-age", "")
    if re.fullmatch(r"-?\d{1,15}", age, re.ASCII):
        return max(float(age), EXPIRED)
    if "expires" not in attributes:
        return None
    ends = parse_cookie_time(attributes["expires"])
    if ends is None:
        return None  # RFC 6265 5.2.1: an unreadable attribute is ignored
    if ends.year < 2000:
        return EXPIRED
    return "unknown" if date is None else _remaining_s(ends, date)


def _remaining_s(ends: datetime | None, date: datetime) -> float:
    return EXPIRED if ends is None else max((ends - date).total_seconds(), EXPIRED)


def _date_headers_of_both(
    control: ResponseSnapshot, candidate: ResponseSnapshot
) -> tuple[datetime, datetime] | None:
    """Return (control, candidate): when each response was sent.

    If one has no Date, the other's Date counts for both.
    """
    first, second = _date_header_of(control), _date_header_of(candidate)
    one, other = first or second, second or first
    return None if one is None or other is None else (one, other)


def _date_header_of(response: ResponseSnapshot) -> datetime | None:
    return _parse_http_time(response.joined_header(b"date") or "")


def _parse_http_time(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def parse_cookie_time(text: str) -> datetime | None:
    """Return the time in a cookie's Expires as RFC 6265 5.1.1 reads it; None if the text has no time."""
    time: tuple[int, ...] | None = None
    day = month = year = None
    for token in _DELIMITERS.split(text[:200]):
        if time is None and (found := _TIME.fullmatch(token)):
            time = tuple(map(int, found.groups()))
        elif day is None and re.fullmatch(r"\d{1,2}(?:\D.*)?", token, re.ASCII):
            day = int(re.sub(r"\D.*", "", token))
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (years := re.match(r"(\d{2,4})(?:\D|$)", token, re.ASCII)):
            year = _four_digit_year(int(years[1]))
    if time is None or day is None or month is None or year is None:
        return None
    try:
        return datetime(year, month, day, time[0], time[1], time[2], tzinfo=UTC)
    except ValueError:
        return None


def _four_digit_year(year: int) -> int:
    if year >= 100:
        return year
    return year + (1900 if year >= 70 else 2000)
