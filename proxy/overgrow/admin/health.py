"""The health of the front door as JSON: the same for /api/health, /api/status, the page and `overgrow status`.

Everything is read again for each call. Nothing here knows Flask or HTML.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from operator import add
from typing import Any

from overgrow.admin.alerts import (
    Alert,
    is_well,
    killed_since_of,
    lag_sentences,
    readiness_alerts,
    revision_on_disk,
    split_notes,
)
from overgrow.admin.traffic import CounterReader, Traffic
from overgrow.admin.view import (
    AdminView,
    Worker,
    living_workers,
    open_breakers,
    readiness,
    started_s,
)
from overgrow.files import ANSWER_S, within
from overgrow.observe.failure_totals import read_failures
from overgrow.observe.metrics import BUCKETS_S
from overgrow.observe.rates_reader import RateCounts
from overgrow.observe.recent_rates import RecentRates, figures_json, read_all_rates
from overgrow.observe.worker_gauges import WorkerGauges, read_gauges
from overgrow.text import rfc3339

SIDES = ("legacy", "migrated")


class LiveCounters:
    """Reads the counters for answers that must be fresh.

    While the state folder cannot be used, the workers write the counters to another folder.
    """

    def __init__(self, view: AdminView) -> None:
        self._view = view
        self._reader = CounterReader(view.metrics)

    def read(self, now_s: float) -> Traffic:
        """Return the counts until now. Of each file, read only what was added since the last call.

        Raises:
            OSError: if the state folder does not respond.

        """
        if self._reader.folder != self._view.metrics:
            self._reader = CounterReader(self._view.metrics)
        return self._reader.read(now_s, max_age_s=0.0)


def health_json(view: AdminView, counters: LiveCounters, now_s: float) -> dict[str, Any]:
    """Return the health of the front door; the shape stands in docs/admin-api.md.

    Raises:
        OSError: if the state folder does not respond.

    """
    return {
        **state_json(view, now_s),
        "sides": sides_json(counters.read(now_s), view, now_s),
        "failures": read_failures_json(view),
    }


def state_json(view: AdminView, now_s: float) -> dict[str, Any]:
    """Return the health without rates and failures, which take long to read if there are many routes.

    Raises:
        OSError: if the state folder does not respond.

    """
    living = living_workers(view)
    payload, killed_since = readiness(view, living), killed_since_of(view)
    gauges = _read_worker_gauges(view, living)
    lagging = lag_sentences(living, revision_on_disk(view), killed=killed_since is not None)
    _, of_app = split_notes(view, payload)
    alerts = [*readiness_alerts(payload, living, killed_since), *map(Alert, of_app)]
    return {
        **payload,
        "at": rfc3339(now_s),
        "well": is_well(payload) and not lagging,
        "server": server_json(view.server, now_s),
        **load_json(living, gauges),
        "workers": [_worker_json(each, gauges[each["slot"]]) for each in living],
        "breakers": open_breakers(living),
        "alerts": [{**asdict(each), "details": list(each.details)} for each in alerts],
        "lagging": list(lagging),
    }


def read_recent(view: AdminView, now_s: float) -> RecentRates:
    """Return the rates of the last minutes.

    Raises:
        OSError: if the state folder does not respond.

    """
    return within(ANSWER_S, view.metrics, partial(_read_rates, view, now_s))


def _read_rates(view: AdminView, now_s: float) -> RecentRates:
    return read_all_rates(view.metrics, BUCKETS_S, now_s, started_s(view.server))


def sides_json(traffic: Traffic, view: AdminView, now_s: float) -> dict[str, Any]:
    """Return the figures of both sides over all routes; leave out windows without requests."""
    found: dict[str, Any] = {side: {} for side in SIDES}
    for name, places in traffic.recent.items():
        window_s = traffic.window_s(name, now_s, started_s(view.server))
        for side, counts in _sums_by_side(places).items():
            if side in found:
                found[side][name] = _figures_json(counts, window_s)
    return found


def rates_json(
    traffic: Traffic, view: AdminView, now_s: float
) -> Mapping[tuple[str, str], dict[str, Any]]:
    """Return the figures of each route and side: {name of a window: figures}."""
    found: defaultdict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for name, places in traffic.recent.items():
        window_s = traffic.window_s(name, now_s, started_s(view.server))
        for place, counts in places.items():
            found[place][name] = _figures_json(counts, window_s)
    return found


def _figures_json(counts: RateCounts, window_s: int) -> dict[str, Any]:
    return figures_json(counts.errors, counts.buckets, BUCKETS_S, window_s)


def _sums_by_side(places: Mapping[tuple[str, str], RateCounts]) -> dict[str, RateCounts]:
    """Return the counts of each side, added up over all routes. Percentiles then cover all requests together."""
    sums: dict[str, RateCounts] = {}
    for (_, side), counts in places.items():
        before = sums.get(side)
        sums[side] = counts if before is None else _sum_of(before, counts)
    return sums


def _sum_of(one: RateCounts, other: RateCounts) -> RateCounts:
    buckets = tuple(map(add, one.buckets, other.buckets))
    return RateCounts(one.requests + other.requests, one.errors + other.errors, buckets)


def server_json(server: Mapping[str, Any] | None, now_s: float) -> dict[str, Any] | None:
    """Return what is known of the server, with its uptime; None if the server is not `overgrow serve`."""
    if server is None:
        return None
    return {**server, "uptime_s": max(0, int(now_s - (started_s(server) or now_s)))}


def read_load(view: AdminView, living: Sequence[Worker]) -> dict[str, Any]:
    """Return how many connections and calls all workers together have now.

    Raises:
        OSError: if the state folder does not respond.

    """
    return load_json(living, _read_worker_gauges(view, living))


def load_json(living: Sequence[Worker], gauges: Mapping[int, WorkerGauges]) -> dict[str, Any]:
    """Return how many connections and calls all workers together have now, and the limits (0 if a limit is unknown)."""
    figures = [gauges[each["slot"]] for each in living]

    def most(name: str) -> int:
        return sum(each.get("limits", {}).get(name, 0) for each in living)

    return {
        "connections": {
            "open": sum(each.connections for each in figures),
            "most": most("connections"),
        },
        "local_calls": {
            "running": sum(each.running for each in figures),
            "threads": most("threads"),
            "waiting": sum(each.waiting for each in figures),
            "most_waiting": most("waiting"),
            "stuck_threads": sum(each.stuck_threads for each in figures),
        },
    }


def _read_worker_gauges(view: AdminView, living: Sequence[Worker]) -> Mapping[int, WorkerGauges]:
    slots = [each["slot"] for each in living]
    return within(ANSWER_S, view.metrics, partial(read_gauges, view.metrics, slots))


def _worker_json(worker: Worker, gauges: WorkerGauges) -> dict[str, Any]:
    return {
        **{name: worker.get(name) for name in ("slot", "pid", "revision", "since")},
        "leaving": bool(worker.get("leaving")),
        "killed": bool(worker.get("killed")),
        "rejects_file": worker.get("reload_error") is not None,
        "connections": gauges.connections,
        "running": gauges.running,
        "waiting": gauges.waiting,
        "stuck_threads": gauges.stuck_threads,
    }


def read_failures_json(view: AdminView) -> list[dict[str, Any]]:
    """Return the failures by code and party, as totals, the most frequent first.

    Raises:
        OSError: if the state folder does not respond.

    """
    found = within(ANSWER_S, view.metrics, partial(read_failures, view.metrics))
    return [{"code": code, "party": party, "times": times} for code, party, times in found]
