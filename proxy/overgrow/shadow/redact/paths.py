"""Hides the parts of names and paths that look like data, so that the rest may be stored.

Pure. Rule: a step of a path stays if a programmer could have written it. This module also decides which paths a
person may list under `show`: a path with a secret in its name is refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

MAX_PATH_CHARS = 400
MAX_NAME_CHARS = 40

_PATH_PARTS = re.compile(
    r"""(?P<named>\[@?(?:[A-Za-z_][A-Za-z0-9_-]*)=(?:[A-Za-z_$][A-Za-z0-9_$-]*)\])|(?P<index>\[\d+\]|\[\*\]|\#\d\d?\b)|(?P<quoted>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"""|(?P<mark>[$.:;/\[\]@#()*])|(?P<word>[^$.:;/\[\]@#()*"']+)|(?P<other>.)""",
    re.DOTALL,
)
_HUMP = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
# Which letters follow which in names of programs: 98% of all pairs in the names of Python's standard
# library, and a few more for headers and JSON. Random letters soon contain another pair.
_AFTER = {
    "a": "bcdfghiklmnprstuvwxy",
    "b": "abcdehijlmnoprstuy",
    "c": "acdefhiklmnoprstuvy",
    "d": "abcdefgilmnoprstuvxy",
    "e": "abcdefghiklmnopqrstuvwxyz",
    "f": "acdefilmnoprstuy",
    "g": "acdefghilmnoprstuy",
    "h": "adeilmnoprstuy",
    "i": "abcdefgklmnoprstvxz",
    "j": "eosu",
    "k": "acdefgilnopstuwy",
    "l": "abcdefiklmnoprstuvy",
    "m": "abcdeiklmnopstuy",
    "n": "abcdefghiklmnoprstuvy",
    "o": "abcdefgiklmnoprstuvwx",
    "p": "abcdefghiklmnoprstuwy",
    "q": "lsu",
    "r": "abcdefghiklmnoprstuvwy",
    "s": "abcdefghiklmnopqrstuvwy",
    "t": "abcdefghiklmnoprstuvwxyz",
    "u": "abcdefgilmnoprstx",
    "v": "aeimorst",
    "w": "acdefhilnoprst",
    "x": "acdefhilopsty",
    "y": "abcdefilmnoprstw",
    "z": "aeio",
}
# Words that make a name a secret's, and parts that do so inside a longer word.
_SECRET_WORDS = re.compile(
    "auth|cvc|cvv|hash|iban|keys?|nonce|otp|pass|pin|pwd|salt|seed|sid|sig|ssn"
)
_SECRET_PARTS = re.compile(
    "apikey|authenti|authori[sz]|bearer|cardnumber|cookie|credential|creditcard|csrf|jwt|passcode|"
    "passphrase|passw|privatekey|secret|session|signature|token|xsrf",
)


def redact_difference_path(path: str) -> str:
    """Hide every step of a path that looks like data, and keep indexes."""
    kept = "".join(_redact_step(match) for match in _PATH_PARTS.finditer(path))
    return kept if len(kept) <= MAX_PATH_CHARS else f"{kept[:MAX_PATH_CHARS]}..."


def _redact_step(match: re.Match[str]) -> str:
    text = match.group()
    if match.lastgroup == "named":
        names = text.strip("[]@").split("=")
        return text if all(map(looks_like_a_name, names)) else "[*]"
    if match.lastgroup in {"index", "mark"}:
        return text if len(text) <= 8 else "[*]"
    if match.lastgroup == "quoted":
        return redact_name(text[1:-1])
    return redact_name(text) if match.lastgroup == "word" else "?"


def redacted_path_shape(path: str) -> str:
    """Return a path with `[*]` for every index and `<key>` for every step that looks like data."""
    shape = re.sub(r"\[\d+\]", "[*]", redact_difference_path(path))
    return re.sub(r"<key \d+>", "<key>", shape)


@lru_cache(maxsize=4096)
def is_showable_path_shape(shape: str) -> bool:
    """Return whether a path shape may be shown. None of its steps may look like data."""
    return redacted_path_shape(shape) == shape


def redact_name(name: str) -> str:
    """If a key or name looks like a name, return it; else return a placeholder with its length."""
    return name if looks_like_a_name(name) else f"<key {len(name)}>"


def looks_like_a_name(word: str) -> bool:
    """Return whether a key looks as if a programmer wrote it: one word or several joined words, with few digits.

    There are two limits. If the keys of a map are plain words of data (first names), the map looks like an
    object. About one in a hundred random tokens of 12 to 16 characters passes as a name; longer tokens almost
    never do.
    """
    return len(word) <= MAX_NAME_CHARS and _looks_like_a_short_name(word)


@lru_cache(maxsize=4096)
def _looks_like_a_short_name(word: str) -> bool:
    if not re.fullmatch(r"[A-Za-z_$][A-Za-z0-9_$-]{0,39}", word):
        return False
    if re.fullmatch(r"[0-9a-fA-F]{8,}", word):
        return False
    parts = [_HUMP.findall(part) for part in re.split(r"[_$-]+", word)]
    if sum(len(each) for part in parts for each in part if each.isdigit()) > 2:
        return False
    if any(_has_digits_inside(part) for part in parts):
        return False
    spelt = [[each for each in part if not each.isdigit()] for part in parts]
    return _mean_word_length([hump for part in spelt for hump in part]) >= 2 and all(
        map(_reads_like_words, spelt)
    )


def _has_digits_inside(part: list[str]) -> bool:
    """Return whether digits stand inside a word, as in `x7qk2`. In `oauth2Token` they stand at the end of a word."""
    return any(each.isdigit() and not next_.istitle() for each, next_ in pairwise(part))


def _reads_like_words(humps: list[str]) -> bool:
    """Return whether the text between two separators is a word, an abbreviation, or words in camelCase."""
    if (
        len(humps) > 2 and _mean_word_length(humps) < 3
    ):  # random text changes case at every second letter
        return False
    free = 4 if len(humps) == 1 else 3
    return all(
        len(each) <= (4 if each.isupper() else free) or _looks_like_a_word(each) for each in humps
    )


def _looks_like_a_word(hump: str) -> bool:
    word = hump.lower()
    return len(word) <= 20 and all(next_ in _AFTER[letter] for letter, next_ in pairwise(word))


def _mean_word_length(words: list[str]) -> float:
    return sum(map(len, words)) / len(words) if len(words) > 1 else 2


def reason_not_to_show(path: str) -> str:
    """Return why the values at a path must not be shown; empty if they may be shown.

    `path` is the path of a JSON value, as in a difference, with `[*]` for each index.
    """
    if not path.startswith("$"):
        return "is not the path of a JSON value, and no other value is ever shown"
    if not is_showable_path_shape(path):
        return "has a step that looks like data, or an index other than [*]"
    secret = next(
        (step for step in re.findall(r"\w[\w$-]*", path) if reads_like_a_secret(step)), None
    )
    return f"contains {secret}, which looks like a secret" if secret else ""


def reads_like_a_secret(name: str) -> bool:
    """Return whether a name looks like the name of a credential."""
    words = (each.lower() for part in re.split(r"[_$-]+", name) for each in _HUMP.findall(part))
    joined = re.sub(r"[^a-z]", "", name.lower())
    return any(map(_SECRET_WORDS.fullmatch, words)) or _SECRET_PARTS.search(joined) is not None
