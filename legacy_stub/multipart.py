"""multipart/form-data as a stream of parts (RFC 7578). Holds one boundary back, never a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from legacy_stub.message import Refused

HEAD_LIMIT_BYTES = 8192
FILE_NAME = re.compile(r';\s*filename="((?:[^"\\\r\n]|\\.)*)"', re.IGNORECASE)


class Multipart:
    """The parts of a form: pairs of the file's name (None for a field) and its data.

    A part's data must be read before the next part; what is left of it is skipped.
    """

    def __init__(self, pieces: Iterable[bytes], boundary: bytes) -> None:
        self._pieces = iter(pieces)
        self._held = b"\r\n"
        self._mark = b"\r\n--" + boundary

    def __iter__(self) -> Iterator[tuple[str | None, Iterator[bytes]]]:
        skip(self._until(self._mark))
        while self._exactly(2) == b"\r\n":
            found = FILE_NAME.search(self._head())
            data = self._until(self._mark)
            yield (found[1] if found else None), data
            skip(data)
        skip(self._pieces)

    def _more(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise Refused(400, "The form ends before its last boundary.")
        self._held += piece

    def _exactly(self, count: int) -> bytes:
        while len(self._held) < count:
            self._more()
        found, self._held = self._held[:count], self._held[count:]
        return found

    def _head(self) -> str:
        head = bytearray()
        for piece in self._until(b"\r\n\r\n"):
            head += piece
            if len(head) > HEAD_LIMIT_BYTES:
                raise Refused(400, "The head of a part is too large.")
        return head.decode("utf-8", "replace")

    def _until(self, mark: bytes) -> Iterator[bytes]:
        while (end := self._held.find(mark)) < 0:
            safe = max(0, len(self._held) - len(mark) + 1)
            piece, self._held = self._held[:safe], self._held[safe:]
            if piece:
                yield piece
            self._more()
        piece, self._held = self._held[:end], self._held[end + len(mark) :]
        if piece:
            yield piece


def skip(pieces: Iterable[bytes]) -> None:
    """Read to the end."""
    for _ in pieces:
        pass
