"""The rules of each route as they stand in compare/ today, read again when a file changes.

A route has the rules of compare/NAME.yaml and, after them, those of compare/_all.yaml.

Rule: rules judge answers and never affect traffic. A file with problems gives no rules, and says so in
the log once for each state of the file. A look at the disk is taken at most once a second a file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from proxy.routing.model import Route
from proxy.shadow.rules import Rules
from proxy.shadow.rules_file import EVERYWHERE, MAX_BYTES, RulesFile, read

LOG = logging.getLogger("overgrow.shadow")
LOOK_EVERY_S = 1.0

Signature = tuple[int, int, int, int] | None


@dataclass(slots=True)
class _Page:
    """What was read of one file, when it was last looked at, and what it looked like."""

    looked_at_s: float
    signature: Signature
    day: date
    rules: Rules


class Rulebook:
    """The rules of all routes; `folder` is compare/ beside the table. It belongs to one event loop."""

    def __init__(
        self, folder: Path, *, today: Callable[[], date], stopwatch: Callable[[], float]
    ) -> None:
        self._folder = folder
        self._today = today
        self._stopwatch = stopwatch
        self._pages: dict[str, _Page] = {}
        self._together: dict[str, tuple[Rules, Rules, Rules]] = {}

    async def rules_of(self, route: Route) -> Rules:
        """The rules that apply to a route's answers today."""
        name = route.shadow_compare or route.name
        own, shared = await self._rules_in(name), await self._rules_in(EVERYWHERE)
        known = self._together.get(name)
        if known is None or known[0] is not own or known[1] is not shared:
            known = self._together[name] = (own, shared, own.followed_by(shared))
        return known[2]

    async def _rules_in(self, name: str) -> Rules:
        page, now_s = self._pages.get(name), self._stopwatch()
        if page is not None and now_s - page.looked_at_s < LOOK_EVERY_S:
            return page.rules
        path, day = self._folder / f"{name}.yaml", self._today()
        signature = signature_of(path)
        if page is not None and (page.signature, page.day) == (signature, day):
            page.looked_at_s = now_s
            return page.rules
        rules = await asyncio.to_thread(_rules_in, path, day) if signature else Rules.none
        self._pages[name] = _Page(now_s, signature, day, rules)
        return rules


def signature_of(path: Path) -> Signature:
    """What changes when a file does; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def text_of(path: Path) -> bytes:
    """The bytes of a file of rules, or as many as show that it is too large."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _rules_in(path: Path, day: date) -> Rules:
    try:
        found = read(text_of(path), file=f"compare/{path.name}", today=day)
    except OSError as error:
        LOG.warning("%s cannot be read, so no rule of it applies: %s", path, error.strerror)
        return Rules.none
    _tell(found, path)
    return found.rules


def _tell(found: RulesFile, path: Path) -> None:
    for problem in found.problems:
        LOG.warning("%s", problem)
    for each in found.expired:
        LOG.warning(
            "compare/%s:%d: %s expired on %s and no longer applies. Renew it or remove it.",
            path.name,
            each.line,
            each.title,
            each.expires.isoformat(),
        )
