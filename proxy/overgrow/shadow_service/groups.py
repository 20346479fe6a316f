"""Counts the open groups of mismatches of each route under the rules of today, for the admin page.

A helper of the composition root, between the store and the rules. It reads the store at most once in
REFRESH_EVERY_S. If the store cannot be read, the counts are left out, because the page has other things to
show.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from overgrow.routing.model import Route
from overgrow.shadow.review.judged_groups import judge_groups
from overgrow.shadow.review.review import MAX_GROUPS
from overgrow.shadow.review.rules_folder import TolerantRulesFolder, compare_names
from overgrow.shadow_service.service import today

REFRESH_EVERY_S = 10.0


class OpenGroupCounts:
    """The counts of open groups, refreshed after REFRESH_EVERY_S.

    `store` is the database's address, as in OVERGROW_STORE_URL.
    """

    def __init__(
        self,
        folder: Path,
        state: Path,
        store: str | None,
        *,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._state = state
        self._store = store
        self._stopwatch = stopwatch
        self._refreshed_at_s: float | None = None
        self._counts: Mapping[str, int] = {}

    def counts(self, routes: Iterable[Route]) -> Mapping[str, int]:
        """Return the number of open groups of each route. Routes without open groups are left out."""
        now_s = self._stopwatch()
        if self._refreshed_at_s is None or now_s - self._refreshed_at_s >= REFRESH_EVERY_S:
            self._counts = self._count_open([each for each in routes if each.shadow])
            self._refreshed_at_s = now_s
        return self._counts

    def _count_open(self, routes: list[Route]) -> Mapping[str, int]:
        if not routes:
            return {}
        from overgrow.store.engine import StoreError, store_url  # noqa: PLC0415  SQLAlchemy is slow
        from overgrow.store.reader import open_reader  # noqa: PLC0415  as above

        folder = TolerantRulesFolder(self._folder, compare_names(routes), today(), _ignore_note)
        names = {each.name for each in routes}
        try:
            with open_reader(store_url(self._state, self._store)) as reader:
                groups = reader.stored_groups(None, MAX_GROUPS).groups
        except (StoreError, OSError):
            return {}
        judged = judge_groups([each for each in groups if each.route in names], folder.rules)
        return Counter(each.group.route for each in judged if each.is_open)


def _ignore_note(_: str) -> None:
    """Ignore a note on a rules file, because the log and the page of differences show it."""
