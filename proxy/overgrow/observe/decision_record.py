"""One decision as the live list shows it: who answered a request, why, how, and how long it took.

Pure. A record has the path without its query, because a query may hold search terms, addresses and tokens. Of
the headers, it has only the trace id. A record fits into a fixed number of bytes. If a path is too long, it is
cut and ends in `...`.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from overgrow.exchange import Failure
from overgrow.routing.model import Decision
from overgrow.text import rfc3339

CUT = "..."
MAX_METHOD = 20
MAX_ROUTE = 200  # characters of a route's name
_TEXTS = {"method": 20, "reason": 20, "failure": 30, "trace_id": 32, "route": MAX_ROUTE}
_MIN_TRACEPARENT = 55  # bytes: version, trace id, parent id, flags
_TRACE_ID = slice(3, 35)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class DecisionRecord(NamedTuple):
    """One finished request. `status` is 0 if the client left before the response began."""

    seq: int  # the place in the order of all workers
    at_s: float  # unix time of the request's head
    slot: int
    method: str
    path: str  # as sent, without the query
    route: str  # "default" if no route took the request
    side: str
    reason: str
    status: int
    duration_s: float
    failure: str | None  # a code of FAILURES
    trace_id: str | None  # of the traceparent header that the client sent

    def as_json(self) -> dict[str, Any]:
        """Return the record as /api/decisions shows it."""
        fields = self._asdict()
        return {
            "seq": fields.pop("seq"),
            "at": rfc3339(fields.pop("at_s"), "milliseconds"),
            **fields,
        }


class RecentDecision(NamedTuple):
    """What a worker remembers of a finished request until it writes the request to the ring.

    Headers may be large, so that it holds none.
    """

    decision: Decision
    status: int
    failure: Failure | None
    started_s: float  # unix time
    duration_s: float
    method: str
    target: bytes  # its beginning
    traceparent: bytes  # as sent; empty for none


def encode_decision(recent: RecentDecision, slot: int, max_bytes: int) -> bytes:
    """Return a decision as the text of a record, of at most `max_bytes` bytes."""
    decision, failure = recent.decision, recent.failure
    fields: list[Any] = [
        recent.target.partition(b"?")[0].decode("utf-8", "backslashreplace"),
        round(recent.started_s, 3),
        slot,
        cut_text(recent.method, MAX_METHOD),
        cut_text(decision.route_name, MAX_ROUTE),
        decision.side,
        decision.reason,
        recent.status,
        round(recent.duration_s, 6),
        failure.code if failure is not None else None,
        _trace_id_of(recent.traceparent),
    ]
    whole = _encode(fields).encode()
    return whole if len(whole) <= max_bytes else _encode_short(fields, max_bytes)


def _encode_short(fields: list[Any], max_bytes: int) -> bytes:
    """Return the record with its path cut to the available room."""
    path, *others = fields
    room = max_bytes - len(_encode(["", *others]).encode())
    while True:
        whole = _encode([path + CUT, *others]).encode()
        if len(whole) <= max_bytes:
            return whole
        # A character of the path takes six bytes at most.
        path = path[: min(len(path) - 1 - (len(whole) - max_bytes) // 6, room)]


def decode_record(seq: int, data: bytes) -> DecisionRecord | None:
    """Return the record in `data`; None if the data are damaged or of another version."""
    try:
        path, at_s, slot, method, *rest, failure, trace_id = json.loads(data)
        route, side, reason, status, duration_s = rest
        record = DecisionRecord(
            *(seq, float(at_s), int(slot), method, path, route, side, reason),
            *(int(status), float(duration_s), failure, trace_id),
        )
    except (ValueError, TypeError):
        return None
    texts = (method, path, route, side, reason)
    return record if all(isinstance(each, str) for each in texts) else None


def cut_text(text: str, max_length: int) -> str:
    """Return a text of at most `max_length` characters. If the text is cut, it ends in `...`."""
    return text if len(text) <= max_length else text[: max_length - len(CUT)] + CUT


def _trace_id_of(traceparent: bytes) -> str | None:
    """Return the trace id of a traceparent header (W3C Trace Context); None if the header has no valid one."""
    if len(traceparent) < _MIN_TRACEPARENT:
        return None
    trace_id = traceparent[_TRACE_ID]
    return trace_id.decode() if trace_id.isalnum() else None
