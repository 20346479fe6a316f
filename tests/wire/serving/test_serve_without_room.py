"""A state folder that takes no files, as on a full disk: requests are served, and the log says why.

Files and folders of the wrong kind stand in for the full disk: they stop root as well.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from overgrow.app import Overgrow, create_asgi
from overgrow.settings import Settings
from tests.wire.serving.test_serve_for_real import Served, Site


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def log_to(served: Served, words: str) -> str:
    """The log up to a line with these words."""
    told = ""
    for line in served.process.stderr:
        told += line
        if words in line:
            return told
    raise AssertionError(told)


def readiness(served: Served) -> str:
    return json.loads(served.asked("/readyz", served.admin).partition(b"\r\n\r\n")[2])["status"]


def test_an_unwritable_board_is_logged_and_written_when_possible(site):
    in_the_way = site.folder / ".overgrow/board/slot-0.json.new"
    in_the_way.mkdir(parents=True)
    with site.serve() as served:
        told = log_to(served, "worker-ready")
        before = readiness(served), served.asked("/hello")[-3:]
        in_the_way.rmdir()
        log_to(served, "board can be written again")

        assert before == ("ready", b"one")
        assert f"{site.folder}/.overgrow/board cannot be written: Is a directory" in told
        assert "the other workers and the command line do not know" in told
        assert readiness(served) == "ready"


def test_a_worker_without_a_slot_serves_from_a_temporary_one_and_says_so(site):
    (site.folder / ".overgrow").mkdir()
    (site.folder / ".overgrow/metrics").touch()
    instead = None
    try:
        with site.serve() as served:
            told = log_to(served, "worker-ready")
            instead = Path(told.partition("on the board in ")[2].partition(". Free some space")[0])

            assert f"{site.folder}/.overgrow/metrics cannot be written: File exists" in told
            assert served.asked("/hello").endswith(b"one")
            assert readiness(served) == "ready"
    finally:
        if instead is not None and instead.name.startswith("overgrow-"):
            shutil.rmtree(instead)


def test_a_worker_that_cannot_start_says_so_to_its_server(site, monkeypatch):
    async def fails(*_):
        raise OSError("no room at all")

    monkeypatch.chdir(site.folder)
    monkeypatch.setattr(Overgrow, "open", fails)
    app, sent = create_asgi(Settings(workers=1)), []

    async def start() -> None:
        async def receive() -> dict[str, str]:
            return {"type": "lifespan.startup"}

        async def send(message) -> None:
            sent.append(message)

        await app({"type": "lifespan", "state": {}}, receive, send)

    asyncio.run(start())

    assert sent == [{"type": "lifespan.startup.failed", "message": "no room at all"}]
