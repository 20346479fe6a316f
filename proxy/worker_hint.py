"""What legacy's answers suggest and the table does not say: a note of the running front door.

Asked once a second, with what was seen meanwhile. Rule: a hint changes nothing but what is told.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from proxy.loading.problems import Problem
from proxy.routing.model import Legacy
from proxy.routing.suggested import suggested_folds


class LegacyHint:
    """The note on the legacy app of the table that runs, if there is one; it stays until that changes."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._legacy: Legacy | None = None
        self.note: Problem | None = None

    def look(self, legacy: Legacy, telling: Callable[[], bytes]) -> bool:
        """Look at what legacy's answers say of who made them; return whether the note changed."""
        former = self.note
        if legacy != self._legacy:
            self._legacy, self.note = legacy, None
        if self.note is None and not legacy.are_folds_known:
            self.note = self._note_on(telling())
        return self.note != former

    def _note_on(self, telling: bytes) -> Problem | None:
        folds = suggested_folds(telling)
        if not folds:
            return None
        name = telling.decode("latin-1")
        what = (
            f'legacy calls itself "{name}", as apps do that take other spellings for the same path'
        )
        fix = f"Write folds: [{', '.join(folds)}] below legacy, or folds: [] if it does not."
        return Problem("legacy-folds", str(self._config), 1, 1, None, what, fix)
