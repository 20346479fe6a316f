"""The access log in Apache's combined format, for the many programs that read it.

Privacy: the query of the target and of Referer is left out, as in JSON. User-Agent and the rest of Referer are logged,
because programs that read this format are made for them.
"""

from __future__ import annotations

import time

from overgrow.caches.header_memo import HeaderMemo
from overgrow.exchange import Exchange
from overgrow.observe.access_log.escaping import quote_text, quote_word
from overgrow.routing.facts import Head, Headers

LEFT_STATUS = 499  # as nginx has it: readers expect three digits
_MAX_PATH_LENGTH = 1500  # a line must fit one write to a pipe: 4096 bytes
_MAX_HEADER_LENGTH = 900
_MAX_METHOD_LENGTH = 100
_MAX_CLIENT_LENGTH = 300
# Not by strftime: the app may have set a locale.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class CombinedLines:
    """Formats an Exchange as one line of Apache's combined format; the identity and the user are always `-`."""

    def __init__(self) -> None:
        self._second = (0, "")

    def format_line(self, exchange: Exchange) -> str:
        """Format one exchange in ASCII, short enough for one write to a pipe."""
        head = exchange.head
        target = head.target.partition(b"?")[0].decode("latin-1")
        return (
            f"{quote_word(head.client, _MAX_CLIENT_LENGTH)} - - [{self._timestamp(exchange.started_at)}]"
            f' "{quote_word(head.method, _MAX_METHOD_LENGTH)} {quote_word(target, _MAX_PATH_LENGTH)}'
            f' HTTP/{head.http_version}" {exchange.status or LEFT_STATUS}'
            f" {exchange.response_bytes or '-'}{_header_fields(head)}\n"
        )

    def gap_line(self, _lines: int) -> str:
        """Return no line, because a line of another form would confuse readers. The log of events reports the gap."""
        return ""

    def _timestamp(self, unix_s: float) -> str:
        second = int(unix_s)
        if second != self._second[0]:
            at = time.gmtime(second)
            month = _MONTHS[at.tm_mon - 1]
            clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
            self._second = (second, f"{at.tm_mday:02}/{month}/{at.tm_year}:{clock} +0000")
        return self._second[1]


def _header_fields(head: Head) -> str:
    """Return the fields of Referer and User-Agent. If a client repeats its headers, they are formatted once."""
    headers = head.headers
    if type(headers) is not HeaderMemo:
        return _format_header_fields(headers)
    if headers.log_fields is None:
        headers.log_fields = _format_header_fields(headers)
    return headers.log_fields


def _format_header_fields(headers: Headers) -> str:
    referer = agent = ""
    for name, value in headers:
        if name == b"referer":
            referer = value.partition(b"#")[0].partition(b"?")[0].decode("latin-1")
        elif name == b"user-agent":
            agent = value.decode("latin-1")
    return f' "{quote_text(referer, _MAX_HEADER_LENGTH)}" "{quote_text(agent, _MAX_HEADER_LENGTH)}"'
