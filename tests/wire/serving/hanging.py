"""A front door and its command line on files that hang: see hanging.c."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.programs import IMPORT_PATH, is_missed
from tests.wire.serving.servers import Client
from tests.wire.serving.test_serve_for_real import Served, Site
from tests.wire.serving.test_serving_answers import get

SOURCE = Path(__file__).with_name("hanging.c")


def library(folder: Path) -> Path:
    """The library built from hanging.c."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        is_missed("no C compiler: calls that hang cannot be staged; apt-get install gcc libc6-dev")
    built = folder / "hanging.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(built), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return built


class Front(Site):
    """A folder to serve from, whose file calls can be made to hang; state and table lie apart."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        (folder / "site").mkdir()
        super().__init__(folder / "site")
        self.state = folder / "state"
        self.config = self.folder / "routes.yaml"
        self.hang = folder / "hang"
        self.environment = {
            "PYTHONPATH": IMPORT_PATH,
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
        }

    def stage(self, call: str, path: Path) -> None:
        """Let such calls of all processes started from now on hang, while `self.hang` exists."""
        self.environment |= {
            "LD_PRELOAD": str(library(self.root)),
            "HANG_CALL": call,
            "HANG_PATH": str(path),
            "HANG_WHILE": str(self.hang),
        }

    def serve(self, *arguments: str, bind: str = "127.0.0.1:0") -> Served:
        """Run it with one worker."""
        words = [
            "serve",
            "--bind",
            bind,
            "--admin",
            "127.0.0.1:0",
            "--workers",
            "1",
            "--grace",
            "2s",
        ]
        return Served(self.started(*words, *arguments))

    def started(self, *words: str) -> subprocess.Popen[str]:
        """Start one `overgrow` command."""
        return subprocess.Popen(
            [sys.executable, "-B", "-m", "overgrow.cli.main", *words, *self.places],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def places(self) -> list[str]:
        return ["--config", str(self.config), "--state", str(self.state)]

    def overgrow(self, *words: str) -> tuple[int, str]:
        """Run one command: its exit code, and all it said."""
        process = self.started(*words)
        out, err = process.communicate(timeout=60)
        return process.returncode, out + err


def hello(served: Served) -> int:
    """The status of the migrated route; legacy is not there: 502 once everything goes to it."""
    return int(served.asked("/hello").split(b" ", 2)[1])


def readiness(served: Served) -> dict:
    with Client(served.admin) as client:
        client.send(get("/readyz", "Connection: close"))
        return json.loads(client.read_to_end().partition(b"\r\n\r\n")[2])


def unseen(served: Served) -> list[str]:
    """The files that /readyz says cannot be looked at."""
    error = readiness(served)["reload_error"] or {"problems": ()}
    return [each["file"] for each in error["problems"] if each["code"] == "file-unseen"]
