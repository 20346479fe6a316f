"""Reads PHP's serialized values without building PHP objects. Pure.

Objects, enum cases and references become the one value OBJECT. Lengths are counted in bytes and compared with
the data, so that a wrong length causes an UnreadableError and never a large allocation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

OBJECT: Final = object()
MAX_DEPTH = 64
_NUMBER = re.compile(rb"[+-]?[0-9]{1,20}")
_FLOAT = re.compile(rb"[+-]?(?:[0-9.]+(?:E[+-]?[0-9]+)?|INF|NAN)", re.IGNORECASE)


class UnreadableError(Exception):
    """The bytes are not in a format that PHP writes."""


class PhpReader:
    """Reads serialized values one after another."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._depth = 0

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        """The next bytes, exactly as many as requested."""
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise UnreadableError
        self._at += count
        return taken

    def until(self, end: bytes) -> bytes:
        """The bytes before an end mark. The end mark is skipped."""
        at = self._data.find(end, self._at)
        if at < 0:
            raise UnreadableError
        taken = self._data[self._at : at]
        self._at = at + len(end)
        return taken

    def value(self) -> object:
        """One value: None, bool, int, float, bytes, a dict of an array, or OBJECT."""
        read = _READERS.get(self.take(1))
        if read is None:
            raise UnreadableError
        return read(self)

    def null(self) -> None:
        """`N;`: PHP's null."""
        self._expect(b";")

    def boolean(self) -> bool:
        """`b:1;`: a truth value."""
        return self.integer() != 0

    def integer(self) -> int:
        """`i:42;`: a whole number."""
        self._expect(b":")
        return self._number(b";")

    def decimal(self) -> float:
        """`d:0.5;`: a number with a fraction."""
        self._expect(b":")
        text = self.until(b";")
        if not _FLOAT.fullmatch(text):
            raise UnreadableError
        try:
            return float(text)
        except ValueError as error:
            raise UnreadableError from error

    def text(self) -> bytes:
        """`s:3:"abc";`: a text, counted in bytes."""
        text = self._quoted_text()
        self._expect(b";")
        return text

    def array(self) -> dict[int | bytes, object]:
        """`a:1:{...}`: an array, whose keys are numbers or texts."""
        self._expect(b":")
        count = self._number(b":")
        self._expect(b"{")
        return self._members(count)

    def instance(self) -> object:
        """`O:4:"Cart":1:{...}`: an object, stepped over."""
        self._quoted_text()
        self._expect(b":")
        count = self._number(b":")
        self._expect(b"{")
        self._members(count)
        return OBJECT

    def self_written_instance(self) -> object:
        """`C:4:"Cart":3:{...}`: an object that serialized itself. It is skipped."""
        self._quoted_text()
        self._expect(b":")
        length = self._number(b":")
        self._expect(b"{")
        self.take(length)
        self._expect(b"}")
        return OBJECT

    def enum_case(self) -> object:
        """`E:11:"Suit:Hearts";`: a case of an enum. It is skipped."""
        self.text()
        return OBJECT

    def reference(self) -> object:
        """`R:2;`: a reference to an earlier value. It is not followed."""
        self.integer()
        return OBJECT

    def _members(self, count: int) -> dict[int | bytes, object]:
        self._depth += 1
        if self._depth > MAX_DEPTH or not 0 <= count <= len(self._data):
            raise UnreadableError
        members: dict[int | bytes, object] = {}
        for _ in range(count):
            key = self.value()
            if isinstance(key, bool) or not isinstance(key, int | bytes):
                raise UnreadableError
            members[key] = self.value()
        self._expect(b"}")
        self._depth -= 1
        return members

    def _quoted_text(self) -> bytes:
        self._expect(b":")
        length = self._number(b":")
        self._expect(b'"')
        text = self.take(length)
        self._expect(b'"')
        return text

    def _number(self, end: bytes) -> int:
        digits = self.until(end)
        if not _NUMBER.fullmatch(digits):
            raise UnreadableError
        return int(digits)

    def _expect(self, mark: bytes) -> None:
        if self.take(len(mark)) != mark:
            raise UnreadableError


_READERS: Final[Mapping[bytes, Callable[[PhpReader], object]]] = {
    b"N": PhpReader.null,
    b"b": PhpReader.boolean,
    b"i": PhpReader.integer,
    b"d": PhpReader.decimal,
    b"s": PhpReader.text,
    b"a": PhpReader.array,
    b"O": PhpReader.instance,
    b"C": PhpReader.self_written_instance,
    b"E": PhpReader.enum_case,
    b"r": PhpReader.reference,
    b"R": PhpReader.reference,
}
