"""The busiest paths that no route takes, as templates: what is still to be routed.

Each worker keeps at most MOST templates in a file of its slot; a reader adds up all slots. When there are more,
a worker drops the rarest templates and remembers the highest count that a dropped template can have had. Each
count is therefore exact, or its error is known. This is the space-saving algorithm: every template outside the
list has had at most that highest count.

Counts are kept for one to two times PERIOD_S, also across restarts. If a worker is killed, the last seconds are
missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from overgrow.caches.bounded_cache import BoundedCache
from overgrow.files import Signature, read_regular, signature_of
from overgrow.routing.facts import path_of
from overgrow.routing.path_template import PathTemplate, template_of

MOST = 500  # templates of one worker that survive when it drops the rarest ones
PERIOD_S = 7 * 86_400
MAX_FILE_BYTES = 4 << 20
MAX_NAMES = 12  # methods of one template
MAX_METHOD = 20  # characters
WRITE_BYTES_PER_S = 20_000  # a large file is written less often
_VERSION = 1
_CURRENT, _FORMER = "unrouted_{}.json", "unrouted_{}.former"
_OTHER = "other"
_NOT_FOUND, _ERROR = frozenset({404, 410}), 500


class UnroutedRequest(NamedTuple):
    """The counted part of an unrouted request. Requests with equal values are counted together."""

    method: str
    path: bytes  # without query
    status: int


@dataclass(slots=True)
class TemplateCount:
    """The requests of one template."""

    requests: int = 0
    missed: int = 0  # at most so many were dropped before this template was kept again
    not_found: int = 0  # of the requests, those that legacy answered with 404 or 410
    errors: int = 0  # of the requests, those answered 5xx, or not at all
    methods: dict[str, int] = field(default_factory=dict)
    example: str = ""
    first_s: float = 0.0
    last_s: float = 0.0

    @property
    def most(self) -> int:
        """The highest number of requests that there can have been."""
        return self.requests + self.missed

    def count(self, request: UnroutedRequest, times: int, now_s: float) -> None:
        """Count requests."""
        self.requests += times
        self.last_s = now_s
        if request.status in _NOT_FOUND:
            self.not_found += times
        elif request.status >= _ERROR or not request.status:
            self.errors += times
        self._add_method(request.method[:MAX_METHOD], times)

    def add(self, other: TemplateCount) -> None:
        """Add the requests that another worker counted."""
        self.requests += other.requests
        self.missed += other.missed
        self.not_found += other.not_found
        self.errors += other.errors
        for method, count in other.methods.items():
            self._add_method(method, count)
        if other.last_s >= self.last_s:
            self.last_s, self.example = other.last_s, other.example or self.example
        self.first_s = min(self.first_s or other.first_s, other.first_s)

    def _add_method(self, method: str, count: int) -> None:
        if method not in self.methods and len(self.methods) >= MAX_NAMES:
            method = _OTHER
        self.methods[method] = self.methods.get(method, 0) + count


@dataclass(slots=True)
class UnroutedCounts:
    """The templates of one worker, or of all."""

    began_s: float
    requests: int = 0  # all that no route took
    unread: int = 0  # of the requests, those that are not listed by path
    overflow: int = (
        0  # of the unread, those with too many different paths at once: any template may be theirs
    )
    dropped_most: int = 0  # a template that is missing had at most so many requests
    templates: dict[str, TemplateCount] = field(default_factory=dict)

    def count(
        self, template: PathTemplate, request: UnroutedRequest, times: int, now_s: float
    ) -> None:
        """Count requests of one template."""
        found = self.templates.get(template.template)
        if found is None:
            found = TemplateCount(missed=self.dropped_most, first_s=now_s)
            self.templates[template.template] = found
        found.count(request, times, now_s)
        found.example = template.example
        if len(self.templates) > 2 * MOST:
            self._drop_rarest()

    def _drop_rarest(self) -> None:
        ordered = sorted(self.templates.items(), key=lambda item: item[1].most, reverse=True)
        self.templates = dict(ordered[:MOST])
        self.dropped_most = max(self.dropped_most, ordered[MOST][1].most)

    def add(self, other: UnroutedCounts) -> None:
        """Add what another worker counted."""
        for name, found in self.templates.items():
            if name not in other.templates:
                found.missed += other.dropped_most
        for name, theirs in other.templates.items():
            found = self.templates.setdefault(name, TemplateCount(missed=self.dropped_most))
            found.add(theirs)
        self.began_s = min(self.began_s, other.began_s)
        self.requests += other.requests
        self.unread += other.unread
        self.overflow += other.overflow
        self.dropped_most += other.dropped_most

    @property
    def missing_at_most(self) -> int:
        """The highest number of requests that a template outside the list can have had."""
        return self.dropped_most + self.overflow

    def busiest(self) -> list[tuple[str, TemplateCount]]:
        """Return the templates, the busiest first."""
        return sorted(self.templates.items(), key=lambda item: (-item[1].requests, item[0]))


class UnroutedFile:
    """The file of one worker's counts. Its methods call the file system; only one thread at a time may call them."""

    def __init__(self) -> None:
        self._counts: UnroutedCounts | None = None
        self._place: Path | None = None
        self._templates: BoundedCache[bytes, PathTemplate | None] = BoundedCache(
            _template_of_bytes, max_entries=2048, max_length=100
        )
        self._is_written = True
        self._written_s = self._next_write_s = 0.0

    @property
    def has_unwritten(self) -> bool:
        """Whether some counted requests are still missing in the file."""
        return not self._is_written

    def add(
        self,
        folder: Path,
        slot: int,
        counted: Mapping[UnroutedRequest, int],
        overflow: int,
        now_s: float,
    ) -> None:
        """Count requests and write the file. If the file was written a moment ago, leave the writing to a later call.

        Raises:
            OSError: if the file cannot be read or written.

        """
        counts = self._open(folder, slot, now_s)
        counts.requests += sum(counted.values()) + overflow
        counts.unread += overflow
        counts.overflow += overflow
        for request, times in counted.items():
            template = self._templates[request.path]
            if template is None:
                counts.unread += times
            else:
                counts.count(template, request, times, now_s)
        self._is_written = self._is_written and not counted and not overflow
        if not self._written_s <= now_s < self._next_write_s:
            self.write(now_s)

    def write(self, now_s: float) -> None:
        """Write the counts that are still missing in the file."""
        if self._is_written or self._counts is None or self._place is None:
            return
        data = json.dumps(
            {"version": _VERSION, **asdict(self._counts)}, separators=(",", ":")
        ).encode()
        draft = self._place.with_suffix(".new")
        draft.write_bytes(data)
        draft.replace(self._place)
        self._is_written = True
        self._written_s = now_s
        self._next_write_s = now_s + len(data) / WRITE_BYTES_PER_S

    def _move_to(self, place: Path, now_s: float) -> None:
        """Continue the counts in the file at `place`.

        If this file is in another folder, add the counts so far to it.
        """
        former, former_place = self._counts, self._place
        if former is not None and former_place is not None and former_place.parent == place.parent:
            with suppress(OSError):
                self.write(now_s)  # of another slot: readers add it up
            former = None
        self._counts, self._place = _read(place), place
        if former is not None:
            self._counts = self._counts or UnroutedCounts(former.began_s)
            self._counts.add(former)
            self._is_written = False

    def _open(self, folder: Path, slot: int, now_s: float) -> UnroutedCounts:
        """Return the counts in the slot's file. If the file is missing, unusable or too old, return new counts."""
        place = folder / _CURRENT.format(slot)
        if place != self._place:
            self._move_to(place, now_s)
        if self._counts is not None and abs(now_s - self._counts.began_s) > PERIOD_S:
            with suppress(OSError):  # on a full disk the period goes on
                self._end_period(place, folder / _FORMER.format(slot), now_s)
        if self._counts is None:
            self._counts = UnroutedCounts(now_s)
        return self._counts

    def _end_period(self, place: Path, former: Path, now_s: float) -> None:
        self._is_written = False
        self.write(now_s)
        place.replace(former)
        self._counts = None


def read_unrouted(folder: Path, now_s: float) -> UnroutedCounts | None:
    """Return the counts of all workers together; None if there are none. Counts older than two periods are left out."""
    paths = [path for name in (_CURRENT, _FORMER) for path in sorted(folder.glob(name.format("*")))]
    read = (_read_unless_same(path, signature_of(path)) for path in paths)
    found = [counts for counts in read if counts is not None]
    fresh = [counts for counts in found if now_s - counts.began_s <= 2 * PERIOD_S]
    if not fresh:
        return None
    whole = UnroutedCounts(min(map(attrgetter("began_s"), fresh)))
    for counts in fresh:
        whole.add(counts)
    return whole


def _read(path: Path) -> UnroutedCounts | None:
    """Return the counts in a file; None if it is missing, damaged or of another version."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        fields = json.loads(read_regular(path, MAX_FILE_BYTES))
        if fields.pop("version") == _VERSION:
            rows = fields.pop("templates").items()
            templates = {name: TemplateCount(**each) for name, each in rows}
            return UnroutedCounts(**fields, templates=templates)
    return None


@lru_cache(maxsize=16)  # a pure memo: an open page asks every two seconds
def _read_unless_same(path: Path, _signature: Signature) -> UnroutedCounts | None:
    """Like `_read`, but read a file again only if its signature has changed. The caller must not change the counts."""
    return _read(path)


def _template_of_bytes(path: bytes) -> PathTemplate | None:
    """Return the template of a path as the client sent it; None if the path has more than one reading."""
    decoded = path_of(path)
    return None if decoded is None else template_of(decoded)
