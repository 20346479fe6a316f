"""The split: each route's requests, errors and median latency, side by side.

Pure: samples in, figures out. Counts and medians are totals since the metrics folder was made. Only the live
share is for the last minute alone, so that it shows a flip at once. The median is computed from histogram
buckets as in PromQL's histogram_quantile: by linear interpolation in the bucket that holds the middle request.
Its error is at most the width of that bucket. If the median is above the last bound, the last bound is
returned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client.samples import Sample

from overgrow.observe.recent_counts import SAMPLE as RECENT
from overgrow.routing.model import Route

_REQUESTS = "overgrow_requests_total"
_ERRORS = "overgrow_errors_total"
_COUNTED = {_REQUESTS, _ERRORS, RECENT}
DEFAULT = "default"  # the name under which requests that no route took are counted


@dataclass(frozen=True, slots=True)
class SideFigures:
    """The figures of one side of one route."""

    requests: int = 0
    errors: int = 0
    median_s: float | None = None  # None without requests


@dataclass(frozen=True, slots=True)
class RouteSplit:
    """One route's figures.

    `route` is None for "default" and for removed routes, whose names the table no longer has.
    """

    name: str
    route: Route | None
    legacy: SideFigures = SideFigures()
    migrated: SideFigures = SideFigures()
    other: int = 0  # answered by neither: gone and refused
    live: tuple[int, int] = (0, 0)  # requests of the last minute: legacy, migrated

    @property
    def requests(self) -> int:
        """The number of all requests that the route took."""
        return self.legacy.requests + self.migrated.requests + self.other

    @property
    def errors(self) -> int:
        """The number of errors of both sides together."""
        return self.legacy.errors + self.migrated.errors

    @property
    def share(self) -> float | None:
        """Migrated's share, in percent, of the requests that the two sides served.

        It is None if there were no such requests.
        """
        return _share(self.legacy.requests, self.migrated.requests)

    @property
    def live_share(self) -> float | None:
        """Migrated's share, in percent, of the requests that the two sides served in the last minute."""
        return _share(*self.live)

    @property
    def target(self) -> str | None:
        """The target in the table; None for a name that is no longer in the table."""
        if self.route:
            return self.route.target
        return "legacy" if self.name == DEFAULT else None


def _share(legacy: int, migrated: int) -> float | None:
    served = legacy + migrated
    return round(100 * migrated / served, 2) if served else None


def split_by_route(samples: Iterable[Sample], routes: Sequence[Route]) -> tuple[RouteSplit, ...]:
    """Return the figures of each route in order, then of "default", then of removed routes that still have counts."""
    figures = _SampleIndex(samples)
    known = {route.name: route for route in routes}
    retired = sorted(figures.names - known.keys() - {DEFAULT})
    names = dict.fromkeys((*known, DEFAULT, *retired))
    return tuple(figures.figures_of(name, known.get(name)) for name in names)


def split_of_totals(
    totals: Mapping[tuple[str, str], Sequence[int]],
    live: Iterable[Sample],
    bounds_s: Sequence[float],
    routes: Sequence[Route],
) -> tuple[RouteSplit, ...]:
    """Return the same as `split_by_route`, but from counts by route and side: errors, then requests in each bucket."""
    recent: defaultdict[tuple[str, str], int] = defaultdict(int)
    for sample in live:
        recent[sample.labels["route"], sample.labels["side"]] += int(sample.value)
    sides = {place: _side_of_counts(counts, bounds_s) for place, counts in totals.items()}
    known = {route.name: route for route in routes}
    counted = {name for name, _ in (*sides, *recent)}
    names = dict.fromkeys((*known, DEFAULT, *sorted(counted - known.keys() - {DEFAULT})))
    nothing = SideFigures()
    return tuple(
        RouteSplit(
            name,
            known.get(name),
            sides.get((name, "legacy"), nothing),
            sides.get((name, "migrated"), nothing),
            sum(sides.get((name, side), nothing).requests for side in ("gone", "refused")),
            (recent[name, "legacy"], recent[name, "migrated"]),
        )
        for name in names
    )


def _side_of_counts(counts: Sequence[int], bounds_s: Sequence[float]) -> SideFigures:
    errors, *buckets = counts
    cumulative = tuple(accumulate(map(float, buckets)))
    pairs = zip((*bounds_s, float("inf")), cumulative, strict=True)
    return SideFigures(int(cumulative[-1]), errors, median(pairs))


class _SampleIndex:
    """The samples by route and side."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._counts: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        self._buckets: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        for name, labels, value, *_ in samples:
            route, side = labels.get("route", ""), labels.get("side", "")
            if name == "overgrow_request_duration_seconds_bucket":
                self._buckets[route, side].append((float(labels["le"]), value))
            elif name in _COUNTED:
                self._counts[name, route, side] += value
        self.names = {route for _, route, _ in self._counts}

    def figures_of(self, name: str, route: Route | None) -> RouteSplit:
        other = self._count(_REQUESTS, name, "gone") + self._count(_REQUESTS, name, "refused")
        live = (self._count(RECENT, name, "legacy"), self._count(RECENT, name, "migrated"))
        legacy, migrated = self._side(name, "legacy"), self._side(name, "migrated")
        return RouteSplit(name, route, legacy, migrated, other, live)

    def _side(self, name: str, side: str) -> SideFigures:
        return SideFigures(
            self._count(_REQUESTS, name, side),
            self._count(_ERRORS, name, side),
            median(self._buckets.get((name, side), [])),
        )

    def _count(self, what: str, name: str, side: str) -> int:
        return int(self._counts.get((what, name, side), 0))


def median(buckets: Iterable[tuple[float, float]]) -> float | None:
    """Return the median of a cumulative histogram of (upper bound, count so far) in any order."""
    return quantile(buckets, 0.5)


def quantile(buckets: Iterable[tuple[float, float]], share: float) -> float | None:
    """Return the value below which a share of a cumulative histogram's requests lies; None if there are no requests."""
    ordered = sorted(buckets)
    if not ordered or not ordered[-1][1]:
        return None
    middle = ordered[-1][1] * share
    below_bound, below_count = 0.0, 0.0
    for bound, count in ordered:
        if count >= middle:
            if bound == float("inf"):
                return below_bound
            into = (middle - below_count) / (count - below_count)
            return round(below_bound + (bound - below_bound) * into, 6)
        below_bound, below_count = bound, count
    return None
