"""Finds the readings of a target: the paths as which servers behind us may understand the target.

Pure: bytes in, texts out. Rule: each server uses one of these readings, and the front door cannot know which.
Readings that any server may use (dot segments, `;parameters`) are always tried. Other readings are tried if
`legacy.folds` names them. The work is bounded: each fold either adds some readings to those found so far, or
changes every reading.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

CASE, TRAILING, IIS, DOUBLE_DECODING = FOLDS = ("case", "trailing", "iis", "double-decoding")
Folds = frozenset[str]
NO_FOLDS: Folds = frozenset()
# An app that honours these headers serves their path instead of the target's.
REWRITING = frozenset({b"x-original-url", b"x-rewrite-url"})

LINE_FEED = "\n"
_MAX_DECODINGS = 3
_ENCODED_SLASH = "\N{REPLACEMENT CHARACTER}"  # stands for an encoded slash within a segment
_ENCODED_SLASH_BYTES = re.compile(rb"%2[Ff]")
_is_unusual = re.compile(r"\\|/[/.]").search
_PARAMETERS = re.compile(rb";[^/]*+")
_CODE_UNITS = re.compile(rb"(?:%[uU][0-9A-Fa-f]{4})+")
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]")
_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*+://[^/?#]*+")
# On Windows the main stream of a file or folder is the file or folder itself.
_STREAMS = ("::$data", "::$index_allocation", ":$i30:$index_allocation")
_BLANKS = "\t\n\v\f\r \x85\xa0\N{EM SPACE}\N{IDEOGRAPHIC SPACE}"
_DROPPED = _BLANKS + "."
_ends_loosely = re.compile(f"[{_DROPPED}](?=/|\\Z)").search


def has_other_readings(path: str) -> bool:
    """Return whether some servers read this unambiguous path as another path, even if legacy folds nothing."""
    return ";" in path or LINE_FEED in path


class Readings(NamedTuple):
    """The readings of a target.

    `usual` are the readings of most servers with these folds, `rare` those of a few servers.
    """

    usual: tuple[str, ...]
    rare: tuple[str, ...]


def all_readings(target: bytes, folds: Folds = NO_FOLDS) -> tuple[str, ...]:
    """Return all paths as which a server behind us may read the target, each folded to one letter case.

    The normalised form comes first: escapes decoded, backslashes as slashes, dot segments resolved,
    empty segments dropped.
    """
    usual, rare = find_readings(target, folds)
    return tuple(dict.fromkeys([*usual, *rare]))


def find_readings(target: bytes, folds: Folds = NO_FOLDS) -> Readings:
    """Return the paths as which a server behind us may read the target, each folded to one letter case.

    Usual readings are decoded (invalid UTF-8 also as Latin-1), normalised, cut at NUL and without line feeds,
    and `;parameters` are kept or dropped. The folds add more usual readings. Rare readings differ in one of
    these ways: an encoded slash is not a separator, the first segment is a host, parameters or an encoded `?`
    end the path, or a slash is added or removed at the end of the path.
    """
    path = target.partition(b"?")[0].partition(b"#")[0]
    usual = _read_path(path, folds)
    rare = {_literal_reading(path): None}
    for cut in _cut_paths(path):
        rare.update(_read_path(cut, folds))
    for reading in (*usual, *rare):
        rare.update(dict.fromkeys(_vary_ends(reading, folds)))
    return Readings(tuple(usual), tuple([reading for reading in rare if reading not in usual]))


def rewritten_readings(value: bytes, folds: Folds) -> tuple[str, ...]:
    """Return the paths that a value of X-Original-URL or X-Rewrite-URL may name."""
    return all_readings(_ABSOLUTE.sub(b"", value.strip(), count=1), folds)


def _read_path(path: bytes, folds: Folds) -> dict[str, None]:
    """Return the normalised paths that the bytes may mean, the usual one first."""
    found: dict[str, None] = {}
    for raw in dict.fromkeys(_decode_in_ways(path, folds)):
        for text in _decode_texts(raw, folds):
            found[_normalise(text)] = None
            if folds:
                found[_normalise(_trim_for_windows(text, folds))] = None
    return found


def _decode_texts(raw: bytes, folds: Folds) -> Iterator[str]:
    """Yield the texts that decoded bytes may mean.

    If they are invalid UTF-8, they may mean Latin-1 and overlong UTF-8.
    """
    text = raw.decode("utf-8", "replace")
    yield text
    if "\0" in text:
        yield text.partition("\0")[0]
    if LINE_FEED in text:
        # In many regular expressions `$` matches before a final line feed, and `.` matches none.
        yield text.replace(LINE_FEED, "")
        yield text.replace(LINE_FEED, " ")
    if _has_replacement(text):
        yield raw.decode("latin-1")
        yield _OVERLONG.sub(_decode_overlong, raw).decode("utf-8", "replace")
    elif IIS in folds and not text.isascii():  # it maps wide characters to the plain ones
        yield unicodedata.normalize("NFKC", text)


def _has_replacement(text: str) -> bool:
    return "\N{REPLACEMENT CHARACTER}" in text


def _decode_in_ways(path: bytes, folds: Folds) -> Iterator[bytes]:
    """Yield the path with its escapes decoded, with and without parameters.

    Some servers look for parameters before they decode the path, others after that.
    """
    once = kept = unquote_to_bytes(path)
    dropped = _decode_once(_strip_parameters(path), folds) if b";" in path else kept
    if IIS in folds:
        kept = _decode_once(path, folds)
    yield from (
        once,
        kept,
        _strip_parameters(once),
        _strip_parameters(kept),
        _strip_parameters(dropped),
    )
    if DOUBLE_DECODING not in folds:
        return
    for _ in range(_MAX_DECODINGS - 1):
        if b"%" not in kept and b"%" not in dropped:
            return
        kept, dropped = _decode_once(kept, folds), _strip_parameters(_decode_once(dropped, folds))
        yield from (kept, dropped, _strip_parameters(kept))


def _decode_once(path: bytes, folds: Folds) -> bytes:
    """Return the bytes with their escapes decoded. The fold `iis` also decodes %uXXXX and overlong UTF-8."""
    if IIS not in folds:
        return unquote_to_bytes(path)
    return _OVERLONG.sub(
        _decode_overlong, unquote_to_bytes(_CODE_UNITS.sub(_decode_code_units, path))
    )


def _decode_code_units(units: re.Match[bytes]) -> bytes:
    """Return `%u0069` as UTF-8."""
    digits = units[0].decode().replace("%u", "").replace("%U", "")
    return bytes.fromhex(digits).decode("utf-16-be", "replace").encode()


def _decode_overlong(overlong: re.Match[bytes]) -> bytes:
    """Return the bytes of a character in shortest UTF-8, given its overlong form."""
    code = overlong[0][0] & 0x1F if len(overlong[0]) == 2 else 0
    for byte in overlong[0][1:]:
        code = code << 6 | byte & 0x3F
    return chr(code).encode()


def _strip_parameters(path: bytes) -> bytes:
    """Return the path without the `;parameters` of its segments (RFC 3986 3.3)."""
    return _PARAMETERS.sub(b"", path) if b";" in path else path


def _trim_for_windows(path: str, folds: Folds) -> str:
    """Return the path as Windows reads it: dots and spaces at the end of segments, and stream names, are removed."""
    if not folds & {TRAILING, IIS}:
        return path
    if ":" in path or (TRAILING in folds and _ends_loosely(path) is not None):
        return "/".join([_trim_segment(one, folds) for one in path.split("/")])
    return path


def _trim_segment(segment: str, folds: Folds) -> str:
    dropped = _DROPPED if TRAILING in folds else ""
    plain = segment.rstrip(_BLANKS) if dropped else segment
    if plain in (".", ".."):
        return plain
    plain = plain.rstrip(dropped)
    for stream in _STREAMS if ":" in plain else ():
        if plain[-len(stream) :].lower() == stream:
            return plain[: -len(stream)].rstrip(dropped)
    return plain


def _cut_paths(path: bytes) -> Iterator[bytes]:
    """Yield the parts of the path that a few servers mistake for the whole path."""
    if path[:2] in (b"//", b"/\\"):
        # PHP's parse_url and JavaScript's URL take the first segment for a host.
        yield b"/" + path.replace(b"\\", b"/").lstrip(b"/").partition(b"/")[2]
    for mark in (b";", b"%3B", b"%3b"):
        if mark in path:  # the path ends there, or the last segment alone has parameters
            yield path.partition(mark)[0]
            before, slash, last = path.rpartition(b"/")
            yield before + slash + last.partition(mark)[0]


def _vary_ends(reading: str, folds: Folds) -> Iterator[str]:
    """Yield variants of a reading: cut at an encoded `?` or `#`, and with a slash removed or added at the end."""
    ended = reading.partition("?")[0].partition("#")[0]
    bare = ended.rstrip("/")
    yield ended
    yield bare or "/"
    if TRAILING in folds:
        yield f"{bare}/"


def _literal_reading(path: bytes) -> str:
    """Return the path decoded segment by segment, so that an encoded slash is not a separator."""
    marked = _ENCODED_SLASH_BYTES.sub(_ENCODED_SLASH.encode(), path)
    return unquote_to_bytes(marked).decode("utf-8", "replace")


def _normalise(path: str) -> str:
    """Return the path with backslashes as slashes, without empty segments, and with dot segments resolved."""
    if path[:1] == "/" and _is_unusual(path) is None:
        return path
    kept: list[str] = []
    segments = path.replace("\\", "/").split("/")
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    slash = "/" if kept and segments[-1] in ("", ".", "..") else ""
    return "/" + "/".join(kept) + slash


# --- case ---------------------------------------------------------------------------------------


def fold_case(text: str) -> str:
    """Return the same text for all spellings of a text in upper and lower case.

    Each character is folded by itself, so that the text keeps its length, which converters may restrict. In
    addition to Python's folding, the dotless and the dotted I become i, like on Windows and in Java.
    """
    if text.isascii():
        return text.lower()
    return _NOT_ASCII.sub(_fold_match, text).lower()


_NOT_ASCII = re.compile("[^\\x00-\\x7f]")


def _fold_match(found: re.Match[str]) -> str:
    return _fold_character(found[0])


@lru_cache(maxsize=1024)
def _fold_character(character: str) -> str:
    if character in "\u0130\u0131":
        return "i"
    for folded in (str.upper, str.casefold, str.lower):
        one = folded(character)
        character = one if len(one) == 1 else character
    return character
