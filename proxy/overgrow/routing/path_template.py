"""Turns the path of a request into a template. Paths that differ only in numbers or ids have the same template.

Pure. Each path is handled by itself: `/orders/17` becomes `/orders/<int:id>`, in the syntax of routes.yaml.
Numbers, UUIDs, dates, hashes, tokens and e-mail addresses become variables. Words stay as they are, so slugs
are not grouped.

Rule: a template and an example contain no hash, token or e-mail address, because these may identify a person or grant
access.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_SEGMENTS = 12  # the rest becomes <path:rest>
MAX_LITERAL = 80  # characters of a segment that is kept
_REST = "<path:rest>"

_WORDS_ONLY = re.compile(r"(?:/[a-z_-]{1,80}){1,12}/?")
_is_word = re.compile(r"[a-z_-]{0,80}").fullmatch
_PIECE = re.compile(
    r"(?P<uuid>(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Fa-f]))"
    r"|(?P<date>(?<!\d)(?:19|20)\d\d-[01]\d-[0-3]\d(?!\d))"
    r"|(?P<hash>(?<![0-9A-Za-z])(?=(?:[A-Fa-f]*\d){2})(?=\d*[A-Fa-f])[0-9A-Fa-f]{7,}(?![0-9A-Za-z]))"
    r"|(?P<number>(?<![0-9A-Za-z])\d+(?![0-9A-Za-z])|\d{4,})",
    re.ASCII,
)
_VARIABLES = {  # kind: its converter, and the name of the variable
    "uuid": ("uuid:", "id"),
    "date": ("", "date"),
    "hash": ("", "hash"),
    "number": ("int:", "id"),
    "token": ("", "token"),
    "email": ("", "email"),
    "text": ("", "text"),
}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_RUN = re.compile(r"[0-9A-Za-z]{8,}", re.ASCII)
_LONG_RUN, _MIN_LONG = 16, 20  # characters: runs of letters and digits, or of upper and lower case
_MIN_MIXED = 14  # characters in runs of upper case, lower case and digits together
_SECRET = {"hash", "token", "email", "text"}  # not kept in an example


class PathTemplate(NamedTuple):
    """A template, and an example of it without secrets."""

    template: str
    example: str


def template_of(path: str) -> PathTemplate:
    """Return the template of a decoded path, and the path as an example of it."""
    if path[:1] != "/" or _WORDS_ONLY.fullmatch(
        path
    ):  # `*`, the target of OPTIONS for a whole server
        return PathTemplate(path, path)
    # What follows a semicolon is a parameter, often a session, and no more kept than a query.
    segments = [segment.partition(";")[0] for segment in path.split("/")[1:]]
    kept, rest = segments[:MAX_SEGMENTS], segments[MAX_SEGMENTS:]
    names: dict[str, int] = {}
    pairs = [_mask_segment(segment, names) for segment in kept]
    if rest:
        pairs.append((_REST, _REST))
    templates, examples = zip(*pairs, strict=True)
    return PathTemplate(f"/{'/'.join(templates)}", f"/{'/'.join(examples)}")


def _mask_segment(segment: str, names: dict[str, int]) -> tuple[str, str]:
    """Return the template and the example of one segment."""
    if _is_word(segment):
        return segment, segment
    if segment.isdigit() and segment.isascii():
        return _variable("number", names), segment
    kind = _kind_of(segment)
    if kind is not None:
        variable = _variable(kind, names)
        return variable, variable
    secrets: list[str] = []

    def mask(found: re.Match[str]) -> str:
        variable = _variable(str(found.lastgroup), names)
        if found.lastgroup in _SECRET:
            secrets.append(found[0])
        return variable

    template, example = _PIECE.sub(mask, segment), segment
    for secret in secrets:
        example = example.replace(secret, "<hash>")
    return template, example


def _kind_of(segment: str) -> str | None:
    """Return the kind of variable for a whole segment: `email`, `token` or `text`; None for any other segment.

    Any other segment is a word, or has parts that become variables.
    """
    if _EMAIL.fullmatch(segment):
        return "email"
    if not _PIECE.fullmatch(segment) and _is_token(segment):
        return "token"
    is_literal = segment.isprintable() and _UNUSABLE.isdisjoint(segment)
    return None if is_literal and len(segment) <= MAX_LITERAL else "text"


_UNUSABLE = frozenset("<>?#\\")  # no literal of a rule may contain them


def _is_token(segment: str) -> bool:
    """Whether a segment looks random.

    Such a segment has runs of upper case, lower case and digits, or long runs of two of these.
    """
    runs = [run for run in _RUN.findall(segment) if not _is_camel_case(run)]
    mixed = sum(len(run) for run in runs if _count_kinds(run) == len(_KINDS))
    long = [run for run in runs if len(run) >= _LONG_RUN]
    is_long = sum(map(len, long)) >= _MIN_LONG and any(_count_kinds(run) > 1 for run in long)
    return mixed >= _MIN_MIXED or is_long


_is_camel_run = re.compile(r"[A-Z]?[a-z]{2,}(?:[A-Z][a-z]{2,}){0,9}", re.ASCII).fullmatch
_MIN_HUMP = 4  # letters of a word, on average


def _is_camel_case(run: str) -> bool:
    """Whether a run of letters is made of words, as in `addCustomFieldSetting`.

    One in 1,000 random texts of 20 letters looks so, too, and one in 30,000 of letters and digits.
    """
    humps = 1 + sum(map(str.isupper, run[1:]))
    return len(run) >= _MIN_HUMP * humps and _is_camel_run(run) is not None


_KINDS = (str.isdigit, str.islower, str.isupper)


def _count_kinds(run: str) -> int:
    """Return how many kinds of characters there are: digits, lower case, upper case."""
    return sum(any(map(is_kind, run)) for is_kind in _KINDS)


def _variable(kind: str, names: dict[str, int]) -> str:
    """Return the next variable of a kind. Names within one template differ."""
    converter, name = _VARIABLES[kind]
    number = names[name] = names.get(name, 0) + 1
    return f"<{converter}{name}{number if number > 1 else ''}>"
