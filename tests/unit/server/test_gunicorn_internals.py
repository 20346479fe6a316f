"""What our worker relies on inside gunicorn. If one of these fails, read proxy/overgrow/server/worker*.py again.

gunicorn's worker, arbiter and parser are not made to be subclassed; a release may move any of this.
"""

from __future__ import annotations

import inspect
import logging
import re
from importlib.metadata import version

import gunicorn.config
import pytest
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.asgi.lifespan import LifespanManager, LifespanStartupFailed
from gunicorn.asgi.parser import RFC9110_5_3_SINGLETON_FIELDS, PythonProtocol
from gunicorn.errors import HaltServer
from gunicorn.workers.gasgi import ASGIWorker

from overgrow.server.master import FrontArbiter, FrontServer, gunicorn_settings
from overgrow.server.plan import ServerPlan
from overgrow.server.request_parser import RequestParser
from overgrow.server.worker import FrontWorker


def test_gunicorn_is_a_release_that_was_read():
    descriptors = tuple(int(number) for number in re.findall(r"\d+", version("gunicorn"))[:3])

    assert (27, 0, 1) <= descriptors < (28,)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (RequestParser, PythonProtocol),
        (FrontWorker, ASGIWorker),
        (FrontArbiter, Arbiter),
        (FrontServer, BaseApplication),
    ],
)
def test_every_private_method_we_replace_still_exists_with_its_arguments(ours, theirs):
    new = {
        "FrontWorker": {
            "_mark_leaving",
            "_create_listener_state",
            "_create_acceptor",
            "_run_upkeep_and_wait",
            "_drain_and_count_resets",
            "_open_connections",
            "_serve_on_while_older_requests_finish",
            "_has_drained",
            "_run_upkeep_until",
        }
        | {
            "_wake",
            "_wake_master",
            "_ignore_reopening",
            "_start_app",
            "_stop_app",
            "_leave_reason",
            "_handle_signals_in_loop",
            "_start_accepting",
            "_report_boot_failure",
        }
        | {"_apply_server_stop", "_report_count_and_check_defer", "_socket_descriptors"},
        "FrontArbiter": {
            "_notify",
            "_close_passed_sockets",
            "_end_workers",
            "_manage_workers_until_interrupt",
            "_log_once_if_all_accept",
            "_staying_workers",
            "_is_up_to_date",
        }
        | {
            "_choose_workers_to_end",
            "_count_workers_to_start",
            "_record_ready_workers",
            "_record_boot_success",
            "_record_failed_boot",
        }
        | {
            "_handle_death_of_serving_worker",
            "_handle_worker_end",
            "_handle_fork_failure",
            "_must_next_worker_serve_legacy_alone",
        },
        "RequestParser": {"_parse_framing", "_read_connection_options", "_require_host"}
        | {
            "_parse_header_lines",
            "_parse_unusual_request_line",
            "_is_same_head",
            "_apply_remembered_head",
            "_remember_head_if_repeated",
            "_emit_headers_complete",
        }
        | {"_finish_deferred_reset"},
        "FrontServer": {"_on_master_ready"},
    }[ours.__name__]
    replaced = {
        name
        for name, member in vars(ours).items()
        if inspect.isfunction(member) and name.startswith("_") and not name.startswith("__")
    } - new

    assert {name: arguments(getattr(theirs, name, None)) for name in replaced} == {
        name: arguments(getattr(ours, name)) for name in replaced
    }


def arguments(function) -> list[str]:
    return list(inspect.signature(function).parameters) if function else ["(gone)"]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (PythonProtocol.feed, ["self", "data"]),
        (PythonProtocol.remaining, ["self"]),
        (PythonProtocol.reset, ["self"]),
        (ASGIWorker.run, ["self"]),
        (ASGIWorker._serve, ["self"]),
        (ASGIWorker.init_process, ["self"]),
        (ASGIWorker.load_wsgi, ["self"]),
        (ASGIWorker.init_signals, ["self"]),
        (ASGIWorker.handle_exit_signal, ["self"]),
        (ASGIWorker.handle_quit_signal, ["self"]),
        (ASGIWorker.handle_winch_signal, ["self"]),
        (ASGIWorker.notify, ["self"]),
        (Arbiter.manage_workers, ["self"]),
        (Arbiter.handle_term, ["self"]),
        (Arbiter.handle_int, ["self"]),
        (Arbiter.handle_hup, ["self"]),
        (Arbiter.handle_ttin, ["self"]),
        (Arbiter.handle_ttou, ["self"]),
        (Arbiter.handle_usr1, ["self"]),
        (Arbiter.kill_workers, ["self", "sig"]),
        (Arbiter.kill_worker, ["self", "pid", "sig"]),
        (Arbiter.murder_workers, ["self"]),
        (Arbiter.halt, ["self", "reason", "exit_status"]),
        (Arbiter.handle_usr2, ["self"]),
        (Arbiter.spawn_worker, ["self"]),
        (Arbiter.stop, ["self", "graceful"]),
        (Arbiter.wait_for_signals, ["self", "timeout"]),
        (Arbiter.reap_workers, ["self"]),
        (BaseApplication.load_config, ["self"]),
        (BaseApplication.load, ["self"]),
        (BaseApplication.run, ["self"]),
        (LifespanManager, ["app", "logger", "state"]),
        (LifespanManager.startup, ["self"]),
        (LifespanManager.shutdown, ["self"]),
    ],
    ids=lambda value: getattr(value, "__qualname__", None),
)
def test_what_we_call_or_replace_takes_these_arguments(function, expected):
    assert arguments(function) == expected


def test_a_worker_starts_with_these_attributes():
    app = FrontServer(ServerPlan("127.0.0.1:0", "127.0.0.1:0"), lambda: None)
    worker = FrontWorker(7, 1, [], app, 15, app.cfg, logging.getLogger())
    found = {
        name: getattr(worker, name, "(gone)")
        for name in (
            "age",
            "ppid",
            "alive",
            "sockets",
            "servers",
            "state",
            "lifespan",
            "app",
            "aborted",
        )
    }
    worker.tmp.close()

    assert found == {
        "age": 7,
        "ppid": 1,
        "alive": True,
        "sockets": [],
        "servers": [],
        "state": {},
        "lifespan": None,
        "app": app,
        "aborted": False,
    }
    assert worker._quick_shutdown is False


def test_the_master_keeps_workers_and_their_number_under_these_names():
    app = FrontServer(ServerPlan("127.0.0.1:0", "127.0.0.1:0", workers=3), lambda: None)
    arbiter = FrontArbiter(app)

    assert (arbiter.WORKERS, arbiter._num_workers, arbiter.num_workers) == ({}, 3, 3)
    assert arbiter.WORKER_BOOT_ERROR == 3
    assert arbiter.worker_age == 0


def test_the_masters_loop_asks_these_methods_of_ours():
    """Between signals it murders what hangs and manages workers; a worker's end is reaped."""
    loop, ended = inspect.getsource(Arbiter.run), inspect.getsource(Arbiter.handle_chld)

    assert [name in loop for name in ("self.murder_workers()", "self.manage_workers()")] == [
        True
    ] * 2
    assert "self.reap_workers()" in ended
    assert "self.reap_workers()" in inspect.getsource(Arbiter.stop)
    assert "self.manage_workers()" in inspect.getsource(Arbiter.handle_ttin)


def test_a_halt_carries_its_reason_and_status():
    halt = HaltServer("why", 3)

    assert (halt.reason, halt.exit_status) == ("why", 3)


def test_the_parser_keeps_its_state_under_these_names():
    parser = PythonProtocol()
    names = ("_state", "_chunk_state", "_header_count", "_body_remaining", "_scan_from")
    names += ("_chunk_size", "_headers_list", "is_complete", "is_chunked")

    assert [getattr(parser, name) for name in names] == [
        "request_line", "size", 0, 0, 0, 0, [], False, False,
    ]  # fmt: skip
    assert parser._buffer == bytearray()


def test_gunicorn_still_holds_these_headers_for_single():
    assert RFC9110_5_3_SINGLETON_FIELDS == {b"host", b"content-type"}


def test_a_failed_start_of_the_app_has_an_exception_of_its_own():
    assert issubclass(LifespanStartupFailed, Exception)


def test_every_setting_we_make_exists():
    known = gunicorn.config.make_settings()

    assert gunicorn_settings(ServerPlan("127.0.0.1:0", "127.0.0.1:0")).keys() <= known.keys()


def test_the_master_waits_longer_than_its_workers_take():
    settings = gunicorn_settings(ServerPlan("a:1", "b:2", grace_s=20, drain_delay_s=5))

    assert settings["graceful_timeout"] > 25
