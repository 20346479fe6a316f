"""`overgrow serve --legacy URL` in an empty folder: everything to legacy, until there is a table."""

from __future__ import annotations

import json

import pytest

from tests.story.front import eventually
from tests.unit.cli.conftest import listening
from tests.wire.serving.test_serve_for_real import Site

INIT = "version: 1\nlegacy:\n  url: {url}\nroutes:\n  - {{name: gone, path: /gone, target: gone}}\n"


@pytest.fixture
def legacy():
    """A legacy app that answers every path with JSON; its address."""
    with listening(lambda path: (200, {"legacy": path})) as (_, address):
        yield f"http://{address}"


@pytest.fixture
def empty(tmp_path):
    """An empty folder to serve from."""
    site = Site(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    return site


def ready(served):
    return json.loads(served.asked("/readyz", served.admin).partition(b"\r\n\r\n")[2])


def test_without_any_file_everything_goes_to_legacy(empty, legacy):
    with empty.serve("--legacy", f"{legacy}/") as served:
        answer = served.asked("/any/path?x")
        told = ready(served)

    assert answer.endswith(b'{"legacy": "/any/path?x"}')
    assert ("ready", None) == (told["status"], told["reload_error"])
    assert [".overgrow"] == [path.name for path in empty.folder.iterdir()]


def test_a_table_that_is_written_later_takes_effect(empty, legacy):
    with empty.serve("--legacy", legacy) as served:
        (empty.folder / "routes.yaml").write_text(INIT.format(url=legacy))
        eventually(lambda: b" 410 " in served.asked("/gone").partition(b"\r\n")[0])
        other = served.asked("/other")

    assert other.endswith(b'{"legacy": "/other"}')


def test_a_table_that_took_effect_and_is_removed_runs_on(empty, legacy):
    with empty.serve("--legacy", legacy) as served:
        table = empty.folder / "routes.yaml"
        table.write_text(INIT.format(url=legacy))
        eventually(lambda: b" 410 " in served.asked("/gone").partition(b"\r\n")[0])
        table.unlink()
        error = eventually(lambda: ready(served)["reload_error"])
        served.process.send_signal(1)  # HUP: workers that boot now
        first = {worker["pid"] for worker in ready(served)["workers"]}
        eventually(lambda: first.isdisjoint(each["pid"] for each in ready(served)["workers"]))
        answer = served.asked("/gone")

    assert "file-missing" == error["problems"][0]["code"]
    assert b" 410 " in answer.partition(b"\r\n")[0]


def test_workers_that_boot_later_go_to_legacy_too(empty, legacy):
    with empty.serve("--legacy", legacy) as served:
        first = {worker["pid"] for worker in ready(served)["workers"]}
        served.process.send_signal(1)
        eventually(lambda: first.isdisjoint(each["pid"] for each in ready(served)["workers"]))
        answer, told = served.asked("/x"), ready(served)

    assert answer.endswith(b'{"legacy": "/x"}')
    assert told["reload_error"] is None


def test_beside_a_table_it_is_refused(empty, legacy):
    (empty.folder / "routes.yaml").write_text(INIT.format(url=legacy))

    code, told = empty.serve("--legacy", legacy).refusal()

    assert 2 == code
    assert "routes.yaml exists and says where the legacy app is" in told


@pytest.mark.parametrize("url", ["localhost:9000", "http://h/shop", "${NOT_SET}"])
def test_an_address_that_is_none_is_refused(empty, url):
    code, told = empty.serve("--legacy", url).refusal()

    assert 2 == code
    assert "Error: --legacy " in told


def test_a_start_without_table_keeps_what_the_last_table_kept_for_good(empty, legacy):
    state = empty.folder / ".overgrow"
    state.mkdir()
    kept = INIT.format(url=legacy).replace("target: gone", "target: gone, reversible: false")
    (state / "last-good.yaml").write_text(kept)

    code, told = empty.serve("--legacy", legacy).refusal()

    assert 2 == code
    assert "[irreversible-weakened]" in told
