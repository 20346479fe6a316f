"""The split: how each route's requests fell on the two sides, with errors and the median latency of each.

Pure: samples in, figures out. Counts are totals since the metrics folder was made. The median is read from
histogram buckets by linear interpolation inside the bucket that holds the middle request, as PromQL's
histogram_quantile does it: exact to the width of that bucket, no better. Above the last bound it is that bound.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from proxy.routing.model import Route

DEFAULT = "default"  # the name under which requests that no route took are counted


class _Sample(NamedTuple):
    """The part of prometheus_client's Sample that is looked at here."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class SideFigures:
    """One side of one route."""

    requests: int = 0
    errors: int = 0
    median_s: float | None = None  # None without requests


@dataclass(frozen=True, slots=True)
class RouteSplit:
    """One route's figures. `route` is None for "default" and for names no longer in the table."""

    name: str
    route: Route | None
    legacy: SideFigures = SideFigures()
    migrated: SideFigures = SideFigures()
    other: int = 0  # answered by neither: gone and refused

    @property
    def requests(self) -> int:
        """All requests the route took."""
        return self.legacy.requests + self.migrated.requests + self.other

    @property
    def errors(self) -> int:
        """Errors of both sides."""
        return self.legacy.errors + self.migrated.errors

    @property
    def live_share(self) -> float | None:
        """Percent of the served requests that migrated served, two decimals; None when there were none."""
        served = self.legacy.requests + self.migrated.requests
        return round(100 * self.migrated.requests / served, 2) if served else None

    @property
    def target(self) -> str | None:
        """Where the table sends it: "default" is legacy's; None for a name no longer in the table."""
        if self.route:
            return self.route.target
        return "legacy" if self.name == DEFAULT else None


def split(samples: Iterable[Any], routes: Sequence[Route]) -> tuple[RouteSplit, ...]:
    """The figures of each route in order, then of "default", then of retired names that have counts."""
    figures = _Figures(samples)
    known = {route.name: route for route in routes}
    retired = sorted(figures.names - known.keys() - {DEFAULT})
    names = dict.fromkeys((*known, DEFAULT, *retired))
    return tuple(figures.of(name, known.get(name)) for name in names)


class _Figures:
    """The samples sorted by route and side."""

    def __init__(self, samples: Iterable[_Sample]) -> None:
        self._requests: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._errors: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._buckets: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        for sample in samples:
            place = (sample.labels.get("route", ""), sample.labels.get("side", ""))
            if sample.name == "overgrow_requests_total":
                self._requests[place] += sample.value
            elif sample.name == "overgrow_errors_total":
                self._errors[place] += sample.value
            elif sample.name == "overgrow_request_seconds_bucket":
                self._buckets[place].append((float(sample.labels["le"]), sample.value))
        self.names = {name for name, _ in self._requests}

    def of(self, name: str, route: Route | None) -> RouteSplit:
        other = sum(self._requests.get((name, side), 0.0) for side in ("gone", "refused"))
        return RouteSplit(
            name, route, self._side(name, "legacy"), self._side(name, "migrated"), int(other)
        )

    def _side(self, name: str, side: str) -> SideFigures:
        place = (name, side)
        requests, errors = self._requests.get(place, 0.0), self._errors.get(place, 0.0)
        return SideFigures(int(requests), int(errors), median(self._buckets.get(place, [])))


def median(buckets: Iterable[tuple[float, float]]) -> float | None:
    """The median of a cumulative histogram, (upper bound, count so far) in any order."""
    ordered = sorted(buckets)
    if not ordered or not ordered[-1][1]:
        return None
    middle = ordered[-1][1] / 2
    below_bound, below_count = 0.0, 0.0
    for bound, count in ordered:
        if count >= middle:
            if bound == float("inf"):
                return below_bound
            into = (middle - below_count) / (count - below_count)
            return round(below_bound + (bound - below_bound) * into, 6)
        below_bound, below_count = bound, count
    return None
