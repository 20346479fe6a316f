"""A table that is refused lies there while workers die and the server restarts: all run what ran before."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.story.front import OVERGROW, ROOT, eventually, running_front
from tests.story.stub import running_stub

APP = '''\
"""An app that answers with its own name."""
from flask import Flask


def create_app():
    app = Flask("kept")
    app.add_url_rule("/orders", "orders", lambda: "kept")
    return app
'''
TABLE = """\
version: 1
app: kept:create_app
legacy: {url: "${LEGACY_URL}"}
routes:
  - {name: orders, path: /orders, target: migrated, reversible: false}
  - {name: old, path: /old, target: gone}
"""
# In fewer words, and by a rename: what is refused is refused for what it says, at once.
WEAKER = TABLE.replace(", reversible: false", "")
REFUSED = [
    pytest.param(WEAKER, "irreversible-weakened", id="a weakening table"),
    pytest.param("", "file-empty", id="an empty table"),
    pytest.param(None, "file-missing", id="no table"),
    pytest.param("app: other:create_app\nroutes: nonsense\n", "required", id="an invalid table"),
]


@pytest.fixture
def front(tmp_path):
    (tmp_path / "kept.py").write_text(APP)
    with (
        running_stub(data=tmp_path / "legacy.db") as port,
        running_front(TABLE, tmp_path, port, data=tmp_path / "shop.db", workers=2) as front,
    ):
        yield front


def lay(front, text):
    """Put a table in the place of the one that runs, whole, or remove that."""
    if text is None:
        front.config.unlink()
        return
    new = front.config.with_name("new.yaml")
    new.write_text(text)
    new.replace(front.config)


def refusal(front):
    """The codes of the problems of the file, once they are known."""
    told = front.readyz().get("reload_error")
    return {problem["code"] for problem in told["problems"]} if told else set()


def answers(front, count=30):
    return {front.get("/orders")[2] for _ in range(count)}


@pytest.mark.parametrize(("text", "code"), REFUSED)
def test_killed_workers_come_back_on_the_table_and_the_app_of_the_others(front, text, code):
    running = front.readyz()["revision"]
    lay(front, text)
    eventually(lambda: code in refusal(front))
    for pid in front.workers.values():
        known = set(front.workers.values())
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: len(front.workers) == 2 and set(front.workers.values()) != known)  # noqa: B023

    assert front.runs(running)
    assert code in refusal(front)
    assert answers(front) == {b"kept"}


def test_a_restart_beside_a_weakening_table_judges_like_the_workers(front):
    running = front.readyz()["revision"]
    lay(front, WEAKER)
    eventually(lambda: refusal(front))
    front.process.terminate()
    front.process.wait(timeout=60)
    words = [*OVERGROW, "serve", "--config", str(front.config), "--bind", f"127.0.0.1:{front.port}"]
    ended = subprocess.run(
        words,
        cwd=ROOT,
        env=front.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    with subprocess.Popen(
        [*words, "--from-last-good", "--workers", "1"],
        cwd=ROOT,
        env=front.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as again:
        try:
            eventually(lambda: front.runs(running))
            told, answered = refusal(front), answers(front)
        finally:
            again.terminate()
            again.wait(timeout=60)

    assert ended.returncode == 2
    assert f"write allow: [orders@{running}] at the top" in ended.stderr
    assert (told, answered) == ({"irreversible-weakened"}, {b"kept"})


def test_the_line_that_is_printed_lets_the_table_take_effect(front):
    running = front.readyz()["revision"]
    lay(front, f"allow: [orders@{running}]\n{WEAKER}")
    eventually(lambda: front.readyz()["revision"] != running)

    assert refusal(front) == set()
    lay(front, f"allow: [orders@{running}]\n{TABLE}")
    eventually(lambda: not refusal(front) and b"kept" in answers(front, 1))


@contextmanager
def being_written(path, text):
    """Somebody who writes the same half of a table again and again, slower than workers look."""
    is_done = threading.Event()

    def write():
        size = 0
        while not is_done.wait(1.0):
            size += 1
            path.write_text(text + "#\n" * size)

    path.write_text(text)
    with ThreadPoolExecutor() as pool:
        writing = pool.submit(write)
        try:
            yield
        finally:
            is_done.set()
            writing.result()


def test_half_of_a_table_takes_no_effect_while_it_is_written(front):
    running = front.readyz()["revision"]
    with being_written(front.config, TABLE[: TABLE.index("  - {name: old")]):
        eventually(lambda: "[half-written]" in str(front.readyz().get("notes")))
        for pid in front.workers.values():
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: front.runs(running) and len(front.workers) == 2)
        status = front.get("/old")[0]
    front.config.write_text(TABLE.replace("/old", "/older"))

    assert status == 410
    eventually(lambda: front.readyz()["revision"] != running and not refusal(front))
