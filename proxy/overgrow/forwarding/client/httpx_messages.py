"""Requests and responses of httpx that keep the header pairs as they came.

httpx's constructors copy and normalise every header, but neither our transport nor the Forwarder reads
the result. The two subclasses here make `headers` on first use, so any other transport or client can use
them as usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx

Pairs = Sequence[tuple[bytes, bytes]]


class RawRequest(httpx.Request):
    """A request that keeps the method and the header pairs it is given, byte for byte."""

    def __init__(
        self, method: str, url: httpx.URL, pairs: Pairs, stream: Any, extensions: dict[str, Any]
    ) -> None:
        self.method = method  # httpx's own upper-cases it; methods are case-sensitive (9110 9.1)
        self.url = url
        self.pairs = pairs
        self.stream = stream
        self.extensions = extensions

    @property
    def headers(self) -> httpx.Headers:  # type: ignore[override]
        """The headers as httpx.Headers, made on first use."""
        made: httpx.Headers | None = self.__dict__.get("_made")
        if made is None:
            made = self.__dict__["_made"] = httpx.Headers(list(self.pairs))
        return made


class RawResponse(httpx.Response):
    """A response whose header pairs stay as the upstream sent them."""

    def __init__(self, status: int, pairs: Pairs, stream: Any, extensions: dict[str, Any]) -> None:
        self.status_code = status
        self.pairs = pairs
        self.stream = stream
        self.extensions = extensions

    # What httpx's constructor sets, where it is the same for all: a class holds it at no cost.
    _request: httpx.Request | None = None
    next_request: httpx.Request | None = None
    is_closed = False
    is_stream_consumed = False
    default_encoding = "utf-8"
    _num_bytes_downloaded = 0

    @property
    def history(self) -> list[httpx.Response]:
        """The responses before this one; httpx's client sets this attribute when it follows redirects."""
        made: list[httpx.Response] = self.__dict__.setdefault("_history", [])
        return made

    @history.setter
    def history(self, history: list[httpx.Response]) -> None:
        self.__dict__["_history"] = history

    @property
    def headers(self) -> httpx.Headers:  # type: ignore[override]
        """The headers as httpx.Headers, made on first use."""
        made: httpx.Headers | None = self.__dict__.get("_made")
        if made is None:
            made = self.__dict__["_made"] = httpx.Headers(list(self.pairs))
        return made


def pairs_of(message: httpx.Request | httpx.Response) -> Pairs:
    """Return the header pairs of any httpx message, with order, case and duplicates kept.

    A caller may change the object `headers` after reading it. Once `headers` was read, this function therefore
    returns the content of `headers` instead of the original pairs.
    """
    known = message.__dict__
    if "pairs" in known and "_made" not in known:
        pairs: Pairs = known["pairs"]
        return pairs
    return message.headers.raw
