"""Formats the access log as one line of JSON per request. The Elastic Common Schema (ECS) defines the field names.

Lines are formatted by hand, which costs less than a logging library's JSON.

Privacy: the path is logged. The query is not, because it holds search terms, e-mail addresses and
tokens. Cookies, Referer and User-Agent are not logged either. `client.address` is personal data in
many countries. A user whom the front door knows stands there as a keyed hash.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted

from overgrow.caches.header_memo import HeaderMemo
from overgrow.exchange import Exchange, Failure, FellBack, TraceIds
from overgrow.routing.facts import Head, Headers

_HASH_LENGTH = 32  # hexadecimal digits: two users with one hash are not to be feared
_MAX_PATH_LENGTH = 700  # a line holds the path twice, and six other texts of at most 300 each
_MAX_REMEMBERED_LENGTH = 600  # characters, of four values
_MAX_REMEMBERED = 4096
_REQUEST_FIELDS = ("http.request.method", "url.scheme", "url.domain", "http.version")
_DECISION_FIELDS = ("overgrow.route", "overgrow.side", "overgrow.reason", "overgrow.revision")


class JsonLines:
    """Formats an Exchange as one line of JSON, including the newline. It caches the text of repeated fields."""

    def __init__(self, user_key: Callable[[], bytes] = bytes) -> None:
        self._user_key = user_key
        self._second = (0, "")
        self._remembered: dict[tuple[str, str, str, str], str] = {}

    def format_line(self, exchange: Exchange) -> str:
        """Format one exchange in ASCII, short enough for one write to a pipe."""
        head, decision, status = exchange.head, exchange.decision, exchange.status
        rare = exchange.failure or exchange.fallback or decision.identity or decision.legacy_calls
        path = _path_json(head.target)
        request = (head.method, head.scheme, head.host, head.http_version)
        decided = (decision.route_name, decision.side, decision.reason, decision.revision)
        return (
            f'{{"@timestamp":"{self._timestamp(exchange.started_at)}","log.level":"info"'
            f',"message":"{status} {path[1:]},"ecs.version":"8.17.0","event.dataset":"overgrow.access"'
            f'{self._remembered.get(request) or self._remember_fields(request, _REQUEST_FIELDS)},"url.path":{path}'
            f',"client.address":{_client_json(head.client)},"http.response.status_code":{status}'
            f',"http.request.body.bytes":{exchange.request_bytes}'
            f',"http.response.body.bytes":{exchange.response_bytes}'
            f',"event.duration":{int(exchange.duration_s * 1e9)}'
            f',"overgrow.first_byte":{int(exchange.first_byte_s * 1e9)}'
            f"{self._remembered.get(decided) or self._remember_fields(decided, _DECISION_FIELDS)}"
            f"{self._rare_fields(exchange) if rare else ''}"
            f"{_trace_fields(head) if exchange.trace is None else _span_fields(exchange.trace, head)}}}\n"
        )

    def _rare_fields(self, exchange: Exchange) -> str:
        """Return the fields that few lines have: about a failure, a fallback, a user."""
        failure, fell, user = exchange.failure, exchange.fallback, exchange.decision.identity
        fields = "" if failure is None else _failure_fields(failure)
        fields += "" if fell is None else _fallback_fields(fell)
        if exchange.decision.legacy_calls:
            fields += f',"overgrow.legacy_calls":{exchange.decision.legacy_calls}'
        return fields if user is None else f'{fields},"user.hash":"{self._hash_user(user.id)}"'

    def _hash_user(self, user_id: str) -> str:
        """Return a digest of a user's id that nobody can compute, or look up, without the key."""
        id_bytes = user_id.encode("utf-8", "replace")
        return hmac.new(self._user_key(), id_bytes, "sha256").hexdigest()[:_HASH_LENGTH]

    def gap_line(self, lines: int) -> str:
        """Format the line that reports lost lines."""
        return (
            '{"log.level":"warn","event.dataset":"overgrow.access"'
            f',"message":"{lines} access-log lines were dropped: the log was not read fast enough"}}\n'
        )

    @staticmethod
    def mark_sampled(line: str, share_percent: float) -> str:
        """Add to a line the share of requests that are logged, so that a reader can scale its counts."""
        return f'{line[:-2]},"overgrow.sample_percent":{share_percent:g}}}\n'

    def _timestamp(self, unix_s: float) -> str:
        second = int(unix_s)
        cached, text = self._second
        if second != cached:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = (second, text)
        return f"{text}.{int((unix_s - second) * 1e6):06d}Z"

    def _remember_fields(self, values: tuple[str, str, str, str], names: tuple[str, ...]) -> str:
        if len(self._remembered) >= _MAX_REMEMBERED:  # clients choose methods and hosts
            self._remembered.clear()
        pairs = zip(names, map(_without_port, names, values), strict=True)
        text = "".join(f',"{name}":{_text_json(value)}' for name, value in pairs)
        if sum(map(len, values)) <= _MAX_REMEMBERED_LENGTH:
            self._remembered[values] = text
        return text


def _without_port(name: str, value: str) -> str:
    """Return the value of the ECS field `name`.

    A host is returned without its port, because ECS has another field for that.
    """
    return re.sub(r":\d*$", "", value) if name == "url.domain" else value


@lru_cache(maxsize=1024)
def _client_json(address: str) -> str:
    """Return a client's address as JSON. Cached, because the same clients come again."""
    return _text_json(address)


def _text_json(text: str, max_length: int = 300) -> str:
    """Return a JSON string of at most `max_length` characters. If the text is longer, it is cut and ends in `...`."""
    if 6 * len(text) <= max_length:  # escaping makes six characters of one at most
        return quoted(text)
    whole = quoted(text)
    return whole if len(whole) <= max_length else quoted(text[: max_length // 6 - 1] + "...")


def _path_json(target: bytes) -> str:
    return _text_json(target.partition(b"?")[0].decode("latin-1"), _MAX_PATH_LENGTH)


def _failure_fields(failure: Failure) -> str:
    return (
        f',"error.code":{_text_json(failure.code)},"error.message":{_text_json(failure.detail)}'
        f',"overgrow.failure.party":"{failure.party}","overgrow.failure.stage":"{failure.stage}"'
    )


def _fallback_fields(fell: FellBack) -> str:
    """Return the fields about a fallback: what migrated returned before legacy answered instead."""
    return f',"overgrow.fallback.code":"{fell.code}","overgrow.fallback.status":{fell.status}'


def _trace_fields(head: Head) -> str:
    """Return the W3C trace id and the X-Request-ID, if the client or a load balancer sent them."""
    headers = head.headers
    if type(headers) is not HeaderMemo:
        return _format_trace_fields(headers)
    if headers.log_fields is None:
        headers.log_fields = _format_trace_fields(headers)
    return headers.log_fields


def _span_fields(trace: TraceIds, head: Head) -> str:
    """Return the ids of our own span, which continues the trace of the client, and the X-Request-ID."""
    request_ids = [pair for pair in head.headers if pair[0] == b"x-request-id"]
    ids = f',"trace.id":"{trace.trace_id}","span.id":"{trace.span_id}"'
    return ids + _format_trace_fields(request_ids)


def _format_trace_fields(headers: Headers) -> str:
    """Return the ids of a request; each field once, because Elasticsearch refuses a line that has a field twice.

    Of two traceparents none counts (W3C Trace Context 3.2.2.5); of several X-Request-IDs the first is shown.
    """
    trace = request_id = ""
    traces = 0
    for name, value in headers:
        if name == b"traceparent":
            traces += 1
            if len(value) >= 55 and value[3:35].isalnum():
                trace = f',"trace.id":"{value[3:35].decode()}"'
        elif name == b"x-request-id" and not request_id:
            request_id = f',"http.request.id":{_text_json(value[:128].decode("latin-1"))}'
    return trace + request_id if traces < 2 else request_id
