"""Workers, revisions and failures."""

from __future__ import annotations

from functools import partial
from typing import Any

from overgrow.admin.overview import failures_of
from overgrow.admin.pages.site import Page, PageData, Query
from overgrow.admin.view import AdminView, Worker, living_workers
from overgrow.files import ANSWER_S, within
from overgrow.observe.metrics import sum_samples


def health_data(view: AdminView, _now_s: float, _query: Query) -> PageData:
    """Return the data of the page."""
    living = living_workers(view)
    counted = within(ANSWER_S, view.metrics, partial(sum_samples, view.metrics))
    failures = [
        {"id": f"{code} {party}", "code": code, "party": party, "times": f"{times:,}"}
        for code, party, times in failures_of(counted)
    ]
    return {"workers": [_worker_json(each) for each in living], "failures": failures}


def _worker_json(worker: Worker) -> dict[str, Any]:
    marks = ["sees the kill file"] if worker.get("killed") else []
    marks += ["rejects the file"] if worker.get("reload_error") else []
    told = {name: worker.get(name) for name in ("slot", "pid", "revision", "since")}
    return {**told, "marks": ", ".join(marks)}


PAGE = Page("/health", "health.html", health_data)
