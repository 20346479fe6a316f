"""The front door as a real process: `overgrow serve` on free ports, over a table of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.programs import IMPORT_PATH

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = (
    60.0  # a bound on a wait that succeeds costs nothing; a busy machine may need most of it
)
OVERGROW = [sys.executable, "-m", "overgrow.cli.main"]
NOTHING: Mapping[str, str] = {}


def eventually(
    probe: Callable[[], Any], *, within_s: float = PATIENCE_S, every_s: float = 0.02
) -> Any:
    """The first true answer of `probe`; fails the test when the time is up."""
    deadline = time.monotonic() + within_s
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s} s: {probe}"
        time.sleep(every_s)


@dataclass
class Front:
    """A running front door and what a test does to it."""

    process: subprocess.Popen[str]
    port: int
    admin: int
    config: Path
    environment: dict[str, str] = field(repr=False)

    def get(self, path: str, *, headers: Mapping[str, str] = NOTHING, admin: bool = False) -> Any:
        """One GET: (status, headers, body)."""
        port = self.admin if admin else self.port
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=dict(headers))
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def readyz(self) -> dict[str, Any]:
        """What /readyz says; {} while nobody answers."""
        try:
            told: dict[str, Any] = json.loads(self.get("/readyz", admin=True)[2])
        except (OSError, ValueError):
            return {}
        return told

    def overgrow(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one `overgrow` command on this front door's table."""
        return overgrow(
            *words,
            "--config",
            str(self.config),
            environment={**self.environment, **environment},
        )

    @property
    def workers(self) -> dict[int, int]:
        """The live workers: slot -> pid."""
        return {worker["slot"]: worker["pid"] for worker in self.readyz().get("workers", ())}

    def wait_for_revision(self, revision: str, *, within_s: float = PATIENCE_S) -> float:
        """Wait until all workers run a revision; how long it took, in seconds."""
        began = time.monotonic()
        eventually(lambda: self.runs(revision), within_s=within_s)
        return time.monotonic() - began

    def runs(self, revision: str) -> bool:
        """Whether every worker runs a revision."""
        told = self.readyz()
        return bool(told) and told["agreed"] and told["revision"] == revision


def overgrow(
    *words: str, environment: Mapping[str, str], cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run one `overgrow` command and keep what it printed."""
    return subprocess.run(
        [*OVERGROW, *words],
        cwd=cwd,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def environment_for(legacy_port: int, data: Path, **given: str) -> dict[str, str]:
    """The environment of a front door over one stub and one data file."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OVERGROW_", "SHOP_"))}
    ours = {
        "LEGACY_URL": f"http://127.0.0.1:{legacy_port}",
        "SHOP_DATA": str(data),
        "SHOP_FROZEN": "1",
        "PYTHONPATH": IMPORT_PATH,
        "OVERGROW_EXPOSE": "1",
    }
    return {**kept, **ours, **given}


@contextmanager
def running_front(
    table: str,
    folder: Path,
    legacy_port: int,
    *,
    data: Path,
    workers: int = 1,
    host: str = "127.0.0.1",
    **given: str,
) -> Iterator[Front]:
    """Write the table, run `overgrow serve` until it is ready, and stop it with TERM at the end."""
    config = folder / "routes.yaml"
    config.write_text(table)
    port, admin = free_port(), free_port()
    environment = environment_for(legacy_port, data, OVERGROW_ADMIN=f"127.0.0.1:{admin}", **given)
    words = ["serve", "--config", str(config), "--bind", f"{host}:{port}"]
    log = (folder / "serve.log").open("w+")
    with (
        log,
        subprocess.Popen(
            [*OVERGROW, *words, "--workers", str(workers), "--grace", "5s"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=log,
            text=True,
        ) as process,
    ):
        front = Front(process, port, admin, config, environment)
        try:
            eventually(lambda: _is_up(front, workers))
            yield front
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)


def _is_up(front: Front, workers: int) -> bool:
    assert front.process.poll() is None, (front.config.parent / "serve.log").read_text()
    return len(front.workers) == workers
