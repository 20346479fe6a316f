"""Reads and checks what a person writes about a new rule: path, how, kinds, author, reason, day of expiry. Pure.

The API and the form of the page give the same fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from overgrow.shadow.review.drafting import (
    DEFAULT_DAYS,
    HOW,
    MAX_DAYS,
    RuleWish,
    Terms,
    comparator,
)
from overgrow.shadow.values.kinds import RULE_KINDS

MOST_CHARS = 500  # of a path or a comparator


class BadField(ValueError):
    """A field of a rule has an invalid value.

    It has the field's name, and words that complete the sentence "it must be ...".
    """

    def __init__(self, name: str, wanted: str) -> None:
        super().__init__(wanted)
        self.name = name


def read_wish(fields: Mapping[str, Any], *, everywhere: bool) -> RuleWish:
    """Return the rule that a person wants. Each of the fields `path`, `how` and `kinds` may be left out.

    Raises:
        BadField: with the name of the field.

    """
    for name in fields:
        if name not in {"path", "how", "kinds"}:
            raise BadField(name, "left out: a rule has path, how and kinds")
    return RuleWish(
        path=_read_text(fields, "path"),
        how=_read_how(_read_text(fields, "how")),
        kinds=_read_kinds(fields.get("kinds")),
        everywhere=everywhere,
    )


def _read_text(fields: Mapping[str, Any], name: str) -> str | None:
    text = fields.get(name)
    if text is None or text == "":
        return None
    if not isinstance(text, str) or len(text) > MOST_CHARS:
        raise BadField(name, f"text of at most {MOST_CHARS} characters")
    return text


def _read_how(text: str | None) -> Any:
    found = None if text is None else comparator(text)
    if text is not None and found is None:
        raise BadField("how", f"{HOW}")
    return found


def _read_kinds(given: Any) -> Any:
    if given is None or given == "":
        return None
    names = re.split(r"[\s,]+", given.strip()) if isinstance(given, str) else given
    known = isinstance(names, Sequence) and all(each in RULE_KINDS for each in names)
    if not known or len({*names}) < len(names):
        raise BadField("kinds", "kinds of differences, each once, as docs/comparing.md lists them")
    return tuple(names)


def read_terms(author: str, reason: str, expires: str | None, now_s: float) -> Terms:
    """Return author, reason and expiry of a rule. If `expires` is missing, the rule expires after DEFAULT_DAYS.

    Raises:
        BadField: with the name of the field.

    """
    if not author.strip():
        raise BadField("author", "the name of a person")
    if not reason.strip():
        raise BadField("reason", "a sentence that says why the difference is harmless")
    today, last = _day_of(now_s), latest_expiry(now_s)
    day = _read_day(expires) if expires else default_expiry(now_s)
    if day is None or not today <= day <= last:
        raise BadField("expires", f"a day from {today} to {last}, written YYYY-MM-DD")
    return Terms(author.strip(), reason.strip(), day)


def default_expiry(now_s: float) -> date:
    """Return the day on which a new rule expires if nobody names a day."""
    return _day_of(now_s) + timedelta(days=DEFAULT_DAYS)


def latest_expiry(now_s: float) -> date:
    """Return the latest day on which a new rule may expire."""
    return _day_of(now_s) + timedelta(days=MAX_DAYS)


def _day_of(now_s: float) -> date:
    return datetime.fromtimestamp(now_s, UTC).date()


def _read_day(text: str) -> date | None:
    try:
        return (
            date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) else None
        )
    except ValueError:
        return None
