"""Metrics that are no counts of requests: from the board, the history, the rings, and the operating system.

Labels are slots, route names, sides, revisions and targets, never anything from a request.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from overgrow.observe.metric_list import METRICS
from overgrow.observe.process_figures import ProcessFigures, read_process
from overgrow.observe.recent_counts import last_requests
from overgrow.observe.upstream import newest_state
from overgrow.observe.worker_gauges import read_gauges

Worker = Mapping[str, Any]


class FrontDoorFacts(NamedTuple):
    """Facts that do not come from the workers' counters: the version, the history of flips, and the table in effect."""

    version: str = ""
    flips: Mapping[tuple[str, str], int] = MappingProxyType({})  # (route, target) -> how often
    last_flips: Mapping[str, float] = MappingProxyType({})  # route -> unix seconds
    migrated_percents: Mapping[str, float] = MappingProxyType({})  # by route, as the table says
    master_pid: int | None = None


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
        _gauge("overgrow_watcher_last_look_timestamp_seconds", _last_looks(folder, workers)),
        _gauge("overgrow_table_last_load_timestamp_seconds", _last_loads(workers)),
        *process_metrics(workers, facts.master_pid),
        *(_gauge(name, [([], value)]) for name, value in _single_figures(workers).items()),
    ]


def last_request_metric(folder: Path) -> Metric:
    """Return when each side of each route last answered in any worker, as unix time exact to ten seconds."""
    latest = sorted(last_requests(folder).items())
    samples = [([route, side], float(at_s)) for (route, side), at_s in latest]
    return _gauge("overgrow_route_last_request_timestamp_seconds", samples)


def process_metrics(workers: Sequence[Worker], master_pid: int | None) -> list[Metric]:
    """Return what the operating system says about the master and each living worker."""
    pids = {str(each["slot"]): each["pid"] for each in workers if isinstance(each.get("pid"), int)}
    if master_pid is not None:
        pids["master"] = master_pid
    read = {slot: read_process(pid) for slot, pid in pids.items()}
    found = {slot: figures for slot, figures in read.items() if figures is not None}
    known = METRICS["overgrow_process_cpu_seconds_total"]
    cpu = CounterMetricFamily("overgrow_process_cpu_seconds", known.help, labels=known.labels)
    for slot, figures in found.items():
        cpu.add_metric([slot], figures.cpu_s)
    return [cpu, *(_gauge(name, _by_slot(found, name)) for name in _PROCESS_FIGURES)]


_PROCESS_FIGURES = {
    "overgrow_process_resident_memory_bytes": "resident_bytes",
    "overgrow_process_start_time_seconds": "started_s",
    "overgrow_process_open_fds": "open_fds",
    "overgrow_process_max_fds": "max_fds",
}


def _by_slot(found: Mapping[str, ProcessFigures], name: str) -> list[tuple[Sequence[str], float]]:
    figures = {slot: getattr(each, _PROCESS_FIGURES[name]) for slot, each in found.items()}
    return [([slot], float(figure)) for slot, figure in figures.items() if figure is not None]


def _last_looks(folder: Path, workers: Sequence[Worker]) -> list[tuple[Sequence[str], float]]:
    """Return when the watcher of each living worker last looked; a worker that has just started is left out."""
    gauges = read_gauges(folder, [worker["slot"] for worker in workers])
    return [([str(slot)], each.last_look_s) for slot, each in gauges.items() if each.last_look_s]


def _last_loads(workers: Sequence[Worker]) -> list[tuple[Sequence[str], float]]:
    loaded = {str(each["slot"]): each["since"] for each in workers if each.get("since")}
    return [([slot], datetime.fromisoformat(since).timestamp()) for slot, since in loaded.items()]


def _do_disagree(workers: Sequence[Worker]) -> bool:
    """Whether workers run different tables, or only some see the kill file; those that leave do not count."""
    staying = [each for each in workers if not each.get("leaving")]
    return len({(each.get("revision"), bool(each.get("killed"))) for each in staying}) > 1


def _single_figures(workers: Sequence[Worker]) -> dict[str, float]:
    return {
        "overgrow_upstream_up": newest_state(workers).up,
        "overgrow_workers": len(workers),
        "overgrow_killed": any(worker.get("killed") for worker in workers),
        "overgrow_reload_error": any(worker.get("reload_error") for worker in workers),
        "overgrow_workers_disagree": _do_disagree(workers),
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
