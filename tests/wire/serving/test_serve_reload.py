"""`overgrow serve --reload`, for development: what is saved runs; what is half-written is shown."""

from __future__ import annotations

import os
import threading

import pytest

from tests.story.front import eventually
from tests.wire.serving.servers import status_of
from tests.wire.serving.test_serve_for_real import APP
from tests.wire.serving.test_truthful_flips import LATER, Door, ready

RAISING = APP.replace('"{word}"', "1 // 0")


@pytest.fixture
def door(tmp_path):
    """A front door whose view is served by migrated, and whose files are older than it."""
    door = Door(tmp_path)
    door.write_table("migrated")
    return door


class Lines:
    """What a program says on standard error, read beside it."""

    def __init__(self, stream) -> None:
        self.text = ""
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream) -> None:
        for line in stream:
            self.text += line


def save(door, text):
    """Save the app as an editor does: a whole file, in one step."""
    draft = door.folder / "draft.tmp"
    draft.write_text(text)
    os.replace(draft, door.folder / "site_under_test.py")  # noqa: PTH105


def test_a_saved_view_is_served(door):
    with door.serve("--reload") as served:
        lines = Lines(served.process.stderr)
        assert served.asked("/hello").endswith(b"one")
        save(door, APP.replace("{word}", "two"))
        eventually(lambda: served.asked("/hello").endswith(b"two"))
        eventually(lambda: "Reloaded: 1 worker has site_under_test:create_app" in lines.text)

    assert "reloading why='site_under_test.py changed'" in lines.text


def test_a_half_written_file_is_shown_and_the_last_good_code_serves_on(door):
    with door.serve("--reload") as served:
        lines = Lines(served.process.stderr)
        assert served.asked("/hello").endswith(b"one")
        save(door, "def create_app(:\n")
        eventually(lambda: "SyntaxError" in lines.text)
        still = served.asked("/hello")
        save(door, APP.replace("{word}", "two"))
        eventually(lambda: served.asked("/hello").endswith(b"two"))

    assert still.endswith(b"one")
    assert "(site_under_test.py, line 1)" in lines.text


def test_an_app_that_the_table_names_later_is_loaded(door):
    door.table.write_text("version: 1\nlegacy: {url: 'http://127.0.0.1:9'}\nroutes: []\n")
    with door.serve("--reload") as served:
        Lines(served.process.stderr)
        assert ready(served)["workers"]
        save(door, LATER)
        door.run("init", "--add", "--app", "site_under_test:create_app")
        eventually(lambda: door.run("flip", "get-later", "migrated").returncode == 0)

        assert served.asked("/later").endswith(b"later")


def test_a_view_that_raises_answers_with_the_debugger_on_loopback(door):
    (door.folder / "site_under_test.py").write_text(RAISING)
    with door.serve("--reload") as served:
        Lines(served.process.stderr)
        answer = served.asked("/hello")

    assert (500, True, True) == (
        status_of(answer),
        b"ZeroDivisionError" in answer,
        b"__debugger__" in answer,
    )


@pytest.mark.parametrize(
    ("bind", "words"),
    [
        pytest.param("0.0.0.0:0", ("--reload",), id="others can reach it"),
        pytest.param("127.0.0.1:0", ("--reload", "--workers", "2"), id="two workers"),
        pytest.param("127.0.0.1:0", (), id="not for development"),
    ],
)
def test_elsewhere_there_is_no_debugger(door, bind, words):
    (door.folder / "site_under_test.py").write_text(RAISING)
    with door.serve(*words, bind=bind) as served:
        Lines(served.process.stderr)
        answer = served.asked("/hello", served.public.replace("0.0.0.0", "127.0.0.1"))

    assert (500, False) == (status_of(answer), b"ZeroDivisionError" in answer)
