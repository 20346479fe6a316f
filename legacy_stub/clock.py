"""Time and randomness of the shop. When frozen, both are constant: two responses are equal byte for byte."""

from __future__ import annotations

import secrets
import time
from email.utils import formatdate

FROZEN_AT_S = 1_742_040_000  # 15 March 2025, 12:00 UTC


class Clock:
    """The shop's clock and its source of tokens."""

    def __init__(self, *, frozen: bool) -> None:
        self.frozen = frozen
        self._date = (0, "")

    def now_s(self) -> int:
        """Return the seconds since 1970."""
        return FROZEN_AT_S if self.frozen else int(time.time())

    def stamp(self) -> str:
        """Return now as RFC 3339 in UTC."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.now_s()))

    def http_date(self) -> str:
        """Return now as HTTP writes it; made once a second."""
        now = self.now_s()
        if self._date[0] != now:
            self._date = (now, formatdate(now, usegmt=True))
        return self._date[1]

    def token(self, size_bytes: int) -> str:
        """Return a random token in hexadecimal; zeros when frozen."""
        return "00" * size_bytes if self.frozen else secrets.token_hex(size_bytes)
