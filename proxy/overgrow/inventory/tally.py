"""Counts the requests of logs by path, in bounded memory.

At most MAX_PATHS paths are kept. When there are more, paths that were only ever answered "not found", as a scanner's
are, are dropped first, then the rarest of the others; their requests stay counted in `dropped`.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from overgrow.inventory.callers import caller_kind
from overgrow.inventory.logs.log_line import LogLine
from overgrow.inventory.path_count import (
    PathCount,
    client_bit,
    duration_bucket,
)
from overgrow.routing.path_template import template_of

MAX_PATHS = 30_000
MAX_PATH_BYTES = 1_000
MAX_REMEMBERED = 50_000  # raw paths, agents, clients
MAX_REMEMBERED_LENGTH = 200
_NOT_FOUND = frozenset({400, 404, 405, 410})


class Tally:
    """The counts of all paths. `changed` and `removed` are what the store does not have yet."""

    def __init__(self, counts: Iterable[PathCount] = (), dropped: int = 0) -> None:
        self.paths = {each.path: each for each in counts}
        self.dropped = dropped  # requests of paths that are no longer kept
        self.removed: set[str] = set()
        self._by_target: dict[bytes, PathCount] = {}
        self._agents: dict[bytes, str] = {}
        self._clients: dict[bytes, int] = {}

    def count(self, line: LogLine) -> None:
        """Count one request."""
        method, target, status, client, at, duration_s, size, agent = line
        raw = target.partition(b"?")[0]
        found = self._by_target.get(raw) or self._find(raw)
        found.requests += 1
        kind = (method, status)
        by = found.by
        if kind in by:
            by[kind] += 1
        else:
            found.count_kind(kind, 1)
        found.client_bits |= self._clients.get(client) or self._client_bit(client)
        found.bytes += size
        caller = self._agents.get(agent) or self._caller(agent)
        found.callers[caller] = found.callers.get(caller, 0) + 1
        if at is not None:
            if at >= found.last_at:
                found.last_at, found.last_caller = at, caller
            found.first_at = min(found.first_at, at)
        if duration_s is not None:
            durations = found.durations
            if durations is None:
                durations = found.durations = {}
            bucket = duration_bucket(duration_s)
            durations[bucket] = durations.get(bucket, 0) + 1
        found.is_changed = True

    def take_changed(self) -> tuple[list[PathCount], set[str]]:
        """Return the paths to store and the paths to delete since the last call."""
        changed = [each for each in self.paths.values() if each.is_changed]
        for each in changed:
            each.is_changed = False
        removed, self.removed = self.removed, set()
        return changed, removed - self.paths.keys()

    def _find(self, raw: bytes) -> PathCount:
        """Return the counts of a raw path, and remember them for equal paths."""
        path, example = template_of_raw(raw)
        found = self.paths.get(path)
        if found is None:
            if len(self.paths) >= MAX_PATHS:
                self._drop()
            found = self.paths[path] = PathCount(path, example)
        if len(raw) <= MAX_REMEMBERED_LENGTH:
            if len(self._by_target) >= MAX_REMEMBERED:
                self._by_target.clear()
            self._by_target[raw] = found
        return found

    def _client_bit(self, client: bytes) -> int:
        if len(self._clients) >= MAX_REMEMBERED:
            self._clients.clear()
        bit = self._clients[client[:MAX_REMEMBERED_LENGTH]] = client_bit(client)
        return bit

    def _caller(self, agent: bytes) -> str:
        if len(self._agents) >= MAX_REMEMBERED:
            self._agents.clear()
        kind = self._agents[agent[:MAX_REMEMBERED_LENGTH]] = caller_kind(agent)
        return kind

    def _drop(self) -> None:
        """Drop a fifth of the paths: those that were never found first, then the rarest."""
        ordered = sorted(
            self.paths.values(), key=lambda each: (not is_never_found(each), each.requests)
        )
        for each in ordered[: MAX_PATHS // 5]:
            self.dropped += each.requests
            self.removed.add(each.path)
            del self.paths[each.path]
        self._by_target.clear()


def is_never_found(count: PathCount) -> bool:
    """Return whether no request for the path was answered with anything but "not found" and the like."""
    return all(status in _NOT_FOUND for _, status in count.by)


def template_of_raw(raw: bytes) -> tuple[str, str]:
    """Return the template of a path as the log has it, and an example without secrets."""
    path = (
        unquote_to_bytes(raw).decode("utf-8", "replace")
        if b"%" in raw
        else raw.decode("utf-8", "replace")
    )
    template, example = template_of(path)
    if len(template.encode("utf-8", "replace")) <= MAX_PATH_BYTES:
        return template, example
    start = template[: MAX_PATH_BYTES // 8].rpartition("/")[
        0
    ]  # UTF-8 has at most four bytes a character
    return f"{start}/<path:rest>", f"{start}/<path:rest>"
