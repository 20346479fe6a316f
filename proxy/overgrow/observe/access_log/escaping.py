"""Escapes text of requests as ASCII that cannot control a terminal, end a line or end a quoted field.

Whatever a client sends is hostile: escape sequences, line ends, quotes, marks that reverse the direction of text.
"""

from __future__ import annotations


def escape_text(text: str, max_length: int) -> str:
    r"""Return text as at most `max_length` printable ASCII characters, with escapes such as `\x1b`.

    A cut text ends in `...`.
    """
    if len(text) <= max_length and text.isascii() and text.isprintable() and "\\" not in text:
        return text
    escaped = text[: max_length + 1].encode("unicode_escape").decode("ascii")
    return _cut(escaped, max_length)


def quote_text(text: str, max_length: int) -> str:
    r"""Return text for a quoted field of Apache's formats.

    It is escaped as by `escape_text`, with `\"` for a quote and `-` for an empty text.
    """
    if not text:
        return "-"
    if '"' not in text:
        return escape_text(text, max_length)
    escaped = text[: max_length + 1].encode("unicode_escape").decode("ascii")
    return _cut(escaped.replace('"', '\\"'), max_length)


def quote_word(text: str, max_length: int) -> str:
    r"""Return text as `quote_text` does, with `\x20` for a blank, because blanks separate the words."""
    return quote_text(text.replace(" ", "\0"), max_length).replace("\\x00", "\\x20")


def _cut(text: str, max_length: int) -> str:
    return text if len(text) <= max_length else f"{text[: max_length - 3]}..."
