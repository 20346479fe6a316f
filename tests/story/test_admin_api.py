"""Programs flip a running front door through its admin API, alone and at once, and learn who follows."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.story.front import (
    OVERGROW,
    PATIENCE_S,
    ROOT,
    Front,
    environment_for,
    eventually,
    running_front,
)

TOKEN = "s3cret-of-ops"
TABLE = """\
version: 1
app: migrated:create_app
legacy: {url: "${LEGACY_URL}"}
routes:
  - {name: product-list, path: /products, methods: [GET], target: legacy}
  - {name: product-detail, path: "/products/<int:id>", methods: [GET], target: legacy, require: {clean: 299}}
  - {name: nobody, path: /nobody/serves/this, target: legacy}
"""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def post(where: Front | str, path: str, *, token: str | None = TOKEN, **fields: Any) -> Any:
    """POST JSON to the admin listener: (status, JSON)."""
    connection = (
        UnixConnection(where)
        if isinstance(where, str)
        else http.client.HTTPConnection("127.0.0.1", where.admin, timeout=60)
    )
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request("POST", path, json.dumps(fields), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.fixture
def front(tmp_path):
    with running_front(
        TABLE,
        tmp_path,
        free_port(),
        data=tmp_path / "shop.sqlite3",
        workers=2,
        OVERGROW_ADMIN_TOKEN=TOKEN,
    ) as front:
        yield front


def flips(front: Front) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(front.overgrow("history", "--json").stdout)["entries"]
    return found


def test_all_workers_follow_a_flip_that_is_confirmed(front):
    fields = {"route": "product-list", "to": "100%", "reason": "it is ready", "who": "Ada"}
    status, told = post(front, "/api/flip", **fields)

    assert (200, True, []) == (status, told["confirmed"], told["lagging"])
    assert front.runs(told["revision"])
    assert "side=migrated" in front.get("/products")[1]["X-Overgrow"]
    assert ("Ada (admin API, from 127.0.0.1)", "it is ready") == (
        flips(front)[0]["who"],
        flips(front)[0]["why"],
    )


def test_workers_refuse_a_route_that_the_app_does_not_serve(front):
    before = front.config.read_bytes()
    status, told = post(front, "/api/flip", route="nobody", to="migrated", reason="hope")

    assert (409, "workers-refuse") == (status, told["error"]["code"])
    assert "app-rule-missing" == told["error"]["problems"][0]["code"]
    assert before == front.config.read_bytes()


def test_a_gate_without_evidence_is_closed_to_any_reason(front):
    status, told = post(front, "/api/flip", route="product-detail", to="migrated", reason="hope")

    assert (409, "gate-closed") == (status, told["error"]["code"])


def test_of_programs_that_decide_by_one_table_one_changes_it(front):
    revision = front.readyz()["revision"]

    def flip(percent: int) -> Any:
        fields = {"route": "product-list", "to": f"{percent}%", "reason": "race"}
        return post(front, "/api/flip", **fields, expected_revision=revision)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(flip, range(10, 18)))
    made = [told for status, told in answers if status == 200]
    stale = [told["error"] for status, told in answers if status == 409]

    assert (1, 7) == (len(made), len(stale))
    assert {"stale-revision"} == {error["code"] for error in stale}
    assert {made[0]["revision"]} == {error["state"]["revision"] for error in stale}
    assert 1 == len(flips(front))


def test_a_worker_that_hangs_is_named(front):
    slot, pid = max(front.workers.items())
    os.kill(pid, signal.SIGSTOP)
    try:
        # Which worker accepts a connection is the kernel's choice: ask until the living one does.
        status, told = eventually(lambda: answered_by_the_living(front))
    finally:
        os.kill(pid, signal.SIGCONT)

    assert (200, False, [slot]) == (status, told["confirmed"], told["lagging"])
    eventually(lambda: front.readyz().get("agreed"))


def answered_by_the_living(front: Front) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", front.admin, timeout=8)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/api/kill", "{}", headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except TimeoutError:
        return None
    finally:
        connection.close()


@contextmanager
def front_on_socket(folder: Path, path: Path) -> Iterator[Path]:
    """Run a front door whose admin listener is a unix socket, without a token; yield its table."""
    config = folder / "routes.yaml"
    config.write_text(TABLE)
    environment = environment_for(free_port(), folder / "shop.sqlite3")
    words = ["--bind", f"127.0.0.1:{free_port()}", "--admin", f"unix:{path}", "--workers", "1"]
    command = [*OVERGROW, "serve", "--config", str(config), *words]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet
    ) as process:
        try:
            eventually(lambda: answers(path))
            yield config
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)


def answers(path: Path) -> bool:
    connection = UnixConnection(str(path))
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def test_the_owner_of_the_unix_socket_flips_forward_without_a_token(tmp_path, socket_folder):
    path = socket_folder / "admin"
    fields = {"route": "product-list", "to": "5%", "reason": "ready"}
    with front_on_socket(tmp_path, path) as config:
        owners = post(str(path), "/api/flip", token=None, **fields)
        path.chmod(0o666)
        others = post(str(path), "/api/flip", token=None, **{**fields, "to": "6%"})

    assert 200 == owners[0]
    assert "canary: 5%" in config.read_text()
    assert (403, "forward-needs-token") == (others[0], others[1]["error"]["code"])


def test_on_loopback_without_a_token_nothing_goes_forward(tmp_path):
    data = tmp_path / "shop.sqlite3"
    with running_front(TABLE, tmp_path, free_port(), data=data) as front:
        fields = {"route": "product-list", "to": "5%", "reason": "ready"}
        forward = post(front, "/api/flip", token=None, **fields)
        back = post(front, "/api/kill", token=None)

    assert (403, "forward-needs-token") == (forward[0], forward[1]["error"]["code"])
    assert (200, True) == (back[0], back[1]["confirmed"])
