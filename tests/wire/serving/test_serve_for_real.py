"""`overgrow serve` as a person runs it: a folder with a table and an app, and no legacy behind it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.programs import IMPORT_PATH
from tests.story.front import eventually
from tests.wire.serving.servers import PATIENCE_S, Client, status_of
from tests.wire.serving.test_serving_answers import get

APP = """
from flask import Flask
def create_app():
    app = Flask(__name__)
    app.add_url_rule("/hello", view_func=lambda: "{word}", endpoint="hello")
    return app
"""
TABLE = """version: 1
app: site_under_test:create_app
legacy:
  url: http://127.0.0.1:9
routes:
  - path: /hello
    methods: [GET]
    target: {target}
"""


class Site:
    """A folder to serve from."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.env = {"PYTHONPATH": IMPORT_PATH, "PATH": ""}
        self.write_app("one")
        self.write_table("migrated")

    def write_app(self, word: str) -> None:
        self.write_app_code(APP.replace("{word}", word))

    def write_app_code(self, code: str) -> None:
        """Replace the app's module at once: a worker that starts meanwhile must not import half of it."""
        beside = self.folder / "site_under_test.new"
        beside.write_text(code)
        beside.replace(self.folder / "site_under_test.py")

    def write_table(self, target: str) -> None:
        (self.folder / "routes.yaml").write_text(TABLE.replace("{target}", target))

    def command(self, *arguments: str) -> list[str]:
        command = [sys.executable, "-B", "-m", "overgrow.cli.main", "serve", "--workers", "1"]
        return [*command, "--admin", "127.0.0.1:0", *arguments]

    def serve(self, *arguments: str, bind: str = "127.0.0.1:0") -> Served:
        return Served(
            subprocess.Popen(
                self.command("--bind", bind, *arguments),
                cwd=self.folder,
                env=self.env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )


class Served:
    """A running `overgrow serve`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def __enter__(self):
        self.line = self.process.stderr.readline()
        self.notes = ""
        while not self.line.startswith("overgrow: ") and self.process.poll() is None:
            self.notes += self.line  # on the table, or what the app printed
            self.line = self.process.stderr.readline()
        found = re.fullmatch(
            r"overgrow: public (\S+), admin (\S+), revision ([0-9a-f]{12}), \d workers?\n",
            self.line,
        )
        assert found, (self.line, self.process.communicate(timeout=PATIENCE_S))
        self.public, self.admin, self.revision = found.groups()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=PATIENCE_S)

    def asked(self, path: str, address: str | None = None) -> bytes:
        with Client(address or self.public) as client:
            client.send(get(path, "Connection: close"))
            return client.read_to_end()

    def scraped(self) -> bytes:
        with urllib.request.urlopen(f"{self.admin}/metrics", timeout=PATIENCE_S) as answer:
            return answer.read()

    def refusal(self) -> tuple[int, str]:
        """The exit code and stderr of a start that is refused."""
        told = self.process.communicate(timeout=PATIENCE_S)[1]
        return self.process.returncode, told


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_it_says_where_it_listens_and_serves(site):
    with site.serve() as served:
        answer = served.asked("/hello")
        ready = served.asked("/readyz", served.admin)

    assert answer.endswith(b"\r\n\r\none")
    assert json.loads(ready.partition(b"\r\n\r\n")[2])["revision"] == served.revision


def test_a_note_on_the_table_is_told_at_the_start_and_by_readyz(site):
    site.write_table("migrated\n    canary: 5%")
    with site.serve() as served:
        ready = served.asked("/readyz", served.admin)
        while b'"notes"' not in ready:
            ready = served.asked("/readyz", served.admin)

    assert b"[canary-dormant]" in ready


def test_the_public_listener_serves_no_path_of_the_front_doors_own(site):
    with site.serve() as served:
        assert status_of(served.asked("/readyz")) == 502  # legacy's, which is down


def test_readiness_says_draining_while_the_listeners_still_accept(site):
    with site.serve("--drain-delay", "2s") as served:
        before = status_of(served.asked("/readyz", served.admin))
        served.process.terminate()
        deadline = time.monotonic() + PATIENCE_S
        answer = served.asked("/readyz", served.admin)
        while status_of(answer) == 200 and time.monotonic() < deadline:
            answer = served.asked("/readyz", served.admin)
        still = served.asked("/hello")

        assert (before, status_of(answer)) == (200, 503)
        assert b'"draining"' in answer
        assert still.endswith(b"one")
        assert served.process.wait(PATIENCE_S) == 0


def test_hup_loads_the_apps_code_anew(site):
    with site.serve() as served:
        assert served.asked("/hello").endswith(b"one")
        site.write_app("two")
        served.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE_S
        while (answer := served.asked("/hello")).endswith(b"one"):
            assert time.monotonic() < deadline

    assert answer.endswith(b"two")


def test_an_invalid_table_is_refused_with_every_problem(site):
    (site.folder / "routes.yaml").write_text(
        TABLE.replace("{target}", "sideways").replace("version: 1", "version: one")
    )

    code, told = site.serve().refusal()

    assert code == 2
    assert re.search(r"routes.yaml:1:\d+: ", told)
    assert re.search(r"routes.yaml:8:\d+: ", told)
    assert told.endswith("2 problems; nothing was started.\n")


def test_a_missing_table_is_refused(site):
    (site.folder / "routes.yaml").unlink()

    code, told = site.serve().refusal()

    assert code == 2
    assert "routes.yaml" in told


def test_an_address_in_use_is_refused(site):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        code, told = site.serve(bind=bind).refusal()

    assert code == 1
    assert told == (
        f"Error: Cannot listen on {bind}: Address already in use. "
        "Stop the server that listens there, or name another address with --bind or --admin.\n"
    )


def test_an_app_that_changes_the_working_folder_is_served(site):
    chdir = "import os\nos.chdir('/')\n"
    (site.folder / "site_under_test.py").write_text(chdir + APP.replace("{word}", "one"))

    with site.serve() as served:
        assert served.asked("/hello").endswith(b"one")
        site.write_table("legacy")
        deadline = time.monotonic() + PATIENCE_S
        while status_of(served.asked("/hello")) != 502:  # legacy's, which is down
            assert time.monotonic() < deadline
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(PATIENCE_S) == 0


def test_an_app_that_ends_its_process_is_refused(site):
    (site.folder / "site_under_test.py").write_text("import os\nos._exit(3)\n")

    code, told = site.serve().refusal()

    assert code == 2
    assert "The app ended its process during the import" in told


def test_the_log_names_an_ipv4_client_of_an_ipv6_listener_as_such(site):
    with site.serve(bind="[::]:0") as served:
        port = served.public.rpartition(":")[2]
        served.asked("/hello", f"http://127.0.0.1:{port}")
        line = json.loads(served.process.stdout.readline())

    assert line["client.address"] == "127.0.0.1"


def test_an_app_that_leaves_a_thread_running_is_served(site):
    thread = "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n"
    (site.folder / "site_under_test.py").write_text(thread + APP.replace("{word}", "one"))
    with site.serve() as served:
        assert served.asked("/hello").endswith(b"\r\n\r\none")


READING = """
import pathlib
from flask import Flask, request
def read():
    request.stream.read(1)
    pathlib.Path("reads").touch()
    return str(len(request.get_data()))
def create_app():
    app = Flask(__name__)
    app.add_url_rule("/hello", view_func=read, endpoint="hello", methods=["GET", "POST"])
    return app
"""


def test_a_client_that_leaves_its_streamed_upload_is_no_error_of_the_app(site):
    (site.folder / "site_under_test.py").write_text(READING)
    table = (site.folder / "routes.yaml").read_text()
    streaming = table.replace("methods: [GET]", "methods: [POST]\n    stream: true")
    (site.folder / "routes.yaml").write_text(streaming)
    with site.serve() as served:
        with Client(served.public) as client:
            head = b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"
            client.send(head + b"x" * 100_000)
            eventually((site.folder / "reads").exists)
        line = json.loads(served.process.stdout.readline())
        served.process.send_signal(signal.SIGTERM)
        told = served.process.communicate(timeout=PATIENCE_S)[1]

    assert (line["url.path"], line["error.code"]) == ("/hello", "client-gone")
    assert "Traceback" not in told
