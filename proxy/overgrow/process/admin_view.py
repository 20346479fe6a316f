"""The view that the admin pages have of one process. It implements overgrow.admin.view.AdminView."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from overgrow.observe.board import workers
from overgrow.process.runtime import HostApp
from overgrow.routing.facts import Head
from overgrow.routing.model import RouteTable
from overgrow.settings import Settings
from overgrow.shadow.review.gate_report import GateQuestion, GateReport
from overgrow.shadow_service.gate import ask_gate
from overgrow.shadow_service.groups import OpenGroupCounts
from overgrow.table import proposals
from overgrow.table.live import LiveTable
from overgrow.text import rfc3339

ASKED_S = 3.0  # for the workers to say whether they would accept a table


class ProcessView:
    """The view that the admin pages have of this process."""

    def __init__(self, settings: Settings, live: LiveTable, state: Path, app: HostApp) -> None:
        self._live = live
        self._app = app
        self.state = state
        self.config = settings.config
        self.store_url = settings.store_url
        self.token = settings.admin_token
        self.read_token = settings.admin_read_token
        self._socket = unix_path(settings.admin)
        self.hosts = settings.admin_hosts
        self.is_loopback_only = is_loopback(settings.admin)
        self._store = settings.store_url
        self._groups = OpenGroupCounts(
            settings.config.parent / "compare", state, settings.store_url
        )

    def open_groups(self) -> Mapping[str, int]:
        """Return the number of open groups of each route. A group is open if no current rule covers it."""
        return self._groups.counts(self.table.routes if self.table else ())

    def ask_gate(self, question: GateQuestion) -> GateReport:
        """Return the gate's answer under the current rules; this reads the store."""
        routes = self.table.routes if self.table else ()
        return ask_gate(self.config, self.state, self._store, routes, question)

    def ask_workers(self, data: bytes) -> None:
        """Ask all workers whether they would accept a text of the table. If one rejects it, raise EditRefused."""
        proposals.ask_workers(self.state, data, partial(workers, self.board), ASKED_S)

    def count_wrong_token(self) -> None:
        """Count a wrong admin token at once; the log may report several wrong tokens in one line."""
        self._app.count("overgrow_wrong_tokens_total")

    @property
    def is_owners_socket(self) -> bool:
        """Whether the admin listener is a unix socket to which only its owner can connect."""
        try:
            found = self._socket.lstat() if self._socket else None
        except OSError:
            return False
        return found is not None and stat.S_ISSOCK(found.st_mode) and not found.st_mode & 0o022

    @property
    def board(self) -> Path:
        """The folder of the workers' board."""
        return self._app.home / "board"

    @property
    def metrics(self) -> Path:
        """The folder of the workers' counters."""
        return self._app.home / "metrics"

    @property
    def table(self) -> RouteTable | None:
        """The table in force in this worker."""
        return self._live.matcher.table

    def route_of(self, method: str, path: str) -> str | None:
        """Return the name of the route that takes a request without headers and query.

        Return None if the request is unrouted.
        """
        head = Head(method, b"", (), "", "", "http", "")
        route = self._live.matcher.match_path(path, head)
        return route.name if route else None

    @property
    def is_killed(self) -> bool:
        """Whether a kill file exists."""
        return self._live.killed

    @property
    def reload_error(self) -> Mapping[str, Any] | None:
        """What is wrong with routes.yaml, and since when; None if routes.yaml is in effect."""
        error = self._live.trouble
        return error.as_json() if error else None

    @property
    def boot_error(self) -> Mapping[str, Any] | None:
        """Why new workers fail to start, as the master reports it; None if they start."""
        error: Mapping[str, Any] | None = getattr(self._app.control, "server_boot_error", None)
        return error

    @property
    def server(self) -> Mapping[str, Any] | None:
        """The version, the master's pid and the start time of this front door.

        It is None if another server runs the front door.
        """
        control = self._app.control
        if control is None:
            return None
        return {
            "version": version("overgrow"),
            "pid": control.master_pid,
            "started_at": rfc3339(control.started_s),
            "addresses": control.addresses,
        }

    @property
    def is_draining(self) -> bool:
        """Whether the whole server was told to stop."""
        return bool(getattr(self._app.control, "is_server_stopping", False))


def unix_path(bind: str) -> Path | None:
    """Return the path of a unix socket's address; None for any other address."""
    return Path(bind.removeprefix("unix:")) if bind.startswith("unix:") else None


def is_loopback(bind: str) -> bool:
    """Whether only this machine can reach an address."""
    host = bind.rpartition(":")[0].strip("[]")
    return bind.startswith("unix:") or host in {"localhost", "::1"} or host.startswith("127.")
