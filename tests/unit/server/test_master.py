"""Which workers the master starts and ends, what it makes of their ends, and what signals do."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from overgrow.server import master as serving_master
from overgrow.server.boots import YOUNG_S, BootFailures
from overgrow.server.master import HELD_SIGNALS, FrontArbiter
from overgrow.server.plan import ServerPlan
from overgrow.server.worker import FrontWorker, WorkerControl

NOW_S = 1_000.0


@dataclass
class Worker:
    """What the master knows of a worker."""

    age: int
    is_ready: bool = True
    is_leaving: bool = False
    was_told_to_leave: bool = False
    lacks_app: bool = False
    without_app: bool = False
    ready_s: float | None = NOW_S - 100
    started_s: float = NOW_S - 101
    failure: str = ""
    aborted: bool = False
    count_index: int = 0
    tmp: Any = field(default_factory=lambda: SimpleNamespace(close=lambda: None))

    @property
    def pid(self) -> int:
        return 1_000_000 + self.age


class Master(FrontArbiter):
    """The master without processes: it notes what it would start and end."""

    num_workers = 2  # gunicorn's is a property that tells the configuration

    def __init__(self, *workers: Worker, wanted: int = 2, has_served: bool = True) -> None:
        self.WORKERS = {each.pid: each for each in workers}
        self.num_workers, self.worker_age, self.timeout = wanted, 9, 0
        self.cfg = SimpleNamespace(
            workers=2, child_exit=lambda *_: None, set=lambda *given: self.settings.append(given)
        )
        self.log = SimpleNamespace(reopen_files=lambda: None)
        self.departed_clients: list[int] = []
        self.app = SimpleNamespace(
            load_without_app=None,
            is_stopping=False,
            plan=SimpleNamespace(boot_s=30.0, passed=(None, None)),
            boot_notice=SimpleNamespace(write=lambda _: None),
            connection_counts=SimpleNamespace(
                remove_worker=self.departed_clients.append, assign_index=lambda _: 0
            ),
            announce_stop=lambda: self.settings.append(("stopping",)),
        )
        self._began_s, self._was_ready, self._has_served = NOW_S, False, has_served
        self._notify_environ, self._has_notified = {}, False
        self._serving, self._stale_age, self._app_crash_reason = 0, 0, ""
        self._boot_failures = BootFailures()
        self.settings: list[tuple[Any, ...]] = []
        self.ended: list[tuple[int, int]] = []

    def kill_worker(self, pid: int, sig: int) -> None:
        self.ended.append((pid - 1_000_000, sig))

    def ages_to_end(self) -> list[int]:
        return [each.age for each in self._choose_workers_to_end()]

    def count_to_start(self, now_s: float = NOW_S) -> int:
        return self._count_workers_to_start(now_s)


def booting(age: int, **more: Any) -> Worker:
    return Worker(age, is_ready=False, ready_s=None, started_s=NOW_S - 1, **more)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        serving_master, "time", SimpleNamespace(monotonic=lambda: NOW_S, time=lambda: NOW_S)
    )


# Which workers there should be.


def test_as_many_workers_as_are_missing_are_started_at_once():
    assert [Master().count_to_start(), Master(Worker(1)).count_to_start()] == [2, 1]


@pytest.mark.parametrize("how", ["is_leaving", "was_told_to_leave"])
def test_a_worker_that_leaves_is_replaced_before_it_has_gone(how):
    assert Master(Worker(1), Worker(2, **{how: True})).count_to_start() == 1


def test_old_workers_stay_until_new_ones_serve():
    master = Master(Worker(1), Worker(2), booting(3))
    master._stale_age = 2

    assert master.ages_to_end() == []


def test_a_worker_made_just_before_the_reload_is_an_old_one():
    master = Master(Worker(1), Worker(2), booting(3))
    master._stale_age = 2

    assert master.count_to_start() == 0
    assert [master._is_up_to_date(each) for each in master.WORKERS.values()] == [False, False, True]


def test_each_new_worker_that_serves_lets_the_oldest_one_go():
    master = Master(Worker(1), Worker(2), Worker(3))
    master._stale_age = 2

    assert master.ages_to_end() == [1]


def test_of_too_many_workers_the_oldest_go():
    assert Master(Worker(3), Worker(1), Worker(2), wanted=1).ages_to_end() == [1, 2]


def test_of_too_many_workers_one_that_boots_goes_first():
    assert Master(Worker(1), Worker(2), booting(3)).ages_to_end() == [3]


def test_a_worker_without_its_app_serves_until_a_whole_one_does():
    partial = Worker(1, lacks_app=True)

    assert Master(partial, wanted=1).count_to_start() == 1
    assert Master(partial, booting(2), wanted=1).ages_to_end() == []
    assert Master(partial, Worker(2), wanted=1).ages_to_end() == [1]


@pytest.mark.parametrize(("gone", "count"), [(2, 2), (3, 0)])
def test_an_app_that_ends_its_own_boots_starts_no_crowd(gone, count):
    master = Master(*(booting(age, is_leaving=True) for age in range(gone)))

    assert master.count_to_start() == count


@pytest.mark.parametrize(("now_s", "count"), [(NOW_S - 0.1, 0), (NOW_S, 1)])
def test_after_a_failed_boot_one_is_tried_once_it_is_time(now_s, count):
    master = Master(wanted=3)
    master._boot_failures = BootFailures(failures=1, retry_s=NOW_S)

    assert master.count_to_start(now_s) == count


def test_while_boots_fail_none_is_tried_beside_another():
    master = Master(booting(1), wanted=3)
    master._boot_failures = BootFailures(failures=1, retry_s=0.0)

    assert master.count_to_start() == 0


def test_after_a_reload_one_new_worker_is_tried_before_the_others():
    master = Master(Worker(1), Worker(2), wanted=2)
    master._stale_age = 2

    assert master.count_to_start() == 1


def killed_by_its_app(*workers: Worker, has_served: bool = True) -> Master:
    master = Master(*workers, has_served=has_served)
    master.app.load_without_app, master._app_crash_reason = object(), "it was killed"
    return master


def test_where_loading_the_app_ends_workers_one_serves_legacy_alone():
    assert killed_by_its_app()._must_next_worker_serve_legacy_alone()
    assert killed_by_its_app(booting(1))._must_next_worker_serve_legacy_alone()
    assert not killed_by_its_app(Worker(1))._must_next_worker_serve_legacy_alone()
    assert not killed_by_its_app(
        booting(1, without_app=True)
    )._must_next_worker_serve_legacy_alone()
    assert not killed_by_its_app(has_served=False)._must_next_worker_serve_legacy_alone()


def test_where_nobody_serves_any_more_the_next_boot_does_not_wait():
    master = Master(booting(1))
    master._serving = 1
    master._boot_failures = BootFailures(failures=5, retry_s=NOW_S + 30)
    master._record_ready_workers(NOW_S)

    assert master._boot_failures.retry_s == NOW_S


def test_workers_that_are_too_many_are_told_once(monkeypatch):
    master = Master(Worker(1), Worker(2), Worker(3))
    monkeypatch.setattr(Master, "spawn_worker", lambda _: 0)
    master.manage_workers()
    master.manage_workers()

    assert master.ended == [(1, signal.SIGTERM)]


def test_that_all_serve_is_told_once_all_do(caplog):
    caplog.set_level(logging.INFO, "overgrow")
    master = Master(Worker(1), booting(2))
    master._log_once_if_all_accept()
    before = caplog.text
    master.WORKERS = {each.pid: each for each in (Worker(1), Worker(2))}
    master._log_once_if_all_accept()
    master._log_once_if_all_accept()

    assert (before, caplog.text.count("ready workers=2")) == ("", 1)


# How workers end.


def exited(code: int) -> int:
    return code << 8


def reaped(monkeypatch, master: Master, *ends: tuple[int, int]) -> Master:
    left: Iterator[tuple[int, int]] = iter(ends)
    monkeypatch.setattr(serving_master, "reap_child", lambda: next(left, None))
    master.reap_workers()
    return master


def test_the_place_of_a_worker_that_ended_is_free(monkeypatch):
    worker = Worker(1, count_index=7, was_told_to_leave=True)
    master = reaped(monkeypatch, Master(worker), (worker.pid, exited(0)))

    assert (master.WORKERS, master.departed_clients, master._boot_failures.total) == ({}, [7], 0)


def test_the_end_of_anybody_elses_child_is_nothing(monkeypatch):
    master = reaped(monkeypatch, Master(Worker(1)), (77, exited(0)))

    assert (len(master.WORKERS), master.departed_clients) == (1, [])


def test_a_first_start_that_fails_ends_the_server(monkeypatch):
    worker = booting(1, failure="no such module")

    with pytest.raises(HaltServer, match="no such module"):
        reaped(monkeypatch, Master(worker, has_served=False), (worker.pid, exited(3)))


def test_a_boot_that_fails_later_is_counted_and_ends_nothing(monkeypatch):
    worker = booting(1, failure="no such module")
    master = reaped(monkeypatch, Master(worker, Worker(2)), (worker.pid, exited(3)))

    assert (master._boot_failures.failures, master._boot_failures.reason) == (1, "no such module")


def test_a_boot_that_was_told_to_leave_is_no_failed_one(monkeypatch):
    worker = booting(1, was_told_to_leave=True)
    master = reaped(monkeypatch, Master(worker, has_served=False), (worker.pid, exited(3)))

    assert master._boot_failures.failures == 0


@pytest.mark.parametrize(("aborted", "failures"), [(False, 0), (True, 1)])
def test_a_boot_that_leaves_by_itself_is_a_failed_one_only_where_it_hung(
    monkeypatch, aborted, failures
):
    worker = booting(1, is_leaving=True, aborted=aborted)
    master = reaped(monkeypatch, Master(worker), (worker.pid, signal.SIGKILL))

    assert master._boot_failures.failures == failures


@pytest.mark.parametrize(("lived_s", "failures"), [(YOUNG_S - 0.1, 1), (YOUNG_S, 0)])
def test_workers_that_die_young_are_a_crash_loop(monkeypatch, lived_s, failures):
    workers = [Worker(age, ready_s=NOW_S - lived_s, started_s=NOW_S + age) for age in (1, 2)]
    master = Master(*workers)
    for worker in workers:
        reaped(monkeypatch, master, (worker.pid, signal.SIGSEGV))

    assert master._boot_failures.failures == failures


def test_a_boot_that_hangs_is_killed_and_an_old_worker_is_not():
    hanging = Worker(1, is_ready=False, ready_s=None, started_s=NOW_S - 30.1)
    young = Worker(2, is_ready=False, ready_s=None, started_s=NOW_S - 29.9)
    master = Master(hanging, young, Worker(3))
    master.murder_workers()

    assert master.ended == [(1, signal.SIGKILL)]
    assert (hanging.aborted, young.aborted) == (True, False)


# Starting one.


def blocked() -> set[int]:
    return signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_what_a_worker_is_told_waits_until_it_can_hear(monkeypatch):
    masks: list[set[int]] = []
    monkeypatch.setattr(Arbiter, "spawn_worker", lambda _: masks.append(blocked()) or 42)

    assert Master().spawn_worker() == 42
    assert set(HELD_SIGNALS) <= masks[0]
    assert blocked().isdisjoint(HELD_SIGNALS)


def spawning(monkeypatch, error: BaseException) -> None:
    def fails(_: object) -> int:
        raise error

    monkeypatch.setattr(Arbiter, "spawn_worker", fails)


@pytest.mark.parametrize("error", [OSError(11, "Try again"), MemoryError()])
def test_a_lack_of_processes_is_told_while_others_serve(monkeypatch, error):
    spawning(monkeypatch, error)
    master = Master(Worker(1))

    assert master.spawn_worker() == 0
    assert master._boot_failures.reason.startswith("no process can be made: ")
    assert blocked().isdisjoint(HELD_SIGNALS)


def test_a_lack_of_processes_at_the_first_start_ends_the_server(monkeypatch):
    spawning(monkeypatch, OSError(11, "Try again"))

    with pytest.raises(HaltServer, match="no process can be made: Try again"):
        Master(has_served=False).spawn_worker()


@pytest.mark.parametrize(
    "error", [RuntimeError("of the app"), KeyboardInterrupt(), OSError(5, "x")]
)
def test_what_an_app_raises_makes_no_second_master_of_its_worker(monkeypatch, error):
    pids = iter([1, 2, 2, 2])  # the master's, then the worker's
    monkeypatch.setattr(os, "getpid", lambda: next(pids))
    spawning(monkeypatch, error)

    with pytest.raises(SystemExit):
        Master().spawn_worker()


def test_what_is_raised_in_the_master_is_its_own(monkeypatch):
    spawning(monkeypatch, RuntimeError("a fault"))

    with pytest.raises(RuntimeError, match="a fault"):
        Master().spawn_worker()


# Signals.


def test_hup_tries_at_once_as_many_workers_as_were_asked_for():
    master = Master(wanted=5)
    master._boot_failures = BootFailures(failures=3, retry_s=NOW_S + 30)
    master.handle_hup()

    assert (master.num_workers, master._stale_age, master._boot_failures.retry_s) == (2, 9, 0.0)


def test_usr2_starts_no_second_master(monkeypatch, caplog):
    monkeypatch.setattr(Arbiter, "reexec", lambda _: pytest.fail("a second master"))
    Master().handle_usr2()

    assert "ignored signal=USR2" in caplog.text


@pytest.mark.parametrize(("status", "told"), [(0, 0), (1, 1), (3, 1), (4, 1)])
def test_the_exit_code_is_0_or_1(monkeypatch, status, told):
    codes: list[int] = []
    monkeypatch.setattr(
        Arbiter, "halt", lambda _, *, reason, exit_status: codes.append(exit_status)
    )
    Master().halt("why", status)

    assert codes == [told]


@pytest.mark.parametrize(
    ("graceful", "settings"),
    [(True, [("stopping",)]), (False, [("stopping",), ("graceful_timeout", 1)])],
)
def test_workers_are_told_that_the_server_stops_and_how_long_they_have(
    monkeypatch, graceful, settings
):
    monkeypatch.setattr(Arbiter, "stop", lambda *_: None)
    master = Master()
    master.LISTENERS, master.cfg.graceful_timeout = [], 30
    master.stop(graceful)

    assert master.settings == settings


@pytest.mark.parametrize(
    ("parent", "told"),
    [
        pytest.param(7, [(7, signal.SIGCHLD)], id="its master lives"),
        pytest.param(1, [], id="its master is gone"),
    ],
)
def test_a_worker_that_serves_wakes_its_master(monkeypatch, parent, told):
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "getppid", lambda: parent)
    monkeypatch.setattr(os, "kill", lambda *given: sent.append(given))

    FrontWorker._wake_master(SimpleNamespace(ppid=7))  # type: ignore[arg-type]

    assert sent == told


@pytest.mark.parametrize(
    ("is_stopping", "passed", "wait"),
    [
        pytest.param(True, (3, 4), True, id="a restart with a passed socket"),
        pytest.param(True, (None, 4), False, id="only the admin socket was passed"),
        pytest.param(False, (3, 4), False, id="this worker alone leaves"),
    ],
)
def test_clients_wait_while_a_server_with_a_passed_socket_stops(is_stopping, passed, wait):
    plan = ServerPlan("a:1", "a:2", 1, 25.0, 0.0, passed=passed)
    app = SimpleNamespace(is_stopping=is_stopping, plan=plan)
    control = WorkerControl(SimpleNamespace(age=1, app=app))  # type: ignore[arg-type]

    assert control.has_waiting_clients is wait


def stopped(monkeypatch, *rounds: tuple[list[int], list[int]], graceful: bool = True) -> Master:
    """A master that stopped; each round names the signals that came and the ages of the workers that ended."""
    master, heard = Master(Worker(1), Worker(2)), iter(rounds)
    master.LISTENERS, master.cfg.graceful_timeout = [], 30
    ending: list[int] = []

    def wait(timeout: float) -> list[int]:
        signals, ages = next(heard)
        ending.extend(ages)
        return signals

    def reap() -> None:
        for age in ending:
            master.WORKERS.pop(1_000_000 + age, None)

    master.wait_for_signals, master.reap_workers = wait, reap  # type: ignore[method-assign]
    monkeypatch.setattr(Arbiter, "stop", lambda *_: None)
    master.stop(graceful)
    return master


def test_the_master_stops_as_soon_as_its_last_worker_ended(monkeypatch):
    master = stopped(monkeypatch, ([signal.SIGCHLD], [1]), ([signal.SIGCHLD], [2]))

    assert master.ended == [(1, signal.SIGTERM), (2, signal.SIGTERM)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_an_interrupt_while_the_server_stops_ends_workers_at_once(monkeypatch, number):
    master = stopped(monkeypatch, ([number], [1]), ([], [2]))

    assert master.ended == [
        *((age, signal.SIGTERM) for age in (1, 2)),
        *((age, signal.SIGQUIT) for age in (1, 2)),
    ]


def test_workers_that_outlive_the_time_to_end_are_killed(monkeypatch):
    ticks = iter(range(0, 1_000, 20))
    clock = SimpleNamespace(monotonic=lambda: float(next(ticks)), time=lambda: NOW_S)
    monkeypatch.setattr(serving_master, "time", clock)

    master = stopped(monkeypatch, ([], []), ([], []), graceful=False)

    assert master.ended == [
        (age, number) for number in (signal.SIGQUIT, signal.SIGKILL) for age in (1, 2)
    ]


def test_what_the_master_imported_is_frozen_before_it_forks(monkeypatch):
    done: list[str] = []
    monkeypatch.setattr(serving_master, "freeze_before_fork", lambda: done.append("freeze"))
    monkeypatch.setattr(
        serving_master, "FrontArbiter", lambda _: SimpleNamespace(run=lambda: done.append("run"))
    )

    serving_master.FrontServer.run(SimpleNamespace())  # type: ignore[arg-type]

    assert done == ["freeze", "run"]


def waited(monkeypatch, *signals: list[int]) -> tuple[bool, list[str]]:
    """What became of the drain delay, and what was done meanwhile."""
    done: list[str] = []
    heard = iter(signals)
    monkeypatch.setattr(Master, "wait_for_signals", lambda *_, **__: next(heard, []), raising=False)
    for name in ("reap_workers", "manage_workers", "handle_usr1"):
        monkeypatch.setattr(Master, name, lambda _, name=name: done.append(name))
    return Master()._manage_workers_until_interrupt(0.3), done


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_an_interrupt_ends_the_drain_delay(monkeypatch, number):
    assert waited(monkeypatch, [], [number])[0]


def test_workers_that_die_during_the_drain_delay_are_replaced(monkeypatch):
    assert waited(monkeypatch, [signal.SIGUSR1], [signal.SIGHUP]) == (
        False,
        ["reap_workers", "manage_workers", "handle_usr1", *["reap_workers", "manage_workers"] * 2],
    )
