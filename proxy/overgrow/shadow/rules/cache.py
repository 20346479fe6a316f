"""Caches the current rules of each route from compare/. If a file changes, it is read again.

A route has the rules of compare/NAME.yaml, followed by those of compare/_all.yaml.

Rule: rules judge responses and never affect traffic. If a file has problems, none of its rules apply, and the
log reports this once for each state of the file. Each file is checked at most once a second. If a file is
written in place and may be incomplete, the previous rules stay in force until nobody has written to it for 3 s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

from overgrow.files import ANSWER_S, Signature, read_regular, signature_of
from overgrow.files.thread import FileThread
from overgrow.routing.model import Route
from overgrow.shadow.rules.file import EVERYWHERE, MAX_BYTES, RulesFile, parse_rules_file
from overgrow.shadow.rules.rules import Rules

LOG = logging.getLogger("overgrow.shadow")
REFRESH_EVERY_S = 1.0
STABLE_AFTER_S = 3.0  # seconds, as for the table


class _LoadedRules(NamedTuple):
    """The content of a file. If it cannot be read, `why_not` says why."""

    file: RulesFile = RulesFile(Rules.none)
    ends_line: bool = True
    why_not: str = ""

    @property
    def entry_count(self) -> int:
        """Return the number of rules, and of paths that are shown without redaction. Expired rules count too."""
        listed = (self.file.rules.rules, self.file.shown, self.file.expired)
        return sum(len(each) for each in listed)

    def may_be_beginning_of_file(self, before: _LoadedRules) -> bool:
        """Return whether this content may be incomplete.

        It may be if it has problems, no last line end, or fewer entries than `before`.
        """
        return (
            bool(self.file.problems) or not self.ends_line or self.entry_count < before.entry_count
        )


@dataclass(slots=True)
class _CacheEntry:
    """The content of one file, the time of the last check, and the file's signature at that time."""

    refreshed_at_s: float
    signature: Signature
    day: date
    found: _LoadedRules
    changed: Signature = None  # the new signature of a file that may be incomplete
    changed_at_s: float = 0.0

    @property
    def rules(self) -> Rules:
        """The rules that apply."""
        return self.found.file.rules

    def record_change_and_check_settling(
        self, signature: Signature, found: _LoadedRules, now_s: float
    ) -> bool:
        """Remember when a file changed.

        Return whether somebody may still be writing it, so that `found` may be incomplete.
        """
        if self.changed != signature:
            self.changed, self.changed_at_s = signature, now_s
        is_renamed = self.signature and signature and self.signature[:2] != signature[:2]
        if is_renamed or now_s - self.changed_at_s >= STABLE_AFTER_S:
            return False
        return found.may_be_beginning_of_file(self.found)


class RulesCache:
    """The rules of all routes; `folder` is compare/ beside the table. One event loop owns it."""

    def __init__(
        self,
        folder: Path,
        *,
        today: Callable[[], date],
        stopwatch: Callable[[], float],
        patience_s: float = ANSWER_S,
    ) -> None:
        self._folder = folder
        self._today = today
        self._stopwatch = stopwatch
        self._patience_s = patience_s
        self._files = FileThread("rules")
        self._refreshes: dict[str, asyncio.Future[Rules]] = {}
        self._reported_silent: set[str] = set()  # files that cannot be checked, and are logged
        self._entries: dict[str, _CacheEntry] = {}
        self._merged: dict[str, tuple[Rules, Rules, Rules]] = {}

    async def rules_of(self, route: Route) -> Rules:
        """Return the rules that apply to a route's responses today."""
        name = route.shadow_compare or route.name
        own, shared = await self._rules_in_file(name), await self._rules_in_file(EVERYWHERE)
        known = self._merged.get(name)
        if known is None or known[0] is not own or known[1] is not shared:
            known = self._merged[name] = (own, shared, own.with_shared_rules(shared))
        return known[2]

    async def _rules_in_file(self, name: str) -> Rules:
        entry = self._entries.get(name)
        if entry is not None and self._stopwatch() - entry.refreshed_at_s < REFRESH_EVERY_S:
            return entry.rules
        refresh = self._refreshes.get(name)
        if refresh is None or refresh.done():
            refresh = self._refreshes[name] = asyncio.ensure_future(self._refresh_file(name))
        done, _ = await asyncio.wait({refresh}, timeout=self._patience_s)
        if not done:
            return self._last_known_rules(name)
        return refresh.result()

    async def _refresh_file(self, name: str) -> Rules:
        """Check a file in a thread of its own, and read it if it changed."""
        path, day, entry = self._folder / f"{name}.yaml", self._today(), self._entries.get(name)
        now_s, signature = self._stopwatch(), await self._files.call(signature_of, path)
        if entry is None or (entry.signature, entry.day) != (signature, day):
            found = await self._files.call(_load_rules, path, day) if signature else _LoadedRules()
            if (
                entry is None
                or signature is None
                or not entry.record_change_and_check_settling(signature, found, now_s)
            ):
                entry = self._entries[name] = _CacheEntry(now_s, signature, day, found)
                _log_problems(found, path)
        entry.refreshed_at_s = now_s
        self._reported_silent.discard(name)
        return entry.rules

    def _last_known_rules(self, name: str) -> Rules:
        """Return the previous rules, because the file system does not answer. Log this once."""
        if name not in self._reported_silent:
            self._reported_silent.add(name)
            what = "%s cannot be read in time: the rules that were read last stay in force, if there are any"
            LOG.warning(what, self._folder / f"{name}.yaml")
        entry = self._entries.get(name)
        return entry.rules if entry is not None else Rules.none


def read_rules_bytes(path: Path) -> bytes:
    """Return the bytes of a rules file. If the file is too large, return only enough bytes to show this."""
    return read_regular(path, MAX_BYTES + 1)


def _load_rules(path: Path, day: date) -> _LoadedRules:
    try:
        text = read_rules_bytes(path)
    except OSError as error:
        return _LoadedRules(RulesFile(Rules(is_broken=True)), why_not=error.strerror or str(error))
    file = parse_rules_file(text, file=f"compare/{path.name}", today=day)
    return _LoadedRules(file, text.endswith(b"\n"))


def _log_problems(found: _LoadedRules, path: Path) -> None:
    if found.why_not:
        LOG.warning("%s cannot be read, so none of its rules apply: %s", path, found.why_not)
    for problem in found.file.problems:
        LOG.warning("%s", problem)
    for each in found.file.expired:
        LOG.warning(
            "compare/%s:%d: %s expired on %s and no longer applies. Renew it or remove it.",
            path.name,
            each.line,
            each.title,
            each.expires.isoformat(),
        )
