"""A cache of the values computed from a block of headers, so that a repeated block is processed only once.

A client repeats its headers with every request of a connection. One HeaderMemo holds values that depend on
those bytes alone; it is also the list of the headers. The connection owns the memo. The parser
(proxy/overgrow/server/request_parser.py) makes it when the same block comes twice in a row, gives it to every
request that repeats the block, and drops it at the first request with another block. Two connections never
share a memo.

Rule: a memo holds only what follows from the block itself, or from the block and values that are kept with it
and compared before use (ForwardedHeaders). It must not hold anything that belongs to a single request: a trace
or request id of our own, an identity or client id, a decision, a side, a time. The memo would repeat such a
value with every later request. If a header differs from request to request, Forwarder.serve adds it behind the
remembered headers. docs/architecture.md has the table of fields.

The headers of a response are lists of the same kind. They are made once for each response and are not cached.
"""

from __future__ import annotations

from collections.abc import Sequence

from overgrow.http import Pair

NOT_READ = b"not read"  # compared by identity; not empty, so that one test finds it and a value that was sent


class HeaderMemo(list[Pair]):
    """The headers of a request without a body, and the values computed from them. The list never changes.

    Code that may change the headers must get a copy.
    """

    __slots__ = ("forwarded", "has_trace_context", "host", "is_public", "log_fields", "traceparent")

    def __init__(self, pairs: Sequence[Pair], host: str) -> None:
        super().__init__(pairs)
        self.host = host  # the value of Host
        self.is_public = False  # path: no header or cookie is meant for the front door alone
        self.forwarded: ForwardedHeaders | None = None  # forwarding: what legacy got for them
        self.log_fields: str | None = None  # the access log: what its format shows of these headers
        self.traceparent = NOT_READ  # recent decisions: as sent; empty for none
        self.has_trace_context: bool | None = (
            None  # tracing: a header of the propagators; None: not read
        )


class ForwardedHeaders(list[Pair]):
    """The headers that are sent to legacy in place of a memo's headers. The list never changes.

    It also holds the values on which these headers depend.
    """

    __slots__ = ("carries_login", "client", "lines", "upstream")

    def __init__(
        self, pairs: Sequence[Pair], upstream: object = None, client: object = None
    ) -> None:
        super().__init__(pairs)
        self.upstream = upstream  # compared by identity before they are used again
        self.client = client  # peer, scheme and host of the request; compared before use
        self.lines: bytes | None = None  # as written, the blank line behind them included
        self.carries_login = False  # valid once there are lines


# An __init__ of Python's costs more than making the list: whoever makes one of these two sets all its fields.
class SplitHeaders(list[Pair]):
    """The headers of a response as they were read, in two lists: names and values. Made by `split_headers`."""

    __slots__ = ("are_checked", "names", "values")

    are_checked: bool  # each name is a token, no value has a control character
    names: tuple[bytes, ...]
    values: tuple[bytes, ...]


class PreparedHeaders(list[Pair]):
    """The headers of a response as the client gets them, with their lines.

    Made by proxy/overgrow/forwarding/headers.py. They contain no field about the client's connection, and at
    most one Content-Length.
    """

    __slots__ = ("has_date", "length", "lines")

    has_date: bool
    length: bytes | None  # the Content-Length
    lines: bytes


def split_headers(pairs: Sequence[Pair], *, are_checked: bool = False) -> SplitHeaders:
    """Split the headers of a response into a list of names and a list of values."""
    split = SplitHeaders(pairs)
    split.names, split.values = zip(*pairs, strict=True) if pairs else _NONE
    split.are_checked = are_checked
    return split


_NONE: tuple[tuple[bytes, ...], tuple[bytes, ...]] = ((), ())
