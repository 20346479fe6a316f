"""The admin app's view of a process, set by hand: for the tests of its pages."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overgrow.routing.facts import Head
from overgrow.routing.match import build_matcher
from overgrow.routing.model import RouteTable
from overgrow.shadow.review.gate_report import GateReport, judge_gate_without_store

SINCE = "2026-11-22T18:00:00Z"


@dataclass
class View:
    """What AdminView asks for; `config` and the folders lie where the test says."""

    state: Path
    table: RouteTable | None
    is_killed: bool = False
    reload_error: dict[str, Any] | None = None
    boot_error: dict[str, Any] | None = None
    server: dict[str, Any] | None = None
    is_draining: bool = False
    store_url: str | None = None
    token: str | None = None
    read_token: str | None = None
    is_owners_socket: bool = False
    hosts: tuple[str, ...] = ("ops.test",)
    is_loopback_only: bool = True
    config: Path = Path("/srv/shop/routes.yaml")
    wrong_tokens: int = 0
    opened: dict[str, int] | None = None

    def open_groups(self):
        return self.opened or {}

    def route_of(self, method, path):
        matcher = build_matcher(self.table) if self.table else None
        route = matcher and matcher.match_path(path, Head(method, b"", (), "", "", "http", ""))
        return route.name if route else None

    asked: list[bytes] = field(default_factory=list)
    refusal: Exception | None = None  # what the workers say to a proposed table
    gate: GateReport | None = None  # None: closed, for want of a store

    def ask_workers(self, data):
        self.asked.append(data)
        if self.refusal is not None:
            raise self.refusal

    def ask_gate(self, question):
        return self.gate or judge_gate_without_store(question, "There is no evidence.", 0.0)

    def count_wrong_token(self):
        self.wrong_tokens += 1

    @property
    def board(self):
        return self.state / "board"

    @property
    def metrics(self):
        return self.state / "metrics"
