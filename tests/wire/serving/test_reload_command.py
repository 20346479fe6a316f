"""`overgrow reload`: new code in every worker, no lost request, and nothing for code that cannot run."""

from __future__ import annotations

import json
import threading

import pytest

from tests.story.front import eventually
from tests.wire.serving.servers import Client, status_of
from tests.wire.serving.test_serve_for_real import APP
from tests.wire.serving.test_serving_answers import get
from tests.wire.serving.test_truthful_flips import LATER, Door, ready

CLIENTS = 16


@pytest.fixture
def door(tmp_path):
    """A front door whose view is served by migrated."""
    door = Door(tmp_path)
    door.write_table("migrated")
    return door


def test_a_reload_returns_when_every_worker_has_the_new_code(door):
    with door.serving() as served:
        before = ready(served)["workers"][0]["pid"]
        door.write_app("two")
        done = door.run("reload", "--json")
        answers = {served.asked("/hello")[-3:] for _ in range(10)}
        told = json.loads(done.stdout)

    assert (0, {b"two"}) == (done.returncode, answers), done.stderr
    assert "site_under_test:create_app" == told["app"]
    assert [0] == [each["slot"] for each in told["workers"]] or before != told["workers"][0]["pid"]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        pytest.param("def create_app(:\n", "SyntaxError", id="half-written"),
        pytest.param("1/0\n", "ZeroDivisionError", id="it raises"),
        pytest.param("import os\nos._exit(3)\n", "ended its process", id="it ends the process"),
        pytest.param(
            "from flask import Flask\ndef create_app():\n    return Flask(__name__)\n",
            "the app has no rule of the shape /hello",
            id="it lacks a rule that the table needs",
        ),
    ],
)
def test_code_that_cannot_run_changes_nothing(door, code, why):
    with door.serving() as served:
        before = ready(served)["workers"]
        (door.folder / "site_under_test.py").write_text(code)
        done = door.run("reload", "--json")
        after, answer = ready(served), served.asked("/hello")

    assert 1 == done.returncode
    assert why in json.loads(done.stdout)["error"]["message"]
    assert [each["pid"] for each in before] == [each["pid"] for each in after["workers"]]
    assert (b"one", None) == (answer[-3:], after["boot_error"])


def test_an_edit_within_a_second_that_keeps_the_size_is_seen(door):
    with door.serving() as served:
        for word in ("abc", "def", "ghi"):
            door.write_app(word)
            done = door.run("reload")
            assert (0, word.encode()) == (done.returncode, served.asked("/hello")[-3:]), done.stderr


def test_the_app_of_the_table_is_read_again(door):
    with door.serving() as served:
        (door.folder / "other_site_under_test.py").write_text(APP.replace("{word}", "new"))
        table = door.table.read_text()
        door.table.write_text(table.replace("site_under_test:", "other_site_under_test:"))
        done = door.run("reload")
        answer = served.asked("/hello")

    assert (0, b"new") == (done.returncode, answer[-3:]), done.stderr


def test_a_first_app_is_loaded_without_a_restart(door):
    door.table.write_text("version: 1\nlegacy: {url: 'http://127.0.0.1:9'}\nroutes: []\n")
    with door.serving() as served:
        without = door.run("reload")
        (door.folder / "site_under_test.py").write_text(LATER)
        words = ("init", "--add", "--app", "site_under_test:create_app")
        done = [door.run(*words), door.run("reload"), door.run("flip", "get-later", "migrated")]
        answer = served.asked("/later")

    assert "Reloaded: 1 new worker, without an app, as the table names none.\n" == without.stdout
    assert [0, 0, 0] == [each.returncode for each in done], [each.stderr for each in done]
    assert answer.endswith(b"later")


def test_without_a_front_door_there_is_nothing_to_reload(door):
    done = door.run("reload", "--json")

    assert (1, "not-running") == (done.returncode, json.loads(done.stdout)["error"]["code"])


class Load:
    """Clients that ask for one page all the time, each over kept-alive connections of its own."""

    def __init__(self, served) -> None:
        self.served = served
        self.failed: list[bytes] = []
        self.asked = [0] * CLIENTS
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(CLIENTS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        eventually(lambda: min(self.asked) > 0)
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        while not self._is_over.is_set():
            try:
                with Client(self.served.public) as client:
                    while self._ask(client, number):
                        pass
            except (OSError, AssertionError) as error:
                self.failed.append(repr(error).encode())

    def _ask(self, client: Client, number: int) -> bool:
        """Ask once; whether the connection may be used again."""
        client.send(get("/hello"))
        head, body = client.read_answer()
        self.asked[number] += 1
        if status_of(head) != 200 or len(body) != 3:
            self.failed.append(head)
        return not self._is_over.is_set() and b"close" not in head.lower()


def test_no_request_is_lost_in_ten_reloads_of_which_three_fail(door):
    codes = []
    with door.serving() as served, Load(served) as load:
        for number in range(10):
            door.write_app(f"a{number:02}")
            if number in {2, 5, 8}:
                (door.folder / "site_under_test.py").write_text("def broken(:\n")
            codes.append(door.run("reload").returncode)

    assert [0, 0, 1, 0, 0, 1, 0, 0, 1, 0] == codes
    assert [] == load.failed
