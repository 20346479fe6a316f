"""Handles workers that fail to start: their master learns the reason, and decides when to try again.

Rule: the reason is passed in memory that the fork shares, because a full disk or a lack of file descriptors
must not hide it. `BootFailures` is pure: time comes in as a number.
"""

from __future__ import annotations

import json
import mmap
import re
import signal
import struct
import zlib
from dataclasses import dataclass
from typing import Any

from overgrow.text import exception_text

PAGE_BYTES = 4096
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0
YOUNG_S = 10.0  # a worker that dies this soon after it was ready may be part of a crash loop

_HEAD = struct.Struct("=II")  # checksum and length of the text behind them
_VARYING = re.compile(
    r"0x[0-9a-fA-F]+|\d+"
)  # addresses, ports and ids differ between equal failures


class SharedText:
    """A text that one process writes, and that this process and its forks read."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, PAGE_BYTES)

    def write(self, text: str) -> None:
        """Replace the text. A text that is too long is cut off."""
        data = text.encode("utf-8", "replace")[: PAGE_BYTES - _HEAD.size]
        self._page[: _HEAD.size + len(data)] = _HEAD.pack(zlib.crc32(data), len(data)) + data

    def read(self) -> str:
        """Return the text that was written last. While the text is being replaced, return an empty text."""
        checksum, length = _HEAD.unpack(self._page[: _HEAD.size])
        data = self._page[_HEAD.size : _HEAD.size + min(length, PAGE_BYTES)]
        return data.decode("utf-8", "ignore") if zlib.crc32(data) == checksum else ""


class BootNotice:
    """What the master tells its workers about failed boots. /readyz and the metrics show it."""

    def __init__(self) -> None:
        self._text = SharedText()

    def write(self, boots: BootFailures) -> None:
        """Publish the failures so far."""
        report = {"at": boots.since, "reason": boots.reason[:1000], "failures": boots.failures}
        self._text.write(json.dumps([report if boots.failures else None, boots.total]))

    def read(self) -> tuple[dict[str, Any] | None, int]:
        """Return (error, total of failed boots). `error` is the error as /readyz shows it; None while boots succeed."""
        try:
            report, total = json.loads(self._text.read())
        except ValueError:
            return None, 0
        return report, total


@dataclass(slots=True)
class BootFailures:
    """The failed boots in a row: since when, why, and the time of the next attempt (monotonic seconds)."""

    failures: int = 0
    total: int = 0
    reason: str = ""
    since: str = ""
    retry_s: float = 0.0
    _failed_s: float = float("-inf")
    _probation_s: float = 0.0
    _crashed_s: float = float("-inf")
    _crashes: int = 0

    def record_failure_and_decide_to_log(
        self, reason: str, *, started_s: float, now_s: float, at: str
    ) -> bool:
        """Count a worker that was created at `started_s` and failed to start; return whether to log it.

        If several workers that were created together fail, only the first failure lengthens the wait.
        """
        is_news = not self.failures or _replace_numbers_by_zero(reason) != _replace_numbers_by_zero(
            self.reason
        )
        if is_news:
            self.reason, self.since = reason, at
        self.total += 1
        if started_s >= self._failed_s:
            self.failures += 1
            self._failed_s = now_s
            self.retry_s = now_s + min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** (self.failures - 1))
        self._probation_s = 0.0
        return is_news

    def record_early_death_and_detect_new_loop(
        self, reason: str, *, started_s: float, now_s: float, at: str
    ) -> bool:
        """Count a worker that died soon after it was ready; return whether this is a new crash loop, to be logged.

        A single death of this kind is not a crash loop, because somebody may have killed the worker. The worker
        is replaced at once.
        """
        if started_s < self._crashed_s:  # created together with one that died before
            return False
        self._crashed_s = now_s
        self._crashes += 1
        if self._crashes == 1:
            return False
        is_news = self.record_failure_and_decide_to_log(
            reason, started_s=started_s, now_s=now_s, at=at
        )
        self._probation_s = YOUNG_S
        return is_news

    def record_success_and_detect_recovery(
        self, *, started_s: float, ready_s: float, now_s: float
    ) -> bool:
        """Note that a worker serves; return whether that ends a series of failed boots."""
        if started_s > self._crashed_s and now_s - ready_s >= YOUNG_S:
            self._crashes = 0
        if not self.failures or started_s < self._failed_s or now_s - ready_s < self._probation_s:
            return False
        self.failures, self.reason, self.retry_s = 0, "", 0.0
        return True

    def record_all_present_and_detect_recovery(self) -> bool:
        """Note that no worker is missing; return whether that ends a series of failed boots."""
        if not self.failures or self._probation_s:
            return False
        self.failures, self.reason, self.retry_s = 0, "", 0.0
        return True


def _replace_numbers_by_zero(reason: str) -> str:
    return _VARYING.sub("0", reason)


def is_same_reason(one: str, other: str) -> bool:
    """Return whether two reasons are equal, apart from the numbers in them."""
    return _replace_numbers_by_zero(one) == _replace_numbers_by_zero(other)


def describe_error(error: BaseException) -> str:
    """Return an exception as one line of text."""
    if isinstance(error, SystemExit):
        return f"the application ended its process with sys.exit({error.code!r})"
    text = " ".join(exception_text(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def describe_process_exit(status: int) -> str:
    """Return in words how a process ended, from the status that waitpid returned."""
    number = status & 0x7F
    if not number:
        return f"exit code {status >> 8 & 0xFF}"
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name}, perhaps for lack of memory" if number == signal.SIGKILL else name
