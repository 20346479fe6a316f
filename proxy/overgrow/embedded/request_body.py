"""The body of a request as a WSGI server provides it, for either side.

Rule: half an upload never looks complete. If the client stops, gunicorn's `wsgi.input` just ends there, and
gunicorn sets wsgi.input_terminated, so that Flask would mistake the part for the complete body.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

from overgrow.app_types import Environ, Message

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LOG = logging.getLogger("overgrow.wsgi")

BLOCK_BYTES = 64 * 1024
DISCONNECT = {"type": "http.disconnect"}


class EnvironBody:
    """The request's body as ASGI messages, read from `wsgi.input` piece by piece.

    A body without Content-Length can be read only if the server ends the input itself (wsgi.input_terminated).
    Under any other server a body without Content-Length counts as broken from the start, because otherwise it
    would look empty.
    """

    def __init__(self, environ: Environ) -> None:
        self._input: IO[bytes] = environ["wsgi.input"]
        self._ended_by_server = bool(environ.get("wsgi.input_terminated"))
        self._chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
        self._left_bytes = environ_length(environ)

    def next_message(self) -> Message:
        """Read the next piece. The message says whether more pieces follow, or that the client broke off."""
        try:
            if self._chunked:
                return self._read_unknown_length()
            return self._read_known_length()
        except Exception as error:  # noqa: BLE001 - servers raise what they like for a broken body
            LOG.debug("the body of a request broke off: %r", error)
            return DISCONNECT

    def _read_unknown_length(self) -> Message:
        if not self._ended_by_server:
            return DISCONNECT
        data = self._input.read(BLOCK_BYTES)
        return {"type": "http.request", "body": data, "more_body": bool(data)}

    def _read_known_length(self) -> Message:
        data = self._input.read(min(BLOCK_BYTES, self._left_bytes)) if self._left_bytes else b""
        if not data and self._left_bytes:
            return DISCONNECT  # the server saw the end before the declared length
        self._left_bytes -= len(data)
        return {"type": "http.request", "body": data, "more_body": self._left_bytes > 0}


class CheckedInput(io.RawIOBase):
    """A `wsgi.input` that raises if the body ends before its declared length.

    It raises ConnectionAbortedError, which is an OSError; Werkzeug reports it as ClientDisconnected.
    """

    def __init__(self, source: IO[bytes], length: int) -> None:
        super().__init__()
        self._source = source
        self._left_bytes = length

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read the next bytes; 0 at the end (the io protocol)."""
        with memoryview(buffer) as view, view.cast("B") as room:
            data = self._source.read(min(len(room), self._left_bytes)) if self._left_bytes else b""
            if not data and self._left_bytes:
                raise ConnectionAbortedError("the client broke off the body of its request")
            room[: len(data)] = data
        self._left_bytes -= len(data)
        return len(data)


class CountedInput(io.RawIOBase):
    """A `wsgi.input` of unknown length.

    It counts the bytes that are read, and never reads more than the caller asked for.
    """

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__()
        self._source = source
        self.read_bytes = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most `size` bytes, as the server's own input does (PEP 3333)."""
        return self._count(self._source.read(-1 if size is None else size))

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read one line, or `size` bytes of it."""
        return self._count(self._source.readline(-1 if size is None else size))

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read the next bytes; 0 at the end (the io protocol)."""
        with memoryview(buffer) as view, view.cast("B") as room:
            data = self.read(len(room))
            room[: len(data)] = data
        return len(data)

    def _count(self, data: bytes) -> bytes:
        self.read_bytes += len(data)
        return data


def wrap_input(environ: Environ) -> Callable[[], int]:
    """Replace `wsgi.input` by a stream that raises an error when the body breaks off.

    Return a function that returns the size of the body: the declared size or, if none was declared, the bytes
    read so far.
    """
    length = environ_length(environ)
    if length:
        checked = CheckedInput(environ["wsgi.input"], length)
        environ["wsgi.input"] = io.BufferedReader(checked, BLOCK_BYTES)
    elif environ.get("HTTP_TRANSFER_ENCODING") and environ.get("wsgi.input_terminated"):
        environ["wsgi.input"] = counted = CountedInput(environ["wsgi.input"])
        return lambda: counted.read_bytes
    return lambda: length


def environ_length(environ: Environ) -> int:
    """Return Content-Length as a number; 0 if it is missing or not a number."""
    text = str(environ.get("CONTENT_LENGTH") or "0").strip()
    return int(text) if text.isdecimal() else 0
