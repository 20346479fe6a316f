"""Counts the open groups of mismatches of each route under the rules of today, for the admin page.

A helper of the composition root, between the store and the rules. It reads the store at most once in
REFRESH_EVERY_S. Groups that cannot be read are left out, because the page has other things to show.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from overgrow.routing.model import Route
from overgrow.shadow.rules.cache import read_rules_bytes
from overgrow.shadow.rules.file import EVERYWHERE, parse_rules_file
from overgrow.shadow.rules.rules import Rules
from overgrow.shadow_service.service import today

REFRESH_EVERY_S = 10.0


class OpenGroupCounts:
    """The counts of open groups, read again after REFRESH_EVERY_S. `store` is the database's address, as in OVERGROW_STORE_URL."""

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
        """Return the number of open groups by route; a route without any is left out."""
        now_s = self._stopwatch()
        if self._refreshed_at_s is None or now_s - self._refreshed_at_s >= REFRESH_EVERY_S:
            self._counts = self._count_open([each for each in routes if each.shadow])
            self._refreshed_at_s = now_s
        return self._counts

    def _count_open(self, routes: list[Route]) -> Mapping[str, int]:
        if not routes:
            return {}
        from overgrow.shadow.rules.rejudge import build_coverage_check  # noqa: PLC0415  only where there is evidence
        from overgrow.store.engine import StoreError, store_url  # noqa: PLC0415  SQLAlchemy is slow
        from overgrow.store.reader import open_reader  # noqa: PLC0415  as above

        covers = {route.name: build_coverage_check(self._rules_of(route)) for route in routes}
        try:
            with open_reader(store_url(self._state, self._store)) as reader:
                groups = reader.groups()
        except (StoreError, OSError):
            return {}
        return Counter(
            group.route
            for group in groups
            if group.route in covers and not all(map(covers[group.route], group.parts))
        )

    def _rules_of(self, route: Route) -> Rules:
        return self._rules_in_file(route.shadow_compare or route.name).with_shared_rules(
            self._rules_in_file(EVERYWHERE)
        )

    def _rules_in_file(self, name: str) -> Rules:
        path = self._folder / f"{name}.yaml"
        try:
            return parse_rules_file(read_rules_bytes(path), file=path.name, today=today()).rules
        except FileNotFoundError:
            return Rules.none
        except OSError:
            return Rules(is_broken=True)
