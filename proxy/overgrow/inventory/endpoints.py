"""The endpoints of legacy: observed paths grouped into templates, with what people and the table say about them.

Pure. Truth goes before inference: a path that fits a route of the table, or a template that a person decided about,
belongs to it, and only the other paths are grouped by statistics. A path that was only asked for in vain, or by fewer
than three clients without a success, is a scanner's: it makes no template and is counted apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from overgrow.inventory.path_count import PathCount
from overgrow.inventory.tally import is_never_found
from overgrow.inventory.templating import is_variable, templates_of

STATES = ("review", "confirmed", "ignored")
MIN_CLIENTS = 3
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class EndpointDecision(NamedTuple):
    """What is known about a template, and from whom: a person or the table."""

    state: str
    source: str  # person, table
    route: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class InventoryEndpoint:
    """One endpoint: a template, and the sum of what was counted of its paths."""

    template: str
    decision: EndpointDecision
    count: PathCount
    paths: int  # observed paths that the template stands for

    @property
    def writes(self) -> int:
        """The requests with a method that may change something."""
        return sum(times for method, times in self.count.methods.items() if method not in _SAFE)

    @property
    def errors(self) -> int:
        """The requests that were answered with 5xx."""
        return sum(times for status, times in self.count.statuses.items() if status >= 500)


@dataclass(frozen=True, slots=True)
class Inventory:
    """All endpoints, the busiest first, and the requests and paths that make none."""

    endpoints: tuple[InventoryEndpoint, ...]
    junk_paths: int
    junk_requests: int


_UNKNOWN = EndpointDecision("review", "traffic")


def inventory_of(counts: Iterable[PathCount], known: Mapping[str, EndpointDecision]) -> Inventory:
    """Return the endpoints; `known` has the templates that the table or people know."""
    every = list(counts)
    tree = KnownTemplates(known)
    sums: dict[str, PathCount] = {}
    sizes: dict[str, int] = {}
    free: dict[str, PathCount] = {}
    junk: list[PathCount] = []
    for each in every:
        template = tree.find(each.path)
        if template is not None:
            _add(sums, sizes, template, each)
        elif is_junk(each):
            junk.append(each)
        else:
            free[each.path] = each
    grouped = templates_of({path: each.requests for path, each in free.items()})
    for path, template in grouped.items():
        _add(sums, sizes, template, free[path])
    for template in known.keys() - sums.keys():
        sums[template], sizes[template] = PathCount(template, ""), 0
    endpoints = [
        InventoryEndpoint(template, known.get(template, _UNKNOWN), count, sizes[template])
        for template, count in sums.items()
    ]
    endpoints.sort(key=lambda each: (-each.count.requests, each.template))
    return Inventory(tuple(endpoints), len(junk), sum(each.requests for each in junk))


def _add(
    sums: dict[str, PathCount], sizes: dict[str, int], template: str, count: PathCount
) -> None:
    whole = sums.get(template)
    if whole is None:
        whole = sums[template] = PathCount(template, count.example)
    whole.add(count)
    sizes[template] = sizes.get(template, 0) + 1


def is_junk(count: PathCount) -> bool:
    """Return whether a path shows no endpoint: nobody got an answer, or few asked and none succeeded."""
    if any(status < 400 for _, status in count.by):
        return False
    return count.clients < MIN_CLIENTS or is_never_found(count)


class KnownTemplates:
    """Finds the known template of a path: text before variables, segment by segment from the left."""

    def __init__(self, templates: Iterable[str]) -> None:
        self._ends: dict[tuple[str, ...], str] = {}
        for template in templates:
            key = tuple(_key_of(each) for each in template.split("/")[1:])
            self._ends.setdefault(key, template)
        self._starts = {key[:length] for key in self._ends for length in range(len(key) + 1)}

    def find(self, path: str) -> str | None:
        """Return the template that a path belongs to; None if no known template fits."""
        waiting: list[tuple[tuple[str, ...], int]] = [((), 0)]
        segments = path.split("/")[1:]
        while waiting:
            key, at = waiting.pop()
            if at == len(segments):
                if key in self._ends:
                    return self._ends[key]
                continue
            rest = (*key, _REST)
            if rest in self._ends:
                waiting.append((rest, len(segments)))
            steps = ((*key, _ANY), (*key, segments[at]))  # the last is tried first
            waiting += [(step, at + 1) for step in steps if step in self._starts]
        return None


_ANY, _REST = "<>", "<path:>"


def _key_of(segment: str) -> str:
    if not is_variable(segment):
        return segment
    return _REST if segment.startswith("<path:") else _ANY
