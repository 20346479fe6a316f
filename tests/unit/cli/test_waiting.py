"""Who is waited for, and when a wait is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from overgrow.cli import flips, history, override, waiting
from overgrow.cli.admin_client import TIMEOUT_S
from overgrow.cli.evidence.accept import MAX_DAYS, accept
from overgrow.cli.explain import explain
from overgrow.cli.file_deadline import LIMIT_S
from overgrow.cli.waiting import (
    BoardWaiting,
    kill_lag,
    kill_lag_on_board,
    resume_lag,
    revision_lag,
)
from overgrow.settings import Settings
from overgrow.shadow.review.gate_report import USUAL_CLEAN
from overgrow.table.live import kill_files


def worker(slot: int, **told: Any) -> dict[str, Any]:
    return {"slot": slot, "pid": 40 + slot, "revision": "aaa", **told}


def boards(monkeypatch: pytest.MonkeyPatch, *looks: list[dict[str, Any]]) -> None:
    """What the board says at each look; the last for ever."""
    left = list(looks)
    monkeypatch.setattr(
        waiting, "living_workers", lambda _: left.pop(0) if len(left) > 1 else left[0]
    )
    monkeypatch.setattr("overgrow.observe.board.workers", lambda _: looks[-1])


def readiness(*workers: dict[str, Any], **told: Any) -> dict[str, Any]:
    return {"workers": workers, "killed": True, "reload_error": None, **told}


def test_a_revision_runs_on_all_workers_only_where_one_lives():
    assert revision_lag(readiness(), "aaa") == "no worker is running."
    assert revision_lag(readiness(worker(0), worker(1)), "aaa") == ""
    assert revision_lag(readiness(worker(0), worker(1)), "bbb").startswith("worker 0 (pid 40) runs")


def test_the_worker_that_answers_does_not_speak_for_the_others(monkeypatch):
    boards(monkeypatch, [worker(0, killed=True), worker(1)])

    assert kill_lag(readiness(), Path()) == "worker 1 (pid 41) has not seen it."


def test_a_kill_file_is_waited_for_until_the_last_worker_saw_it(monkeypatch):
    seen = worker(0, killed=True)
    boards(monkeypatch, [seen, worker(1)], [seen, worker(1)], [seen, worker(1, killed=True)])

    assert kill_lag_on_board(Path(), 30.0) is None


def test_the_worker_that_has_not_seen_a_kill_file_in_time_is_named(monkeypatch):
    boards(monkeypatch, [worker(0, killed=True), worker(1)])

    assert kill_lag_on_board(Path(), 0.0) == "after 0 s worker 1 (pid 41) has not seen it."


def test_a_kill_is_seen_only_where_the_worker_that_answers_saw_it(monkeypatch):
    boards(monkeypatch, [worker(0, killed=True)])

    assert kill_lag(readiness(killed=False), Path()) == "the front door has not seen it."


@pytest.mark.parametrize(
    ("board", "readyz", "late"),
    [
        pytest.param([worker(0)], readiness(worker(0), killed=False), "", id="all follow"),
        pytest.param(
            [worker(0), worker(1, killed=True)],
            readiness(worker(0), worker(1), killed=False),
            "worker 1 (pid 41) still sends everything to legacy.",
            id="one obeys the kill file still",
        ),
        pytest.param(
            [],
            readiness(worker(0), killed=True),
            "the front door still sends everything to legacy.",
            id="the one that answers does, and its board is elsewhere",
        ),
        pytest.param([], readiness(killed=False), "no worker is running.", id="nobody is there"),
    ],
)
def test_a_resume_is_done_once_every_worker_follows_the_table(monkeypatch, board, readyz, late):
    boards(monkeypatch, board)

    assert resume_lag(readyz, Path()) == late


def test_ctrl_c_ends_a_wait_and_not_the_command(monkeypatch):
    def interrupt(_: object) -> str:
        raise KeyboardInterrupt

    boards(monkeypatch, [worker(0)])

    assert BoardWaiting(Path(), 30.0).lag(interrupt) == "you stopped waiting."


def test_where_no_worker_lives_nobody_is_waited_for(monkeypatch):
    boards(monkeypatch, [])

    with pytest.raises(LookupError):
        kill_lag_on_board(Path(), 30.0)


def test_the_brake_works_where_a_file_system_does_not_tell_of_the_table(overgrow, monkeypatch):
    def silent(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(flips, "within", silent)
    state = overgrow.folder / ".overgrow"

    assert overgrow("rollback", "--all").exit_code == 0
    assert kill_files(overgrow.table, state)[0].exists()


# What commands do where nobody says otherwise: the promises of docs/cli.md.


def default_of(command: Any, name: str) -> Any:
    return next(each.default for each in command.params if each.name == name)


def test_commands_wait_as_long_as_is_promised():
    assert (5.0, 6.0) == (TIMEOUT_S, LIMIT_S)
    for command in (flips.flip, flips.rollback, flips.resume):
        assert default_of(command, "timeout") == "5s"


def test_explain_asks_as_this_machine():
    assert (default_of(explain, "ip"), default_of(explain, "method")) == ("127.0.0.1", "GET")


def test_a_server_drains_as_long_as_is_promised():
    assert (25.0, 0.0) == (Settings().grace, Settings().drain_delay)


def test_overrides_rules_and_gates_have_the_bounds_that_are_promised():
    assert (default_of(override.override, "seconds"), default_of(accept, "days")) == ("8h", 30)
    assert (365, 299, 20) == (MAX_DAYS, USUAL_CLEAN, history.LAST)
