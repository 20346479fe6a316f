"""The sites with a login as running processes, and a client that keeps cookies."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.ports import free_port
from tests.programs import is_missed, needed

HERE = Path(__file__).parent
NODE_MODULES = HERE.parents[1] / ".venv" / "express" / "node_modules"
START_S = 60.0
SECRET = "a-secret-of-legacy-never-shown"
USERS = ("ann", "bob", "cleo", "dora", "emil", "fay", "gus", "hal")  # ids 1 to 8 on every site


@dataclass
class LoginSite:
    """A running site. `restart` gives it other settings; what it stored stays."""

    command: list[str]  # "{port}" stands for the port
    folder: Path
    settings: dict[str, str]
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def restart(self, **settings: str) -> None:
        self.stop()
        self.settings |= settings
        self.start()

    def start(self) -> None:
        """On a new port: another process may have taken the former one, or this one, meanwhile."""
        for _ in range(5):
            self.port = free_port()
            if self._is_started():
                return
        pytest.fail(f"the site did not start: {(self.folder / 'log').read_text('utf-8')[-800:]}")

    def _is_started(self) -> bool:
        environment = {
            **os.environ,
            "SECRET": SECRET,
            "FOLDER": str(self.folder),
            "USERS": " ".join(USERS),
        }
        environment |= self.settings
        command = [word.replace("{port}", str(self.port)) for word in self.command]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # a group of its own: PHP's workers outlive their parent
            )
        deadline = time.monotonic() + START_S
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                Visitor(self.port).get("/me")
            except OSError:
                time.sleep(0.02)
            else:
                return True
        self.stop()
        return False

    def stop(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):  # all have ended already
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass(frozen=True)
class SiteAnswer:
    """One answer of a site."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Visitor:
    """Somebody with a browser, as far as cookies go: names and values, without paths and ages."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}

    def request(self, method: str, path: str, **form: str) -> SiteAnswer:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_S)
        try:
            connection.request(method, path, urlencode(form) if form else None, headers)
            found = connection.getresponse()
            answer = SiteAnswer(found.status, found.getheaders(), found.read())
        finally:
            connection.close()
        for name, line in answer.headers:
            if name.lower() == "set-cookie":
                self._keep(line)
        return answer

    def _keep(self, line: str) -> None:
        name, _, rest = line.partition("=")
        value, _, attributes = rest.partition(";")
        is_gone = "max-age=0" in attributes.lower() or "01 Jan 1970" in attributes
        if is_gone or not value:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value

    def get(self, path: str) -> SiteAnswer:
        return self.request("GET", path)

    def post(self, path: str, **form: str) -> SiteAnswer:
        return self.request("POST", path, **form)

    def log_in(self, name: str = "ann", **more: str) -> None:
        password = more.pop("password", f"secret of {name}")
        assert self.post("/login", user=name, password=password, **more).status == 200

    def me(self) -> Any:
        """What the site says of the visitor; None when it knows nobody."""
        answer = self.get("/me")
        return answer.json() if answer.status == 200 else None


@contextmanager
def running(command: list[str], folder: Path, **settings: str) -> Iterator[LoginSite]:
    site = LoginSite(command, folder, settings)
    try:
        site.start()
        yield site
    finally:
        site.stop()


@contextmanager
def django_site(folder: Path, **settings: str) -> Iterator[LoginSite]:
    if find_spec("django") is None:
        is_missed("Django is not installed (requirements/foreign.txt)")
    command = [sys.executable, str(HERE / "django_site.py"), "{port}", str(folder)]
    with running(command, folder, **settings) as site:
        yield site


@contextmanager
def flask_site(folder: Path, **settings: str) -> Iterator[LoginSite]:
    if find_spec("flask_login") is None:
        is_missed("Flask-Login is not installed (requirements/foreign.txt)")
    command = [sys.executable, str(HERE / "flask_site.py"), "{port}", str(folder)]
    with running(command, folder, **settings) as site:
        yield site


@contextmanager
def php_site(folder: Path, **settings: str) -> Iterator[LoginSite]:
    php = needed("php", "php-cli php-sqlite3")
    (folder / "sessions").mkdir(exist_ok=True)
    command = [php, "-S", "127.0.0.1:{port}", str(HERE / "php_site" / "index.php")]
    given = {"SESSIONS": str(folder / "sessions"), "PHP_CLI_SERVER_WORKERS": "3", **settings}
    with running(command, folder, **given) as site:
        yield site


@contextmanager
def express_site(folder: Path, database: str, **settings: str) -> Iterator[LoginSite]:
    """With its users in a database of `tests.postgres`; sessions there too, or in Redis."""
    node = needed("node", "nodejs")
    if not NODE_MODULES.is_dir():
        is_missed("Express is not installed: make .venv/.express-installed")
    command = [node, str(HERE / "express_site" / "site.js"), "{port}"]
    found = urlsplit(database)
    given = {
        "NODE_PATH": str(NODE_MODULES),
        "PG_FOLDER": parse_qs(found.query)["host"][0],
        "PG_DATABASE": found.path.lstrip("/"),
        **settings,
    }
    with running(command, folder, **given) as site:
        yield site


@contextmanager
def redis_server() -> Iterator[str]:
    """A Redis of the test's own, on a unix socket; its address."""
    program = needed("redis-server", "redis-server")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="og-", dir="/tmp")))
        socket = folder / "redis"
        process = subprocess.Popen(
            [
                program,
                "--port",
                "0",
                "--unixsocket",
                str(socket),
                "--save",
                "",
                "--dir",
                str(folder),
            ],
            stdout=subprocess.DEVNULL,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        deadline = time.monotonic() + START_S
        while not socket.exists():
            assert process.poll() is None, "Redis ended"
            assert time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.02)
        yield f"unix://{socket}"
