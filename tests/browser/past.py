"""Two hours that have passed, for pictures: requests of every route in the store, and the flips that moved them.

What is written goes through the writer of the front door's own history, in steps of ten seconds, and the journal of flips.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from operator import add
from pathlib import Path
from typing import NamedTuple

from overgrow.observe.metrics import BUCKETS_S
from overgrow.store.engine import store_url
from overgrow.store.history.packing import Counts
from overgrow.store.history.pending import WINDOW_S, Place
from overgrow.store.history.writer import HistoryWriter
from overgrow.table.editing.history import append, lock_history
from overgrow.text import rfc3339

LENGTH_S = 7200
SIZE = len(BUCKETS_S) + 2
QUICK, SLOW = (1, 1, 2, 3), (2, 3, 3, 4)  # buckets of the answers
PER_WINDOW = {  # requests in ten seconds
    "product-list": 14,
    "product-detail": 22,
    "api-products": 9,
    "api-product-detail": 12,
    "orders": 4,
    "order-detail": 6,
    "default": 18,
}


class Flip(NamedTuple):
    """A flip of the past: how long ago, of which route, between what, and why."""

    ago_s: int
    route: str
    before: str
    after: str
    who: str
    why: str


FLIPS = (
    Flip(6300, "product-list", "legacy", "10%", "ada", "a tenth first, over lunch"),
    Flip(5100, "product-list", "10%", "50%", "ada", "no errors in 1,400 requests"),
    Flip(3900, "product-list", "50%", "migrated", "ada", "gate passed, agreed with support"),
    Flip(2700, "product-detail", "legacy", "50%", "grace", "the page shares its queries with the list"),
    Flip(2250, "product-detail", "50%", "legacy", "grace", "prices were rounded: ticket 4711"),
    Flip(900, "product-detail", "legacy", "25%", "grace", "rounding is fixed, once more"),
)  # fmt: skip


class PastTotals:
    """The counters of a front door as they were at each moment of these hours."""

    size = SIZE

    def __init__(self, end_s: float) -> None:
        self._end_s, self._chance = end_s, random.Random(4711)
        self._totals: dict[Place, Counts] = {}
        self._changed: dict[Place, Counts] = {}

    def pass_window(self, at_s: float) -> None:
        """Let ten seconds of traffic pass, more of it in the middle of the time than at its ends."""
        ago_s = self._end_s - at_s
        busy = 1.3 - abs(ago_s / LENGTH_S - 0.45)
        self._changed = {}
        for route, usual in PER_WINDOW.items():
            count = round(usual * busy * self._chance.uniform(0.75, 1.25))
            moved = sum(self._chance.random() < share_of(route, ago_s) for _ in range(count))
            for side, requests in (("legacy", count - moved), ("migrated", moved)):
                if requests:
                    self._count(route, side, requests)
        self._totals |= self._changed

    def _count(self, route: str, side: str, requests: int) -> None:
        counts = [0] * SIZE
        for bucket in self._chance.choices(QUICK if side == "migrated" else SLOW, k=requests):
            counts[bucket + 1] += 1
        counts[0] = sum(self._chance.random() < 0.004 for _ in range(requests))
        before = self._totals.get((route, side), (0,) * SIZE)
        self._changed[route, side] = tuple(map(add, before, counts))

    def read_changes(self) -> dict[Place, Counts]:
        """Return the totals that changed in this window."""
        return self._changed

    def read_all(self) -> dict[Place, Counts]:
        """Return all totals."""
        return self._totals


def share_of(route: str, ago_s: float) -> float:
    """The share of a route's requests that migrated served so long ago."""
    targets = [each.after for each in FLIPS if each.route == route and each.ago_s >= ago_s]
    target = targets[-1] if targets else "legacy"
    shares = {"legacy": 0.0, "migrated": 1.0}
    return shares[target] if target in shares else float(target.rstrip("%")) / 100


def write_past(state: Path) -> None:
    """Write requests and flips of the last two hours into a state folder that no front door uses yet."""
    state.mkdir(exist_ok=True)
    end_s = time.time()
    writer = HistoryWriter(store_url(state, None), "past", is_new=True)
    totals = PastTotals(end_s)
    for at_s in _windows(end_s):
        totals.pass_window(at_s)
        assert writer.record(totals, at_s, at_s), writer.problem
    writer.disconnect()
    with lock_history(state) as journal:
        for flip in FLIPS:
            append(state, journal, _entry(flip, end_s))


def _windows(end_s: float) -> Iterator[float]:
    at_s = end_s - LENGTH_S
    while at_s < end_s:
        yield at_s
        at_s += WINDOW_S


def _entry(flip: Flip, end_s: float) -> dict[str, object]:
    return {
        "at": rfc3339(end_s - flip.ago_s),
        "who": f"{flip.who} (admin page, from 127.0.0.1)",
        "action": "flip",
        "route": flip.route,
        "from": flip.before,
        "to": flip.after,
        "why": flip.why,
    }
