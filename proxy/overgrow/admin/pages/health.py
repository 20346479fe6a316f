"""What is wrong now, version and addresses of the front door, its load, the rates of both sides, workers and failures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from overgrow.admin.health import read_failures_json, sides_json, state_json
from overgrow.admin.pages.figures import error_text, rate_text
from overgrow.admin.pages.kept_answers import KeptAnswers
from overgrow.admin.pages.site import Page, PageData, Query
from overgrow.admin.traffic import CounterReader
from overgrow.admin.view import AdminView
from overgrow.text import count_text, duration_text

WINDOWS = {"last_minute": "last minute", "last_five_minutes": "last 5 minutes"}


FAILURES_S = 10.0  # how long failures are shown before they are read again


def create_health_page(traffic: CounterReader) -> Page:
    """Return the page; `traffic` reads the counters for all pages."""
    return Page("/health", "health.html", HealthData(traffic))


class HealthData:
    """Makes the data of the page. Slow reads are made once for all viewers."""

    def __init__(self, traffic: CounterReader) -> None:
        self._traffic = traffic
        self._failures = KeptAnswers()

    def __call__(self, view: AdminView, now_s: float, _query: Query) -> PageData:
        """Return the data of the page.

        Raises:
            OSError: if the state folder does not respond.

        """
        failures = self._failures.get("", FAILURES_S, partial(read_failures_json, view))
        sides = sides_json(self._traffic.read(now_s), view, now_s)
        return page_data({**state_json(view, now_s), "sides": sides, "failures": failures})


def page_data(health: Mapping[str, Any]) -> PageData:
    """Return the health as the page shows it: all figures as texts."""
    return {
        "facts": _facts(health),
        "upstream": health["upstream"],
        "server": health["server"],
        "sides": side_rows(health["sides"]),
        "workers": [_worker_row(each) for each in health["workers"]],
        "failures": [
            {**each, "id": f"{each['code']} {each['party']}", "times": f"{each['times']:,}"}
            for each in health["failures"]
        ],
        "notes": [{"text": each} for each in health.get("notes", ())],
    }


def _facts(health: Mapping[str, Any]) -> list[dict[str, str]]:
    server = health["server"] or {}
    facts = {
        "Version": server.get("version", "unknown"),
        "Master's pid": str(server.get("pid", "none: another server runs the workers")),
        "Revision": health["revision"] or "none",
        **{
            f"{name.capitalize()} listener": address
            for name, address in server.get("addresses", {}).items()
        },
        "Client connections": connections_text(health["connections"]),
        "Calls of the Flask app": calls_text(health["local_calls"]),
        "Stuck threads": stuck_text(health["local_calls"]),
    }
    return [{"label": label, "text": text} for label, text in facts.items()]


def connections_text(connections: Mapping[str, int]) -> str:
    """Return a text that says how many connections are open, and how many are allowed."""
    most = f" of at most {connections['most']:,}" if connections["most"] else ""
    return f"{connections['open']:,} open{most}"


def calls_text(calls: Mapping[str, int]) -> str:
    """Return how many calls run in how many threads, and how many wait."""
    return (
        f"{calls['running']:,} running in {count_text(calls['threads'], 'thread')}, "
        f"{calls['waiting']:,} waiting of at most {calls['most_waiting']:,}"
    )


def stuck_text(calls: Mapping[str, int]) -> str:
    """Return how many threads are stuck, and what that means."""
    stuck = calls["stuck_threads"]
    return f"{stuck:,}: past their response timeout, and still running" if stuck else "none"


def side_rows(sides: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return a row for each side and window. If a window has no requests, the row shows dashes."""
    return [
        {"id": f"{side} {name}", "side": side, "window": words, **_window_texts(windows.get(name))}
        for side, windows in sides.items()
        for name, words in WINDOWS.items()
    ]


def _window_texts(window: Mapping[str, Any] | None) -> dict[str, str]:
    if window is None:
        return {
            "requests": "0",
            "per_second": "0/s",
            **dict.fromkeys(("errors", "p50", "p95", "p99"), "-"),
        }
    return {
        "requests": f"{window['requests']:,}",
        "per_second": rate_text(window["per_second"]),
        "errors": error_text(window["errors"], window["requests"]),
        **{name: duration_text(window[f"{name}_s"]) for name in ("p50", "p95", "p99")},
    }


def _worker_row(worker: Mapping[str, Any]) -> dict[str, Any]:
    marks = ["sees the kill file"] if worker["killed"] else []
    marks += ["rejects the file"] if worker["rejects_file"] else []
    marks += ["is leaving"] if worker["leaving"] else []
    names = ("slot", "pid", "revision", "since", "connections", "running", "waiting")
    return {
        **{name: worker[name] for name in names},
        "stuck": worker["stuck_threads"],
        "marks": ", ".join(marks),
    }
