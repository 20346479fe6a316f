"""Reads logs from where the last scan stopped, and hands over what to store in steps.

Rule: counts and the place in the log are stored in one transaction. So a scan that was killed goes on where it was,
and counts no line twice. Each line is counted as exactly one of: a request, no HTTP request, a comment or a blank
line, or unread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from overgrow.inventory.logs.line_reader import FORMATS, LineReader
from overgrow.inventory.logs.log_file import (
    HEAD_BYTES,
    UNREADABLE,
    LogHead,
    RawLine,
    head_of,
    is_same_log,
    open_log,
    raw_lines,
    skip,
)
from overgrow.inventory.logs.log_line import NOT_HTTP
from overgrow.inventory.tally import Tally

LINES_PER_STEP = 300_000
SHOWN_BYTES = 200
_BOM = b"\xef\xbb\xbf"  # before the first line of files by Windows programs
Save = Callable[["LogProgress"], None]


@dataclass(slots=True)
class LogProgress:
    """How far a log was read, and what its lines were. `id` stays the same while the log grows."""

    id: str
    name: str
    head: LogHead
    offset: int = 0  # bytes, before compression
    lines: int = 0
    requests: int = 0
    not_http: int = 0
    comments: int = 0
    unread: int = 0
    columns: bytes = b""  # the W3C columns in effect
    is_cut: bool = False  # the last counted line had no end yet; what follows belongs to it


@dataclass(slots=True)
class LogResult:
    """What one scan of one log found. `examples` has the first line of a kind that is no request: number and start."""

    path: Path
    progress: LogProgress | None = None
    new_lines: int = 0
    is_resumed: bool = False
    unread: tuple[int, bytes] | None = None
    not_http: tuple[int, bytes] | None = None
    unfinished: bool = (
        False  # the last line has no end yet and is no request: the next scan reads it
    )
    problem: str = ""  # why the log, or the rest of it, cannot be read

    @property
    def reason(self) -> str:
        """Why the log is of no use; empty if it is not."""
        if self.problem:
            return self.problem
        found = self.progress
        if found is None or not found.lines or found.requests or found.not_http:
            return ""
        if not found.unread:
            return ""
        number, start = self.unread or (1, b"(read by an earlier scan)")
        tried = "; ".join(FORMATS)
        return f"no line is a request. Formats tried: {tried}. Line {number} is {show(start)}"


def show(line: bytes) -> str:
    """Return the start of a line of a log for people, in quotes."""
    return repr(line[:SHOWN_BYTES].decode("utf-8", "replace"))


def scan_log(path: Path, known: Iterable[LogProgress], tally: Tally, save: Save) -> LogResult:
    """Count the lines of a log that were not counted before. A damaged or vanished file is a result, too."""
    result = LogResult(path)
    try:
        with open_log(path) as stream:
            _scan(stream, result, known, tally, save)
    except UNREADABLE as error:
        result.problem = str(getattr(error, "strerror", None) or error) or type(error).__name__
    if result.progress is not None:
        save(result.progress)
    return result


def _scan(
    stream: IO[bytes], result: LogResult, known: Iterable[LogProgress], tally: Tally, save: Save
) -> None:
    data = stream.read(HEAD_BYTES)
    if not data:
        return
    stream.seek(0)
    progress = next((each for each in known if is_same_log(each.head, data)), None)
    result.is_resumed = progress is not None
    head = head_of(data)
    progress = progress or LogProgress(head.digest, str(result.path), head)
    progress.head, progress.name = head, str(result.path)
    result.progress = progress
    if skip(stream, progress.offset):
        _LogScan(result, progress, tally, save).run(stream)


class _LogScan:
    """The scan of one log from its place on."""

    def __init__(self, result: LogResult, progress: LogProgress, tally: Tally, save: Save) -> None:
        self._result, self._progress, self._tally, self._save = result, progress, tally, save
        self._reader = LineReader(progress.columns)

    def run(self, stream: IO[bytes]) -> None:
        """Count each line; save in steps."""
        progress, result = self._progress, self._result
        for line in raw_lines(stream):
            if progress.is_cut:  # the rest of a line that was counted without its end
                progress.offset += line.size
                progress.is_cut = not line.has_end
                continue
            if not self._count(line):
                result.unfinished = True
                break
            progress.offset += line.size
            result.new_lines += 1
            if result.new_lines % LINES_PER_STEP == 0:
                progress.columns = self._reader.columns
                self._save(progress)
        progress.columns = self._reader.columns

    def _count(self, raw: RawLine) -> bool:
        """Count a line. Return False if it is not whole yet, and is to be read by the next scan."""
        progress, text = self._progress, raw.text
        if text is not None and not progress.lines:
            text = text.removeprefix(_BOM)
        if text is not None and (not text or self._reader.is_comment(text)):
            progress.comments += 1
            progress.lines += 1
            return True
        line = None if text is None else self._reader.read(text)
        if line is None:
            if not raw.has_end and text is not None:
                return False
            self._count_unread(raw.start if text is None else text)
            return True
        progress.lines += 1
        progress.is_cut = not raw.has_end
        if line is NOT_HTTP:
            progress.not_http += 1
            if self._result.not_http is None:
                self._result.not_http = (progress.lines, (text or b"")[:SHOWN_BYTES])
        else:
            progress.requests += 1
            self._tally.count(line)
        return True

    def _count_unread(self, start: bytes) -> None:
        progress, result = self._progress, self._result
        progress.lines += 1
        progress.unread += 1
        if result.unread is None:
            result.unread = (progress.lines, start[:SHOWN_BYTES])
