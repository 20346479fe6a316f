"""What the admin app may read of the process it runs in, and the readiness report made from it.

Rule: everything is read again for each request; nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from overgrow.files import ANSWER_S, within
from overgrow.observe.board import workers
from overgrow.observe.upstream import upstream_json
from overgrow.routing.model import RouteTable
from overgrow.shadow.review.gate_report import GateQuestion, GateReport
from overgrow.table.editing.history import JOURNAL, History, read_changed_history

Worker = Mapping[str, Any]


class StateFolder(Protocol):
    """The files of one front door. They show what happened, even if the front door no longer runs."""

    @property
    def board(self) -> Path:
        """The folder of the workers' board."""

    @property
    def state(self) -> Path:
        """The state folder."""

    @property
    def store_url(self) -> str | None:
        """OVERGROW_STORE_URL; None for the file in the state folder."""

    @property
    def table(self) -> RouteTable | None:
        """The table in effect. If no front door runs, the last table that was in effect; None if there is none."""


class AdminView(Protocol):
    """The process as the admin app sees it; the composition root provides one."""

    @property
    def table(self) -> RouteTable | None:
        """The table in effect; None before there is one."""

    @property
    def is_killed(self) -> bool:
        """Whether the kill file is in effect."""

    @property
    def reload_error(self) -> Mapping[str, Any] | None:
        """Why the table on disk is not in effect: {"at": RFC 3339, "problems": [Problem]}."""

    @property
    def boot_error(self) -> Mapping[str, Any] | None:
        """Why new workers do not start: {"at": RFC 3339, "reason", "failures"}. None if new workers start."""

    @property
    def server(self) -> Mapping[str, Any] | None:
        """The running front door: None if unknown.

        {"version", "pid" of the master, "started_at": RFC 3339, "addresses": {"public", "admin"}}.
        """

    @property
    def is_draining(self) -> bool:
        """Whether the front door is shutting down."""

    @property
    def config(self) -> Path:
        """The path of routes.yaml."""

    @property
    def board(self) -> Path:
        """The folder of the workers' board."""

    @property
    def metrics(self) -> Path:
        """The folder of the metric files."""

    @property
    def state(self) -> Path:
        """The state folder; `secret` in it signs the login cookie."""

    @property
    def store_url(self) -> str | None:
        """OVERGROW_STORE_URL; None for the file in the state folder."""

    @property
    def token(self) -> str | None:
        """OVERGROW_ADMIN_TOKEN."""

    @property
    def read_token(self) -> str | None:
        """OVERGROW_ADMIN_READ_TOKEN."""

    @property
    def is_owners_socket(self) -> bool:
        """Whether the admin listener is a unix socket that only its owner may use."""

    def count_wrong_token(self) -> None:
        """Count a wrong token."""

    @property
    def hosts(self) -> Sequence[str]:
        """OVERGROW_ADMIN_HOSTS, in lower case."""

    def ask_gate(self, question: GateQuestion) -> GateReport:
        """Return the gate's answer under the current rules; this reads the store."""

    def ask_workers(self, data: bytes) -> None:
        """Ask all workers whether they would accept a text of the table. If one rejects it, raise EditRefused."""

    def open_groups(self) -> Mapping[str, int]:
        """Return the number of open groups of each route. A group is open if no current rule covers it."""

    def route_of(self, method: str, path: str) -> str | None:
        """Return the name of the route that takes a request without headers and query.

        Return None if the request is unrouted.
        """

    @property
    def is_loopback_only(self) -> bool:
        """Whether only this machine can reach the admin listener: loopback or a unix socket."""


def readiness(view: AdminView, living: Sequence[Worker]) -> dict[str, Any]:
    """Return the body of /readyz. The keys `irreversible` and `notes` are left out if they are empty."""
    table = view.table
    revision = table.revision if table else None
    payload: dict[str, Any] = {
        "status": _status(view, living),
        "revision": revision,
        "agreed": _all_agree(living, revision, killed=view.is_killed),
        "killed": view.is_killed,
        "workers": [_worker_json(worker) for worker in living],
        "reload_error": view.reload_error or _first_reload_error(living),
        "boot_error": view.boot_error,
        "upstream": upstream_json(living),
    }
    exempt = [route.name for route in table.routes if not route.reversible] if table else []
    if view.is_killed and exempt:
        payload["irreversible"] = exempt
    if notes := notes_of(living):
        payload["notes"] = notes
    return payload


def notes_of(workers: Sequence[Worker]) -> list[str]:
    """Return the notes of all living workers, without duplicates."""
    notes = (note for worker in workers for note in worker.get("notes", ()))
    return list(dict.fromkeys(notes))


def living_workers(view: StateFolder) -> list[dict[str, Any]]:
    """Return the reports of the living workers.

    Raises:
        OSError: if the state folder does not respond.

    """
    return within(ANSWER_S, view.board, partial(workers, view.board))


def history_of(view: StateFolder) -> History:
    """Return the history of flips.

    Raises:
        OSError: if the state folder does not respond.

    """
    return within(ANSWER_S, view.state / JOURNAL, partial(read_changed_history, view.state))


def started_s(server: Mapping[str, Any] | None) -> float | None:
    """Return when the server started, as unix time; None if that is unknown."""
    return datetime.fromisoformat(server["started_at"]).timestamp() if server else None


def open_breakers(workers: Sequence[Worker]) -> list[dict[str, Any]]:
    """Return the open and half-open breakers of all workers, each with the worker's slot."""
    return [
        {"slot": worker.get("slot"), **breaker}
        for worker in workers
        for breaker in worker.get("breakers", ())
    ]


def _all_agree(workers: Sequence[Worker], revision: str | None, *, killed: bool) -> bool:
    """Whether all workers run this revision and agree on the kill file."""
    states = {(worker.get("revision"), bool(worker.get("killed"))) for worker in workers}
    return states == {(revision, killed)}


def _status(view: AdminView, workers: Sequence[Worker]) -> str:
    if view.is_draining:
        return "draining"
    return "ready" if view.table and workers else "starting"


def _worker_json(worker: Worker) -> dict[str, Any]:
    return {key: worker.get(key) for key in ("slot", "pid", "revision", "since")}


def _first_reload_error(workers: Sequence[Worker]) -> Mapping[str, Any] | None:
    return next((error for worker in workers if (error := worker.get("reload_error"))), None)
