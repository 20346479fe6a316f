"""Lists recent decisions as JSON: filtered, in order, and at most as many as the caller asked for.

Pure, except that it reads the rings and notes that somebody reads them. Rule: if a client passes `next_after`
of one response as `after` of its next request, it gets each decision once, whatever the filter and the limit.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from overgrow.observe.decision_record import MAX_ROUTE, DecisionRecord, cut_text
from overgrow.observe.decision_ring import (
    DecisionPage,
    note_watcher,
    read_decisions,
    read_newest_decisions,
)

STATUS_PATTERN = "[1-5](?:xx|XX)|[1-9][0-9][0-9]|0"  # 0: the client left before the response began
STATUS_WORDS = "a status such as 404, a class such as 5xx, or 0 for clients that left"


class DecisionFilter(NamedTuple):
    """A filter for decisions. A field that is None allows any value. `status` is a status, or a class such as 5xx."""

    route: str | None = None
    side: str | None = None
    status: str | None = None
    reason: str | None = None

    def takes(self, record: DecisionRecord) -> bool:
        """Whether a record is wanted."""
        return (
            (self.route is None or cut_text(self.route, MAX_ROUTE) == record.route)
            and self.side in (None, record.side)
            and self.reason in (None, record.reason)
            and (self.status is None or _is_status(self.status, record.status))
        )


def _is_status(wanted: str, status: int) -> bool:
    return status // 100 == int(wanted[0]) if wanted[1:].lower() == "xx" else status == int(wanted)


def is_status_filter(text: str) -> bool:
    """Whether a text is a status, or a class of statuses."""
    return re.fullmatch(STATUS_PATTERN, text, re.ASCII) is not None


class DecisionList(NamedTuple):
    """The wanted decisions, the oldest first, and the number from which the next request must continue."""

    records: tuple[DecisionRecord, ...]
    next_after: int
    missed: int  # of any kind, overwritten before they were read
    has_restarted: bool
    has_more: bool

    def as_json(self) -> dict[str, Any]:
        """Return the list as /api/decisions shows it."""
        return {
            "decisions": [record.as_json() for record in self.records],
            "next_after": self.next_after,
            "missed": self.missed,
            "restarted": self.has_restarted,
            "more": self.has_more,
        }


def list_decisions(
    folder: Path, wanted: DecisionFilter, after: int | None, limit: int
) -> DecisionList:
    """Return at most `limit` wanted decisions: the oldest of those after the number `after`.

    Without `after`, the newest.
    """
    note_watcher(folder)
    if after is None:
        return _newest(folder, wanted, limit)
    page = read_decisions(folder, after)
    chosen = tuple(filter(wanted.takes, page.records))
    if page.has_restarted:
        return DecisionList(
            chosen[-limit:], page.last_seq, 0, has_restarted=True, has_more=len(chosen) > limit
        )
    if len(chosen) > limit:
        return _first_of(page, chosen[:limit], after)
    return DecisionList(chosen, page.last_seq, page.missed, has_restarted=False, has_more=False)


def _newest(folder: Path, wanted: DecisionFilter, limit: int) -> DecisionList:
    """Return the newest of the wanted decisions by their time. Read only as much of the rings as needed."""
    page = read_newest_decisions(folder, limit + 1)
    chosen = tuple(filter(wanted.takes, page.records))
    if len(chosen) <= limit:
        page = read_newest_decisions(folder)
        chosen = tuple(filter(wanted.takes, page.records))
    has_more = len(chosen) > limit
    return DecisionList(chosen[-limit:], page.last_seq, 0, has_restarted=False, has_more=has_more)


def _first_of(page: DecisionPage, kept: tuple[DecisionRecord, ...], after: int) -> DecisionList:
    """Return the wanted decisions from the oldest on. `next_after` is the number of the last one that is returned."""
    next_after = kept[-1].seq
    read = sum(record.seq <= next_after for record in page.records)
    return DecisionList(
        kept, next_after, next_after - after - read, has_restarted=False, has_more=True
    )
