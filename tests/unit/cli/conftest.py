"""A folder with a table and an app, commands run in it, and an admin listener that says what it is told."""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from overgrow.cli.main import main

TABLE = """\
version: 1
app: shop:create_app
legacy:
  url: http://127.0.0.1:9000
routes:
  - name: orders
    path: /orders
    methods: [GET, POST]
    target: legacy
  - name: order-detail
    path: /orders/<int:id>
    target: migrated
  - name: cart
    path: /cart
    host: shop.example
    headers: {X-Beta: "1"}
    target: legacy
"""
APP = """\
from flask import Flask

def create_app():
    app = Flask(__name__)
    app.add_url_rule("/orders", "orders", lambda: "", methods=["GET", "POST"])
    app.add_url_rule("/orders/<int:id>", "order", lambda id: "")
    return app
"""


class Bench:
    """A folder of a test's own, and `overgrow` run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table = folder / "routes.yaml"
        self.app = folder / "shop.py"

    def __call__(self, *words, typed=None, **environment):
        """Run one command, to which a person may type; an exception that is no exit fails the test."""
        runner = CliRunner(env=environment)
        return runner.invoke(main, words, prog_name="overgrow", catch_exceptions=False, input=typed)

    def json(self, *words, **environment):
        """Run one command with --json: (exit code, what it printed)."""
        done = self(*words, "--json", **environment)
        return done.exit_code, json.loads(done.stdout)

    def fails(self, *words, **environment):
        """Run one command that exits with 1: its standard error."""
        done = self(*words, **environment)
        assert (1, "") == (done.exit_code, done.stdout)
        return done.stderr

    def misused(self, *words, **environment):
        """Run one command that exits with 2: its standard error."""
        done = self(*words, **environment)
        assert (2, "") == (done.exit_code, done.stdout)
        return done.stderr


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """An empty folder, as the working directory."""
    for name in list(os.environ):
        if name.startswith("OVERGROW_"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("OVERGROW_ADMIN", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield Bench(tmp_path)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def overgrow(bare):
    """A folder with a table of three routes and the app it names."""
    bare.table.write_text(TABLE)
    bare.app.write_text(APP)
    return bare


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Authorization"]))
        status, told = self.server.answer(self.path)
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        """Say nothing."""


@contextmanager
def listening(answer):
    """An admin listener that answers `answer(path) -> (status, JSON or bytes)`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.answer, server.asked = answer, []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server, f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def admin():
    """`with admin(answer) as (server, address)`."""
    return listening


def readiness(revision, /, **given):
    """What /readyz says of two workers that run a revision."""
    since = "2026-11-22T18:00:00.000Z"
    workers = [
        {"slot": slot, "pid": 40 + slot, "revision": revision, "since": since} for slot in (0, 1)
    ]
    told = {
        "status": "ready",
        "revision": revision,
        "agreed": True,
        "killed": False,
        "workers": workers,
        "reload_error": None,
        "boot_error": None,
        "upstream": {"up": True, "since": None, "error": None},
    }
    return {**told, **given}


@pytest.fixture
def ready():
    """`ready(revision, **changes)`: what /readyz says."""
    return readiness
