"""Reads lines that are JSON objects: our access log, ECS, Caddy, Traefik, and nginx's or Apache's own JSON formats.

Pure. Nested objects are read as if their names were joined by points, and names in any case. A line of Docker's
or a log shipper's has the original line in `log` or `message`; `wrapped_line` gives it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from overgrow.inventory.logs.log_line import (
    MAX_METHOD,
    NOT_HTTP,
    LogLine,
    path_and_query,
    split_request,
    status_of,
    time_of,
)

MAX_DEPTH = 4
_METHOD = (
    "http.request.method",
    "request_method",
    "request.method",
    "requestmethod",
    "method",
    "verb",
)
_TARGET = (
    *("url.original", "request_uri", "request.uri", "requestpath", "url.path", "request_path"),
    *("request_url", "uri", "url", "path"),
)
_REQUEST = ("request", "request_line", "requestline")
_STATUS = (
    "http.response.status_code",
    "status",
    "downstreamstatus",
    "status_code",
    "response.status",
)
_CLIENT = (
    *(
        "client.address",
        "client.ip",
        "source.ip",
        "remote_addr",
        "request.client_ip",
        "request.remote_ip",
    ),
    *("clienthost", "remote_ip", "client_ip", "remote_host", "ip", "client"),
)
_TIME = (
    "@timestamp",
    "time_iso8601",
    "startutc",
    "ts",
    "timestamp",
    "time",
    "time_local",
    "msec",
    "date",
)
_SIZE = (
    *("http.response.body.bytes", "http.response.bytes", "body_bytes_sent", "bytes_sent"),
    *("downstreamcontentsize", "size", "bytes"),
)
_AGENT = (
    "user_agent.original",
    "http_user_agent",
    "user_agent",
    "request_user-agent",
    "agent",
    "useragent",
)
_DURATIONS = {  # name -> how many of its unit are a second
    "request_time": 1.0,
    "duration_s": 1.0,
    "duration": 1.0,
    "duration_ms": 1e3,
    "event.duration": 1e9,
    "http.server.request.duration": 1.0,
}
_WRAPPERS = ("log", "message", "msg")


def fields_of(line: bytes) -> dict[str, Any] | None:
    """Return the fields of a line that is a JSON object, their names in lower case and joined by points; else None."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return dict(_flatten(found, "", 0)) if isinstance(found, dict) else None


def _flatten(node: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, dict) and depth < MAX_DEPTH:
            yield from _flatten(value, f"{prefix}{name.lower()}.", depth + 1)
        else:
            yield f"{prefix}{name.lower()}", value


def wrapped_line(fields: Mapping[str, Any]) -> bytes | None:
    """Return the line that a log shipper wrapped into JSON; None if there is none."""
    text = next((fields[name] for name in _WRAPPERS if isinstance(fields.get(name), str)), None)
    return text.strip().encode("utf-8", "replace") if text else None


def read_fields(fields: Mapping[str, Any]) -> LogLine | None:
    """Return the request of a line; NOT_HTTP if it has none; None if no known fields name a request."""
    method, target = _text(fields, _METHOD), _text(fields, _TARGET)
    if not method or not target:
        request = _text(fields, _REQUEST)
        if not request:
            return None
        parts = split_request(request.encode("utf-8", "replace"))
    else:
        path = path_and_query(target.encode("utf-8", "replace"))
        is_method = len(method) <= MAX_METHOD and not set(method) & set(' "\\')
        parts = (method, path) if path is not None and is_method else None
    return NOT_HTTP if parts is None else _line(parts, fields)


def _line(parts: tuple[str, bytes], fields: Mapping[str, Any]) -> LogLine:
    size = _value(fields, _SIZE)
    return LogLine(
        *parts,
        status_of(_value(fields, _STATUS) or 0),
        _text(fields, _CLIENT).encode("utf-8", "replace"),
        time_of(_text(fields, _TIME).encode("ascii", "replace")),
        _duration(fields),
        int(size) if str(size).isdecimal() else 0,
        _first_text(_value(fields, (*_AGENT, "request.headers.user-agent"))),
    )


def _value(fields: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """Return the first of these fields that has a text or a number."""
    found = (fields.get(name) for name in names)
    return next(
        (value for value in found if value not in (None, "", "-") and value is not True), None
    )


def _text(fields: Mapping[str, Any], names: tuple[str, ...]) -> str:
    found = (fields.get(name) for name in names)
    kinds = (str, int, float)
    return next(
        (str(each) for each in found if isinstance(each, kinds) and str(each) not in ("", "-")), ""
    )


def _first_text(value: Any) -> bytes:
    """Return a text, or the first of a list of texts, as Caddy writes headers."""
    first = value[0] if isinstance(value, list) and value else value
    return first.encode("utf-8", "replace") if isinstance(first, str) else b""


def _duration(fields: Mapping[str, Any]) -> float | None:
    """Return the duration in seconds. Traefik writes `Duration` in nanoseconds, beside a `RequestMethod`."""
    for name, per_second in _DURATIONS.items():
        try:
            number = float(fields[name])
        except (KeyError, ValueError, TypeError):
            continue
        unit = 1e9 if name == "duration" and "requestmethod" in fields else per_second
        return number / unit if 0 <= number < 1e18 else None
    return None
