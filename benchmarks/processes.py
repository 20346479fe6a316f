"""Processes of a benchmark: start one, wait until it answers, read its /proc, end it by its pid.

Rule: what was started is ended in `Running.stop`, and nothing else ever is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
START_S = 60.0
STOP_S = 8.0
SPOOL_LOOK_S = 0.25


class NotStarted(Exception):
    """A process ended, or never listened; the text says what it said last."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started server: its port on 127.0.0.1 and its processes."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def pids(self) -> list[int]:
        """The processes that serve: the master's children, or the process itself."""
        pid = self.process.pid
        path = Path(f"/proc/{pid}/task/{pid}/children")
        return [int(child) for child in path.read_text().split()] or [pid]

    def cpu_s(self) -> float:
        """Processor time of the serving processes so far, user and system, in seconds."""
        return sum(cpu_s_of(pid) for pid in self.pids)

    def rss_bytes(self) -> int:
        """Resident memory of the serving processes, what they share with the master included."""
        return sum(rss_bytes_of(pid) for pid in self.pids)

    def open_files(self) -> int:
        """How many file descriptors the serving processes hold."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.pids)

    def spooled_bytes(self) -> int:
        """What files without a name, which nobody but the serving processes has open, take of the disk."""
        return sum(nameless_bytes_of(pid) for pid in self.pids)

    def stop(self) -> None:
        """TERM, then KILL for the whole session: a server with open streams may want to wait."""
        for number, wait_s in ((signal.SIGINT, STOP_S / 2), (signal.SIGTERM, STOP_S / 2)):
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(wait_s)
                break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def cpu_s_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def rss_bytes_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def nameless_bytes_of(pid: int) -> int:
    """The blocks on disk of a process's open files that no folder shows."""
    found: dict[tuple[int, int], int] = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            told = entry.stat()
            if stat.S_ISREG(told.st_mode) and not told.st_nlink:
                found[told.st_dev, told.st_ino] = told.st_blocks * 512
    return sum(found.values())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cores() -> tuple[set[int], set[int]]:
    """The cores for what is measured, and for upstream and load. The same if there is but one."""
    allowed = sorted(os.sched_getaffinity(0))
    return ({allowed[0]}, set(allowed[1:])) if len(allowed) > 1 else (set(allowed), set(allowed))


@contextlib.contextmanager
def on_cores(wanted: set[int]) -> Iterator[None]:
    """Let what is started meanwhile run on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, wanted)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def started(
    name: str,
    command: Sequence[str],
    port: int,
    folder: Path,
    *,
    where: set[int],
    environ: Mapping[str, str] | None = None,
    host: str = "127.0.0.1",
) -> Running:
    """Start a server in a session of its own and wait until something listens on its port."""
    log = folder / f"{name}.log"
    given = {"PYTHONPATH": str(ROOT), **(environ or {})}
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OVERGROW_")}
    with log.open("wb") as out, on_cores(where):
        process = subprocess.Popen(
            list(command),
            cwd=ROOT,
            env={**kept, **given},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=out,
            start_new_session=True,
        )
    running = Running(name, process, port, log)
    try:
        wait_for(running, host)
    except BaseException:
        running.stop()
        raise
    return running


def wait_for(running: Running, host: str = "127.0.0.1") -> None:
    """Return once the port accepts connections.

    Raises:
        NotStarted: if the process ended or the time is up.

    """
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and running.process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection((host, running.port), 1).close()
            return
        time.sleep(0.05)
    said = running.log.read_text("utf-8", "replace").strip().splitlines()[-5:]
    raise NotStarted(f"{running.name} does not listen. It said last: {' | '.join(said) or '-'}")


def python(*words: str) -> list[str]:
    return [sys.executable, *words]


@dataclass(slots=True)
class Peak:
    """The most memory a server held, and its spool, sampled each 5 ms while the block runs."""

    running: Running
    before_bytes: int = 0
    most_bytes: int = 0
    most_spooled_bytes: int = 0
    looks_at_spool: bool = False  # which means each open file, and so more rarely
    next_look_s: float = 0.0

    @property
    def growth_bytes(self) -> int:
        return self.most_bytes - self.before_bytes

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        ended = threading.Event()
        self.before_bytes = self.most_bytes = self.running.rss_bytes()

        def sample() -> None:
            while not ended.wait(0.005):
                self.most_bytes = max(self.most_bytes, self.running.rss_bytes())
                self._look_at_spool()

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.most_bytes = max(self.most_bytes, self.running.rss_bytes())

    def _look_at_spool(self) -> None:
        now = time.monotonic()
        if self.looks_at_spool and now >= self.next_look_s:
            self.next_look_s = now + SPOOL_LOOK_S
            self.most_spooled_bytes = max(self.most_spooled_bytes, self.running.spooled_bytes())
