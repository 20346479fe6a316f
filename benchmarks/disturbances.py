"""What production does to a front door while its users go on: the disturbances of the soak.

Legacy restarts and moves to another address behind its name, routes flip, slow clients dawdle, workers
cannot boot, all workers are replaced, and in the end the whole server drains. Rule: each leaves the
soak a note of what it excuses, and for how long; everything else that goes wrong is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import load, slow
from benchmarks.processes import Running, cores, free_port, python, started
from benchmarks.servers import Place

DOWN_S = 2.0  # how long a restarted legacy app stays away
AFTERMATH_S = 1.0  # after it is back, for answers on their way
GRACE_S = 1
DRAIN_DELAY_S = 3
MAX_AGE_S = 2  # of a connection to legacy
PATIENCE_S = 60.0
NAME = "legacy.soak.test"

APP = (
    '''"""The migrated side of the soak; it also is the name server of {name}."""
import socket
from pathlib import Path
import flask

ADDRESS = Path(__file__).with_name("address")
real = socket.getaddrinfo


def getaddrinfo(host, *arguments, **named):
    known = host in ("{name}", b"{name}")
    return real(ADDRESS.read_text() if known else host, *arguments, **named)


socket.getaddrinfo = getaddrinfo


def create_app():
    app = flask.Flask(__name__)
    app.add_url_rule("/api/products/<int:id>", "product", lambda id: {{"id": id}})
    app.add_url_rule("/moved/medium", "medium", lambda: (b"x" * 50_000 for _ in range(20)))
    app.add_url_rule(
        "/moved/sent", "sent", lambda: {{"size": len(flask.request.get_data())}}, methods=["POST"]
    )
    return app
'''.replace("{name}", NAME)
    .replace("{{", "{")
    .replace("}}", "}")
)

TABLE = """version: 1
app: soak_app:create_app
legacy:
  url: http://{name}:{port}
  max_age: {max_age}s
routes:
  - path: /api/products/<int:id>
    name: product
    methods: [GET]
    target: {target}
    canary: {canary}
  - {{path: /moved/medium, methods: [GET], target: migrated}}
  - {{path: /moved/sent, methods: [POST], target: migrated}}
"""
FLIPS = (("migrated", "0%"), ("legacy", "50%"), ("legacy", "0%"))
SLOW = (
    slow.Kind(slow.post("/echo"), ""),
    slow.Kind(load.get("/chunked?count=100000"), ""),
    slow.Kind(slow.post("/moved/sent"), ""),
    slow.Kind(load.get("/moved/medium"), ""),
)


@dataclass(slots=True)
class Legacy:
    """The legacy app of the soak, and when it was last away (monotonic seconds)."""

    port: int
    folder: Path
    running: Running | None = None
    away_since: float = 0.0
    back_at: float = 0.0
    restarts: int = 0
    moves: int = 0
    host: str = "127.0.0.1"
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def start(self) -> None:
        _, others = cores()
        words = ["-m", "legacy_stub", "--host", self.host, "--port", str(self.port), "--frozen"]
        words += ["--data", str(self.folder / f"shop-{self.host}.sqlite3")]
        name = f"legacy-{self.host}"
        self.running = started(
            name, python(*words), self.port, self.folder, where=others, host=self.host
        )
        replace_text(self.folder / "address", self.host)

    def stop(self) -> None:
        running, self.running = self.running, None
        if running is not None:
            end(running)

    async def restart(self) -> None:
        """Stop, stay away for a while, come back."""
        async with self.turn:
            self.away_since, self.back_at = time.monotonic(), float("inf")
            await asyncio.to_thread(self.stop)
            await asyncio.sleep(DOWN_S)
            await asyncio.to_thread(self.start)
            self.back_at = time.monotonic()
            self.restarts += 1

    async def move(self) -> None:
        """Come up at another address; the old one goes once nobody may use it any more."""
        async with self.turn:
            old, self.host = self.running, other_host(self.host)
            await asyncio.to_thread(self.start)
            await asyncio.sleep(MAX_AGE_S + 2)
            self.away_since, self.back_at = time.monotonic(), float("inf")
            if old is not None:
                await asyncio.to_thread(end, old)
            self.back_at = time.monotonic()
            self.moves += 1

    def was_away(self, since: float) -> bool:
        """Whether legacy was away at any time since then, the aftermath included."""
        return self.back_at + AFTERMATH_S > since and self.away_since > 0.0


def replace_text(path: Path, text: str) -> None:
    """Write a file that somebody may read at any moment: whole, or as it was before."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(text, "utf-8")
    draft.replace(path)


def other_host(host: str) -> str:
    return "127.0.0.2" if host == "127.0.0.1" else "127.0.0.1"


def end(running: Running) -> None:
    """TERM, and KILL where that does not help."""
    running.process.send_signal(signal.SIGTERM)
    try:
        running.process.wait(3)
    except subprocess.TimeoutExpired:
        running.process.kill()
        running.process.wait()


@dataclass(slots=True)
class Front:
    """The front door of the soak, and what is done to it."""

    folder: Path
    legacy: Legacy
    running: Running
    admin: int
    replaced_until: float = 0.0  # monotonic: streams end while workers are replaced
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def has_leaving_workers(self) -> bool:
        """Whether workers are being replaced, or were until a moment ago."""
        return time.monotonic() < self.replaced_until

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def write_table(self, target: str = "legacy", canary: str = "0%") -> None:
        told = {"name": NAME, "port": self.legacy.port, "max_age": MAX_AGE_S}
        text = TABLE.format(target=target, canary=canary, **told)
        replace_text(self.folder / "routes.yaml", text)

    def write_app(self, text: str = APP) -> None:
        replace_text(self.folder / "soak_app.py", text)

    def ready(self) -> dict[str, object]:
        url = f"http://127.0.0.1:{self.admin}/readyz"
        with (
            contextlib.suppress(OSError, ValueError),
            urllib.request.urlopen(url, timeout=5) as got,
        ):
            return json.loads(got.read())
        return {}

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not await asyncio.to_thread(holds):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {PATIENCE_S:g} s: {what}")
            await asyncio.sleep(0.1)

    def signal(self, number: int) -> None:
        os.kill(self.running.process.pid, number)

    async def flip(self) -> None:
        """Move the route on that the small requests use."""
        at = self.counts.get("flips", 0) % len(FLIPS)
        await asyncio.to_thread(self.write_table, *FLIPS[at])
        self.count("flips")

    async def fail_to_boot(self) -> None:
        """Ask for one more worker while the app cannot be imported, then for one less."""
        before = self.running.pids
        self.write_app("raise RuntimeError('the soak broke the app')\n")
        self.signal(signal.SIGTTIN)
        await self.until(lambda: bool(self.ready().get("boot_error")), "a boot that fails")
        self.signal(signal.SIGTTOU)
        await self.until(lambda: self.running.pids == before, "as many workers as before")
        self.write_app()
        self.count("boots that failed")

    async def fail_to_reload(self) -> None:
        """HUP with an app that cannot be imported: the workers stay."""
        before = self.running.pids
        self.write_app("raise RuntimeError('the soak broke the app')\n")
        self.signal(signal.SIGHUP)
        await self.until(lambda: bool(self.ready().get("boot_error")), "a reload that fails")
        if not set(before) <= set(self.running.pids):
            raise RuntimeError(f"workers {before} were replaced by {self.running.pids}")
        self.write_app()
        self.count("reloads that failed")
        await self.reload()

    async def reload(self) -> None:
        """HUP with an app as it should be: other workers, and the old ones drain."""
        before, self.replaced_until = set(self.running.pids), float("inf")
        self.signal(signal.SIGHUP)
        await self.until(lambda: not before & set(self.running.pids), "new workers")
        await self.until(lambda: not self.ready().get("boot_error", True), "no boot error")
        self.replaced_until = time.monotonic() + AFTERMATH_S
        self.count("reloads")

    async def dawdle(self, seconds: float, count: int) -> None:
        """Slow clients of all kinds, for a while."""
        await asyncio.to_thread(self._dawdle, seconds, count)
        self.count("crowds of slow clients")

    def _dawdle(self, seconds: float, count: int) -> None:
        with contextlib.ExitStack() as crowds, contextlib.suppress(OSError):
            for kind in SLOW:
                crowds.enter_context(slow.dawdling(self.running.port, kind, count))
            time.sleep(seconds)

    async def drain(self) -> int:
        """TERM; the exit code. Clients may come until the delay is over."""
        self.replaced_until = float("inf")
        self.signal(signal.SIGTERM)
        return await asyncio.to_thread(self.running.process.wait, PATIENCE_S)


def started_front(place: Place, legacy: Legacy, workers: int = 1) -> Front:
    """`overgrow serve` over a table and an app of the soak's own."""
    port, admin = free_port(), free_port()
    front = Front(legacy.folder, legacy, None, admin)  # type: ignore[arg-type]
    front.write_table()
    front.write_app()
    words = ["-m", "overgrow.cli.main", "serve", "--config", str(front.folder / "routes.yaml")]
    words += ["--bind", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}"]
    words += ["--workers", str(workers), "--grace", f"{GRACE_S}s"]
    words += ["--drain-delay", f"{DRAIN_DELAY_S}s"]
    environ = {
        "PYTHONDONTWRITEBYTECODE": "1"
    }  # two texts of one size in one second are one file to it
    front.running = place.start("Overgrow", python(*words), port=port, environ=environ)
    return front


async def again_and_again(
    every_s: float, disturb: Callable[[], Awaitable[object]], is_over: Callable[[], bool]
) -> None:
    """Disturb after each pause, until it is over; what has begun is finished."""
    due = time.monotonic() + every_s
    while not is_over():
        await asyncio.sleep(0.1)
        if time.monotonic() >= due and not is_over():
            await disturb()
            due = time.monotonic() + every_s
