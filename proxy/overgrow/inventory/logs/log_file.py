"""Opens a log, plain or compressed, and knows a file again by its first bytes, however it was renamed or compressed.

A rotated log keeps its content under another name. Therefore the identity of a log is the hash of its first
bytes, before compression. A log that grew still begins with the bytes that were hashed before.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

HEAD_BYTES = 4096
MAX_LINE_BYTES = 1 << 20
SKIP_BYTES = 1 << 20
UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError)  # the last three: damaged compression
_ZSTD = b"\x28\xb5\x2f\xfd"


class LogHead(NamedTuple):
    """What a log begins with: how many bytes were hashed, and their hash."""

    size: int
    digest: str


class RawLine(NamedTuple):
    """One line of a log without its end. `text` is None if the line is longer than MAX_LINE_BYTES."""

    text: bytes | None
    size: int  # bytes, the end included
    start: bytes  # of a line that is too long
    has_end: bool


def open_log(path: Path) -> IO[bytes]:
    """Open a log for reading; decompress gzip, bzip2 and xz.

    Raises:
        OSError: if the file cannot be opened, or is compressed in another way.

    """
    with path.open("rb") as stream:
        magic = stream.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if magic.startswith(b"BZh"):
        return bz2.open(path, "rb")
    if magic.startswith(b"\xfd7zXZ"):
        return lzma.open(path, "rb")
    if magic.startswith(_ZSTD):
        raise OSError(0, "it is compressed with zstd. Decompress it first: zstd -d", str(path))
    return path.open("rb", buffering=1 << 18)


def head_of(data: bytes) -> LogHead:
    """Return the identity of a log that begins with these bytes."""
    return LogHead(len(data), hashlib.sha256(data).hexdigest()[:32])


def is_same_log(head: LogHead, data: bytes) -> bool:
    """Return whether a log that begins with `data` is the one with this identity, perhaps grown since."""
    return 0 < head.size <= len(data) and head_of(data[: head.size]) == head


def skip(stream: IO[bytes], count: int) -> bool:
    """Read over bytes, for streams that cannot seek fast; return whether there were so many."""
    while count > 0:
        passed = len(stream.read(min(count, SKIP_BYTES)))
        if not passed:
            return False
        count -= passed
    return True


def raw_lines(stream: IO[bytes]) -> Iterator[RawLine]:
    """Yield each line. Memory is bounded: of a line that is too long only the start is kept."""
    while data := stream.readline(MAX_LINE_BYTES):
        if data.endswith(b"\n") or len(data) < MAX_LINE_BYTES:
            yield RawLine(data.strip(), len(data), b"", data.endswith(b"\n"))
            continue
        size, more = len(data), data
        while more and not more.endswith(b"\n"):
            more = stream.readline(MAX_LINE_BYTES)
            size += len(more)
        yield RawLine(None, size, data[:200], bool(more))
