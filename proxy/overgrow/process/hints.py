"""Notes of the running front door about legacy: its responses suggest something that the table does not mention.

Once a second, the front door checks what the responses so far have shown. Rule: a hint of this kind changes
only the notes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from overgrow.routing.fold_hints import suggested_folds
from overgrow.routing.model import Legacy
from overgrow.yaml_file.problem import Problem


class LegacyTraits(NamedTuple):
    """What requests to legacy have shown: the software behind it, and whether users log in over shared connections."""

    maker: bytes
    shares_logins: bool


class LegacyHints:
    """The notes on the legacy app of the current table. They stay until the settings of this app change."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._legacy: Legacy | None = None
        self._notes: dict[str, Problem] = {}

    @property
    def notes(self) -> list[Problem]:
        """The notes, in the order in which they came."""
        return list(self._notes.values())

    def update(self, legacy: Legacy, traits: Callable[[], LegacyTraits]) -> list[Problem] | None:
        """Check what legacy's responses show. Return the new notes; None if the notes are the same as before."""
        former = self._notes
        if legacy != self._legacy:
            self._legacy, self._notes = legacy, {}
        found = self._find_notes(legacy, traits())
        new = [note for note in found if note.code not in self._notes]
        self._notes = {**{note.code: note for note in new}, **self._notes}
        return new if self._notes != former else None

    def _find_notes(self, legacy: Legacy, traits: LegacyTraits) -> list[Problem]:
        folds = () if legacy.are_folds_known else suggested_folds(traits.maker)
        notes = [self._folds_note(traits.maker, folds)] if folds else []
        return [*notes, self._login_note()] if traits.shares_logins else notes

    def _folds_note(self, maker: bytes, folds: tuple[str, ...]) -> Problem:
        name = maker.decode("latin-1")
        what = f'legacy says that it is "{name}"; such apps accept other spellings of the same path'
        fix = f"Write folds: [{', '.join(folds)}] below legacy, or folds: [] if it does not."
        return self._note("legacy-folds", what, fix)

    def _login_note(self) -> Problem:
        what = (
            "legacy logs users in per connection (NTLM or Negotiate), and some users come through a proxy whose "
            "connections are shared: there a login lasts for one request, so Negotiate in one leg works and NTLM fails"
        )
        fix = "Let those users connect without a proxy that reads HTTP; one that forwards TCP is fine."
        return self._note("login-behind-a-pool", what, fix)

    def _note(self, code: str, what: str, fix: str) -> Problem:
        return Problem(code, str(self._config), 1, 1, None, what, fix)
