"""Makes metrics about the front door as a whole from the board, the history and the rings.

Pure except for `last_request_metric`, which reads the rings. Labels are route names, sides, revisions and
targets: no text of a request.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from overgrow.observe.metric_list import METRICS
from overgrow.observe.recent_counts import last_requests
from overgrow.observe.upstream import newest_state

Worker = Mapping[str, Any]


class FrontDoorFacts(NamedTuple):
    """Facts that do not come from the workers' counters: the version, the history of flips, and the table in effect."""

    version: str = ""
    flips: Mapping[tuple[str, str], int] = MappingProxyType({})  # (route, target) -> how often
    last_flips: Mapping[str, float] = MappingProxyType({})  # route -> unix seconds
    migrated_percents: Mapping[str, float] = MappingProxyType({})  # by route, as the table says


NO_FACTS = FrontDoorFacts()


def fact_metrics(folder: Path, workers: Sequence[Worker], facts: FrontDoorFacts) -> list[Metric]:
    """Return the metrics of the front door as a whole.

    `folder` is the folder of the metrics, and `workers` is what the board says about the living workers.
    """
    build = ([facts.version, platform.python_version()], 1.0)
    revisions = sorted({worker["revision"] for worker in workers if worker.get("revision")})
    return [
        _gauge("overgrow_build_info", [build]),
        _gauge("overgrow_table_revision_info", [([revision], 1.0) for revision in revisions]),
        _failed_boots(workers),
        _gauge("overgrow_breaker_open", _open_breakers(workers)),
        _flip_metric(facts.flips),
        _gauge("overgrow_route_last_flip_timestamp_seconds", _by_route(facts.last_flips)),
        _gauge("overgrow_route_migrated_percent", _by_route(facts.migrated_percents)),
        _gauge("overgrow_gate_value", _gate_figures(workers, "value")),
        _gauge("overgrow_gate_threshold", _gate_figures(workers, "threshold")),
        _gauge(
            "overgrow_gate_newest_comparison_timestamp_seconds", _gate_figures(workers, "newest_s")
        ),
        last_request_metric(folder),
        *(_gauge(name, [([], value)]) for name, value in _single_figures(workers).items()),
    ]


def last_request_metric(folder: Path) -> Metric:
    """Return when each side of each route last answered in any worker, as unix time exact to ten seconds."""
    latest = sorted(last_requests(folder).items())
    samples = [([route, side], float(at_s)) for (route, side), at_s in latest]
    return _gauge("overgrow_route_last_request_timestamp_seconds", samples)


def _single_figures(workers: Sequence[Worker]) -> dict[str, float]:
    return {
        "overgrow_upstream_up": newest_state(workers).up,
        "overgrow_workers": len(workers),
        "overgrow_killed": any(worker.get("killed") for worker in workers),
        "overgrow_reload_error": any(worker.get("reload_error") for worker in workers),
        "overgrow_boot_error": any(worker.get("boot_error") for worker in workers),
    }


def _gauge(name: str, samples: Iterable[tuple[Sequence[str], float]]) -> Metric:
    family = GaugeMetricFamily(name, METRICS[name].help, labels=METRICS[name].labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _failed_boots(workers: Sequence[Worker]) -> Metric:
    return CounterMetricFamily(
        "overgrow_boot_failures",
        METRICS["overgrow_boot_failures_total"].help,
        value=max((worker.get("boot_failures", 0) for worker in workers), default=0),
    )


def _by_route(figures: Mapping[str, float]) -> list[tuple[Sequence[str], float]]:
    return [([route], figure) for route, figure in sorted(figures.items())]


def _flip_metric(flips: Mapping[tuple[str, str], int]) -> Metric:
    known = METRICS["overgrow_flips_total"]
    family = CounterMetricFamily("overgrow_flips", known.help, labels=known.labels)
    for labels, count in sorted(flips.items()):
        family.add_metric(labels, count)
    return family


def _open_breakers(workers: Sequence[Worker]) -> list[tuple[Sequence[str], float]]:
    """Return the number of workers in which a breaker is open.

    The result has an entry for each breaker that is open, half-open or recovering in some worker.
    """
    counted: Counter[tuple[str, str]] = Counter()
    for breaker in (each for worker in workers for each in worker.get("breakers", ())):
        counted[breaker["route"], breaker["side"]] += breaker["state"] == "open"
    return [(labels, float(count)) for labels, count in sorted(counted.items())]


def _gate_figures(workers: Sequence[Worker], figure: str) -> list[tuple[Sequence[str], float]]:
    """Return one figure of each route's gate, from the worker that judged this gate last."""
    latest: dict[str, Mapping[str, Any]] = {}
    for worker in workers:
        for route, gate in (worker.get("gates") or {}).items():
            if route not in latest or gate["at_s"] > latest[route]["at_s"]:
                latest[route] = gate
    found = {route: gate[figure] for route, gate in latest.items() if gate.get(figure) is not None}
    return _by_route(found)
