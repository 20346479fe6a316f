"""Three ways in: gunicorn's asgi worker, a WSGI server, `flask run`; each serves both sides alike."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest

from tests.ports import free_port
from tests.story.endpoints import Endpoint
from tests.story.front import ROOT, environment_for, eventually
from tests.story.stub import answer_of, running_stub

TABLE = """\
version: 1
app: migrated:create_app
legacy:
  url: ${LEGACY_URL}
routes:
  - name: api-products
    path: /api/products
    methods: [GET]
    target: migrated
  - name: orders
    path: /api/orders
    methods: [GET, POST]
    target: migrated
"""
GUNICORN = [sys.executable, "-m", "gunicorn", "--no-control-socket", "-b", "127.0.0.1:{port}"]
WAYS = {
    "gunicorn asgi": [*GUNICORN, "-k", "asgi", "overgrow:create_asgi()"],
    "gunicorn gthread": [*GUNICORN, "--threads", "4", "overgrow:create_app()"],
    "flask run": [sys.executable, "-m", "flask", "--app", "overgrow", "run", "-p", "{port}"],
    "flask run --debug": [
        *(sys.executable, "-m", "flask", "--app", "overgrow", "run"),
        *("-p", "{port}", "--debug", "--no-reload"),
    ],
}
ASKED = [
    Endpoint("GET", "/api/products"),
    Endpoint("GET", "/cart"),
    Endpoint("GET", "/%ff"),
    Endpoint("POST", "/api/orders", (("Content-Type", "application/json"),), b"{"),
    Endpoint("HEAD", "/products"),
    Endpoint("GET", "/chunked"),
    Endpoint("POST", "/upload", (), b"x" * 200_000),
]


@contextmanager
def running(command, environment, port):
    """Run a server until its port answers; end it with TERM."""
    words = [word.format(port=port) for word in command]
    with subprocess.Popen(
        words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            eventually(lambda: process.poll() is not None or _answers(port))
            yield
        finally:
            process.terminate()


def _answers(port):
    try:
        return answer_of(port, Endpoint("GET", "/api/products")).status
    except OSError:
        return None


@pytest.fixture(params=WAYS)
def pair(request, tmp_path):
    (tmp_path / "routes.yaml").write_text(TABLE)
    behind, port = tmp_path / "behind.sqlite3", free_port()
    with ExitStack() as stack:
        direct = stack.enter_context(running_stub(data=tmp_path / "direct.sqlite3"))
        legacy = stack.enter_context(running_stub(data=behind))
        environment = environment_for(
            legacy, behind, OVERGROW_CONFIG=str(tmp_path / "routes.yaml"), OVERGROW_EXPOSE="0"
        )
        stack.enter_context(running(WAYS[request.param], environment, port))
        yield direct, port


def test_both_sides_answer_as_legacy_does(pair):
    direct, front = pair
    different = [
        (str(endpoint), expected, actual)
        for endpoint in ASKED
        if (expected := answer_of(direct, endpoint)) != (actual := answer_of(front, endpoint))
    ]

    assert [] == different


def test_the_migrated_app_serves_its_side_alone(tmp_path):
    """The last commit of a migration deletes proxy/ and routes.yaml."""
    port, data = free_port(), tmp_path / "alone.sqlite3"
    environment = environment_for(1, data)
    command = [sys.executable, "-m", "flask", "--app", "migrated", "run", "-p", "{port}"]
    with (
        running_stub(data=tmp_path / "direct.sqlite3") as direct,
        running(command, environment, port),
    ):
        alone = answer_of(port, Endpoint("GET", "/api/products"))
        expected = answer_of(direct, Endpoint("GET", "/api/products"))

    assert expected == alone
