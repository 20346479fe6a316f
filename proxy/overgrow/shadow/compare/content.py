"""Unpacks and decodes the content of a body.

Pure and bounded: a body unpacks to at most MAX_BODY bytes. Decoding keeps every distinction: bytes outside the
charset become lone surrogates, so that unequal bytes become unequal text.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import NamedTuple

from overgrow.shadow.compare.headers import (
    charset_of_label,
    content_codings_of,
    media_type_and_parameters_of,
)
from overgrow.shadow.values.snapshot import ResponseSnapshot

MAX_BODY = 4 * 1024 * 1024  # bytes, unpacked: larger bodies are compared as bytes

MAX_CODINGS = 4
MAX_MEMBERS = 100  # of one gzip body: each takes a copy of all that follows

# Known names of charsets; with any other name a body is read as UTF-8, or byte by byte if it is not UTF-8.
CHARSETS = frozenset(
    [
        *("utf-8", "utf8", "us-ascii", "ascii", "utf-16", "utf-16le", "utf-16be", "utf-32"),
        *(f"iso-8859-{part}" for part in (*range(1, 12), *range(13, 17))),
        *(f"windows-{page}" for page in range(1250, 1259)),
        *("latin1", "koi8-r", "koi8-u", "macintosh", "tis-620"),
        *("shift_jis", "euc-jp", "iso-2022-jp", "gb2312", "gbk", "gb18030", "big5", "euc-kr"),
    ]
)


@dataclass(frozen=True, slots=True)
class UnpackedBody:
    """A body without its content codings. If a coding could not be removed, `trouble` says why."""

    body: bytes
    trouble: str = ""


class DecodedText(NamedTuple):
    """Decoded text. `flaw` says what is wrong with its encoding; it is empty if the encoding is right."""

    text: str
    flaw: str


def unpack_body(response: ResponseSnapshot) -> UnpackedBody:
    """Return the body of a response without its gzip and deflate codings.

    The coding that was applied last is removed first.
    """
    body, codings = response.body, content_codings_of(response)
    if len(codings) > MAX_CODINGS:
        return UnpackedBody(body, f"more than {MAX_CODINGS} content codings")
    for coding in reversed(codings):
        unpacked = _remove_content_coding(body, coding)
        if isinstance(unpacked, str):
            return UnpackedBody(response.body, unpacked)
        body = unpacked
    return UnpackedBody(body)


def _remove_content_coding(body: bytes, coding: str) -> bytes | str:
    """Return the body without one coding, or why the coding cannot be removed."""
    windows = {"gzip": (31,), "deflate": (15, -15)}.get(
        coding
    )  # deflate exists with and without a header
    if windows is None:
        return f"{coding}, which is not unpacked"
    if not body:  # a response to HEAD
        return body
    results = [_inflate(body, window) for window in windows]
    return next((each for each in results if isinstance(each, bytes)), results[0])


def _inflate(body: bytes, window: int) -> bytes | str:
    members: list[bytes] = []
    size, rest = 0, body
    try:
        while rest:  # gzip may have several members
            if len(members) == MAX_MEMBERS:
                return f"more than {MAX_MEMBERS} compressed members"
            inflater = zlib.decompressobj(window)
            members.append(inflater.decompress(rest, MAX_BODY + 1 - size))
            size += len(members[-1])
            if size > MAX_BODY:
                return f"more than {MAX_BODY} bytes when unpacked"
            if not inflater.eof:
                return "a compressed body that ends early"
            rest = inflater.unused_data
    except zlib.error:
        return "a body that is not compressed as it says"
    return b"".join(members)


def decode_body(response: ResponseSnapshot, body: bytes) -> DecodedText:
    """Return the text of a body, decoded by its charset. If it names no known charset, decode it as UTF-8."""
    charset = charset_of_label(media_type_and_parameters_of(response)[1].get("charset", ""))
    return decode_text(body, charset if charset in CHARSETS else "utf-8")


def decode_text(body: bytes, charset: str) -> DecodedText:
    """Return the text of a body, with a flaw if the body breaks the charset's rules.

    Two different bodies never give both the same text and the same flaw.
    """
    is_utf8 = charset in {"utf-8", "utf8"}
    if is_utf8 and body.startswith(b"\xef\xbb\xbf"):
        return DecodedText(decode_text(body[3:], charset).text, "a byte order mark")
    if charset == "windows-1252":
        return DecodedText(body.decode("latin-1").translate(_WINDOWS_1252), "")
    try:
        return DecodedText(body.decode(charset), "")
    except UnicodeDecodeError as error:
        flaw = f"not {charset} at byte {error.start}"
    return DecodedText(body.decode("utf-8" if is_utf8 else "latin-1", "surrogateescape"), flaw)


def _windows_1252_table() -> dict[int, str]:
    """Return the characters of the bytes 0x80 to 0x9F.

    A byte without a character stands for itself (WHATWG Encoding 9).
    """
    pairs = ((byte, bytes([byte]).decode("cp1252", "ignore")) for byte in range(0x80, 0xA0))
    return {byte: character for byte, character in pairs if character}


_WINDOWS_1252 = _windows_1252_table()
