"""Keeps exemplars: for each bucket of a duration, the trace of the newest sampled request in the bucket.

Each worker keeps its own in memory and writes them to a file of its slot, outside of requests. A scrape merges the
files of all workers: the newest wins. A successor in a slot continues the file.

Rule: a trace id comes from one valid traceparent whose sender samples the trace (W3C Trace Context, level 2), or from a
sampled span of our own. At most MOST are kept, so that neither clients nor many routes can fill the memory.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from prometheus_client.utils import floatToGoString

from overgrow.exchange import Exchange
from overgrow.files import read_regular
from overgrow.observe.metric_list import BUCKETS_S

MOST = 2000  # of one worker
MAX_AGE_S = 3600.0  # trace stores forget, and Prometheus has long read it
_AHEAD_S = 60.0  # the clock was set back
_MAX_FILE_BYTES = 1 << 23
_FILE = "exemplars_{}.json"
_HEX = "[0-9a-f]"
# Version 00 has these four fields and no more; a later version may have more. The last bit of the flags: sampled.
_SAMPLED = re.compile(
    rf"(?!ff)(?P<version>{_HEX}{{2}})-(?!0{{32}})(?P<trace>{_HEX}{{32}})-(?!0{{16}}){_HEX}{{16}}"
    rf"-{_HEX}[13579bdf](?P<more>-.*)?".encode()
)
number_text: Callable[[float], str] = floatToGoString
_Place = tuple[str, str, int]  # route, side, bucket
_TRACE_ID = re.compile(f"{_HEX}{{32}}")


class Exemplar(NamedTuple):
    """The trace of one request in a bucket."""

    route: str
    side: str
    duration_s: float
    trace_id: str  # 32 hexadecimal digits
    at_s: float  # unix time at which the request ended

    @property
    def place(self) -> _Place:
        """The series, and the number of the bucket in it. Each place has one exemplar."""
        return self.route, self.side, bisect_left(BUCKETS_S, self.duration_s)

    def as_text(self) -> str:
        """Return the exemplar in the notation of OpenMetrics, for the end of a bucket's line."""
        return f'{{trace_id="{self.trace_id}"}} {number_text(self.duration_s)} {self.at_s:.3f}'


def sampled_trace_id(traceparent: bytes) -> str | None:
    """Return the trace id of a traceparent header; None if the header is invalid or its trace is not sampled."""
    found = _SAMPLED.fullmatch(traceparent)
    if found is None or (found["version"] == b"00" and found["more"] is not None):
        return None
    return found["trace"].decode()


class Exemplars:
    """The exemplars of one worker. Thread-safe. As a Sink it keeps the traces of our own spans."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[_Place, Exemplar] = {}
        self._has_unwritten = False
        self._continues = (
            False  # whether the exemplars of the former worker in the slot are among ours
        )

    def note_request(self, exchange: Exchange, traceparent: bytes) -> None:
        """Keep the trace of a finished request, if its client sent a valid and sampled traceparent."""
        trace_id = sampled_trace_id(traceparent)
        if trace_id is not None:
            self.note_trace(exchange, trace_id)

    def note_trace(self, exchange: Exchange, trace_id: str) -> None:
        """Keep a sampled trace of a finished request."""
        duration_s, decision = exchange.duration_s, exchange.decision
        ended_s = exchange.started_at + duration_s
        found = Exemplar(decision.route_name, decision.side, duration_s, trace_id, ended_s)
        with self._lock:
            self._kept.pop(found.place, None)  # the newest stands last
            self._kept[found.place] = found
            if len(self._kept) > MOST:
                del self._kept[next(iter(self._kept))]
            self._has_unwritten = True

    def record(self, exchange: Exchange) -> None:
        """Keep the trace of a finished request if it has a sampled span of our own.

        OpenTelemetry uses this method as a Sink.
        """
        if exchange.trace is not None and exchange.trace.is_sampled:
            self.note_trace(exchange, exchange.trace.trace_id)

    def write(self, folder: Path, slot: int) -> None:
        """Write what was kept since the last call. If that fails, the next call tries again.

        It calls the file system: do not call it in the event loop.
        """
        if not self._has_unwritten:
            return
        path = folder / _FILE.format(slot)
        before = [] if self._continues else _read(path)
        with self._lock:
            self._kept = dict(
                [*((each.place, each) for each in before), *self._kept.items()][-MOST:]
            )
            kept, self._has_unwritten, self._continues = list(self._kept.values()), False, True
        draft = path.with_suffix(".new")
        try:
            draft.write_text(json.dumps(kept), encoding="utf-8")
            draft.replace(path)
        except OSError:
            self._has_unwritten = True
            raise


def read_exemplars(folder: Path, now_s: float) -> Mapping[tuple[str, ...], Mapping[int, Exemplar]]:
    """Return {(route, side): {place of the bucket: exemplar}} of all workers; the newest of each bucket."""
    read = [each for path in folder.glob(_FILE.format("*")) for each in _read(path)]
    found: defaultdict[tuple[str, ...], dict[int, Exemplar]] = defaultdict(dict)
    for each in sorted(read, key=attrgetter("at_s")):
        if -_AHEAD_S <= now_s - each.at_s <= MAX_AGE_S:
            found[each.route, each.side][each.place[2]] = each
    return found


def _read(path: Path) -> list[Exemplar]:
    """Return the exemplars of a file; none if it is missing, damaged, or of another version."""
    with suppress(OSError, ValueError, TypeError):
        return [
            Exemplar(str(route), str(side), float(duration_s), trace_id, float(at_s))
            for route, side, duration_s, trace_id, at_s in json.loads(
                read_regular(path, _MAX_FILE_BYTES)
            )
            if _TRACE_ID.fullmatch(trace_id)
        ]
    return []
