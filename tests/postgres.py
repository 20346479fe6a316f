"""A real PostgreSQL for tests: Debian's, in a folder of its own, on a unix socket, for one session."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.programs import is_missed

USER = "overgrow"
START_S = 60


@dataclass(slots=True)
class Server:
    """A running server; `database` makes a fresh one."""

    folder: Path
    process: subprocess.Popen[bytes]
    _names: Iterator[int]

    def database(self) -> str:
        name = f"evidence_{next(self._names)}"
        with self.connection() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://{USER}@/{name}?host={self.folder}"

    def connection(self, name: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(f"host={self.folder} user={USER} dbname={name}", autocommit=True)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is the fast way: sessions end, nothing is lost. SIGQUIT is faster and untidy."""
        self.process.send_signal(how)
        self.process.wait(START_S)

    def start(self) -> None:
        self.process = _started(self.folder)


def binary(name: str) -> str | None:
    """Where a program of the server is: Debian keeps them out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


def as_nobody_special() -> list[str]:
    """The server refuses to run as root: run it as postgres, or as nobody."""
    if os.geteuid() != 0:
        return []
    names = {each.pw_name for each in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


@contextmanager
def server() -> Iterator[Server]:
    """Start a server; skip where there is none, and fail in CI, which must install it."""
    if binary("postgres") is None or binary("initdb") is None:
        is_missed("no PostgreSQL here: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # its socket needs a short path
    try:
        if prefix := as_nobody_special():
            os.chown(folder, int(prefix[1].partition("=")[2]), int(prefix[2].partition("=")[2]))
        subprocess.run(
            [
                *as_nobody_special(),
                binary("initdb"),
                "-D",
                folder / "data",
                "-U",
                USER,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        running = Server(folder, _started(folder), count(1))
        try:
            yield running
        finally:
            running.stop(signal.SIGQUIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _started(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [
                *as_nobody_special(),
                binary("postgres"),
                "-D",
                folder / "data",
                "-k",
                folder,
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-c",
                "shared_buffers=16MB",
            ],
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            psycopg.connect(f"host={folder} user={USER} dbname=postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return process
    process.kill()
    pytest.fail(f"PostgreSQL did not start: {(folder / 'log').read_text('utf-8')[-500:]}")
