"""Two front doors never share a state folder; restarts, reloads and crashes never lock one out."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.wire.serving.servers import PATIENCE_S
from tests.wire.serving.test_serve_for_real import Served, Site
from tests.wire.serving.test_serving_drain import wait_until


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def workers_of(served: Served) -> list[int]:
    """The pids of the workers; none while none has been started."""
    pid = served.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_second_front_door_on_one_state_folder_is_refused(site):
    with site.serve() as first:
        code, told = site.serve().refusal()

    assert code == 1
    assert f"{site.folder}/.overgrow is the state folder of a running front door" in told
    assert f"(pid {first.process.pid}, table " in told
    assert ", public 127.0.0.1:0, admin 127.0.0.1:0)" in told
    assert "--state DIR" in told


def test_the_first_one_serves_on_and_its_last_good_table_is_untouched(site):
    kept = site.folder / ".overgrow/last-good.yaml"
    with site.serve() as first:
        before = kept.read_bytes()
        other = site.folder / "other.yaml"
        other.write_text((site.folder / "routes.yaml").read_text() + "# another\n")
        code, _ = site.serve(
            "--config", str(other), "--state", str(site.folder / ".overgrow")
        ).refusal()

        assert code == 1
        assert kept.read_bytes() == before
        assert first.asked("/hello").endswith(b"one")


def test_a_folder_of_its_own_lets_both_run(site):
    with site.serve() as first, site.serve("--state", str(site.folder / "second")) as second:
        assert first.asked("/hello").endswith(b"one")
        assert second.asked("/hello").endswith(b"one")


@pytest.mark.parametrize("removed", [".overgrow", ".overgrow/serve.lock"])
def test_a_state_folder_that_was_removed_is_held_again(site, removed):
    lock = site.folder / ".overgrow/serve.lock"
    with site.serve() as first:
        wait_until(lambda: workers_of(first))
        path = site.folder / removed
        path.rename(site.folder / "removed")
        wait_until(lambda: lock.exists() and lock.read_text())
        code, told = site.serve().refusal()

    assert code == 1
    assert f"(pid {first.process.pid}, table " in told
    assert ", public 127.0.0.1:0, admin 127.0.0.1:0)" in told


def test_after_a_reload_the_folder_is_still_held(site):
    with site.serve() as served:
        wait_until(lambda: workers_of(served))
        before = workers_of(served)
        served.process.send_signal(signal.SIGHUP)
        wait_until(lambda: set(workers_of(served)) - set(before))

        assert site.serve().refusal()[0] == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_next_front_door_may_start_however_the_last_one_ended(site, how):
    with site.serve() as served:
        served.process.send_signal(how)
        served.process.wait(PATIENCE_S)

    with site.serve() as after:
        assert after.asked("/hello").endswith(b"one")


def test_a_worker_that_outlives_its_master_does_not_keep_the_folder(site):
    with site.serve() as served:
        wait_until(lambda: workers_of(served))
        orphan = workers_of(served)[0]
        os.kill(orphan, signal.SIGSTOP)
        try:
            served.process.kill()
            served.process.wait(PATIENCE_S)

            with site.serve() as after:
                assert after.asked("/hello").endswith(b"one")
        finally:
            os.kill(orphan, signal.SIGCONT)
