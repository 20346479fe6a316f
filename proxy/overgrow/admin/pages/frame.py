"""What every page shows: the navigation, the state of the front door, alerts, and the result of a change.

Pure except for `read_frame`, which reads the board and the files' times. Knows neither Flask nor HTML: the same values
go into the page and into the JSON that keeps the page up to date.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from overgrow.admin.alerts import (
    Alert,
    FilesReader,
    lag_sentences,
    readiness_alerts,
    split_notes,
)
from overgrow.admin.view import AdminView, living_workers, readiness


class NavigationEntry(NamedTuple):
    """A page that the navigation leads to."""

    path: str
    label: str


NAVIGATION = (
    NavigationEntry("/", "Overview"),
    NavigationEntry("/differences", "Differences"),
    NavigationEntry("/unrouted", "Unrouted"),
    NavigationEntry("/live", "Live"),
    NavigationEntry("/flips", "Flips"),
    NavigationEntry("/health", "Health"),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """The state of the front door, as every page shows it.

    `tone` is good, warn or bad. If the page was opened after a change, `result` says whether all workers follow
    that change; else it is None.
    """

    status: str
    state: str
    tone: str
    revision: str | None
    killed_since: str | None
    alerts: tuple[Alert, ...]
    lagging: tuple[str, ...]
    result: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the values that live.js puts into the page."""
        return {
            "status": self.status,
            "state": self.state,
            "tone": self.tone,
            "revision": self.revision,
            "killed_since": self.killed_since,
            "alerts": [_alert_json(each) for each in self.alerts],
            "alerts_text": alerts_text(len(self.alerts)),
            "lagging": list(self.lagging),
            "result": self.result,
        }


def read_frame(view: AdminView, files: FilesReader, looks: int | None = None) -> Frame:
    """Read the board and the files on disk.

    If the page was opened after a change, `looks` is the number of remaining checks whether all workers follow;
    else it is None.
    """
    living = living_workers(view)
    payload, (killed_since, revision) = readiness(view, living), files.read()
    lagging = lag_sentences(living, revision, killed=killed_since is not None)
    _, of_app = split_notes(view, payload)
    alerts = [*readiness_alerts(payload, living, killed_since), *map(Alert, of_app)]
    if lagging and not looks:
        alerts.insert(0, lag_alert(lagging))
    state, tone = state_of(payload, killed_since)
    return Frame(
        status=payload["status"],
        state=state,
        tone=tone,
        revision=payload["revision"],
        killed_since=killed_since,
        alerts=tuple(alerts),
        lagging=lagging,
        result=None if looks is None else result_text(lagging),
    )


def state_of(payload: Mapping[str, Any], killed_since: str | None) -> tuple[str, str]:
    """Return (words, tone) for the state of the front door. If several states are true, return the worst one."""
    if payload["status"] != "ready":
        return payload["status"], "bad"
    if killed_since or payload["killed"]:
        return "killed: legacy serves everything", "bad"
    if not payload["upstream"]["up"]:
        return "legacy does not answer", "bad"
    if payload["reload_error"]:
        return "table rejected", "bad"
    if payload["boot_error"]:
        return "new workers do not start", "bad"
    return "ready", "good"


def lag_alert(lagging: Sequence[str]) -> Alert:
    """Return the alert for workers that do not follow the files on disk."""
    return Alert(
        "Some workers do not follow the files on disk.",
        None,
        tuple(lagging),
        "For a second after a change this is normal. Later, send SIGTERM to such a worker; a new one replaces it.",
    )


def result_text(lagging: Sequence[str]) -> str:
    """Return a sentence that says whether all workers follow the change that was just made."""
    if lagging:
        return f"The change was made. Waiting until all workers follow it: {'; '.join(lagging)}."
    return "The change was made, and all workers follow it."


def alerts_text(count: int) -> str:
    """Return a text that says how many alerts there are; return "" if there are none."""
    return f"{count} alert{'' if count == 1 else 's'}" if count else ""


def _alert_json(alert: Alert) -> dict[str, Any]:
    details = [{"text": line} for line in alert.details]
    return {**asdict(alert), "id": alert.what, "details": details}
