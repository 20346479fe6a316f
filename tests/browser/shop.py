"""A front door with four workers between the demo's two shops, and a legacy that a test can end and start again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.ports import free_port
from tests.story.front import ROOT, Front, running_front

TOKEN, READ_TOKEN = "s3cret-of-ops", "s3cret-of-readers"
WORKERS = 4


@dataclass
class LegacyShop:
    """The legacy shop on one port, whichever process serves it."""

    port: int
    data: Path
    _running: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Serve on the port."""
        self._running.enter_context(_running_legacy(self.port, self.data))

    def stop(self) -> None:
        """End the process: the port refuses connections."""
        self._running.close()


@dataclass
class Shop:
    """Both shops behind one front door."""

    front: Front
    legacy: LegacyShop

    @property
    def home(self) -> str:
        """Where the admin pages are."""
        return f"http://127.0.0.1:{self.front.admin}"

    def side_of(self, path: str) -> tuple[str, str]:
        """Which side answers a path, and for what reason."""
        told = self.front.get(path)[1]["X-Overgrow"].split("; ")
        words = dict(part.split("=") for part in told)
        return words["side"], words["reason"]


@contextmanager
def running_shop(table: str, folder: Path, **given: str) -> Iterator[Shop]:
    """Run legacy and the front door; the admin pages want TOKEN, or READ_TOKEN to read only."""
    legacy = LegacyShop(free_port(), folder / "shop.sqlite3")
    legacy.start()
    given = {"OVERGROW_ADMIN_TOKEN": TOKEN, "OVERGROW_ADMIN_READ_TOKEN": READ_TOKEN, **given}
    try:
        with running_front(
            table, folder, legacy.port, data=legacy.data, workers=WORKERS, **given
        ) as front:
            yield Shop(front, legacy)
    finally:
        legacy.stop()


@contextmanager
def _running_legacy(port: int, data: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "legacy_stub", "--port", str(port), "--data", str(data)]
    with subprocess.Popen([*command, "--frozen"], cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # it listens
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)
