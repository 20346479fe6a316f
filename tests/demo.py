"""What `make run` runs: the legacy shop and the front door under one URL, until Ctrl-C.

The standard library alone, since only the runtime packages are installed by then. Each child has
a session and a log of its own, so that Ctrl-C reaches only this process and it decides the order
in which things stop. When one child dies, the other is stopped and the reason is shown.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
POLL_S = 0.1
LOG_LINES = 15
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # http_proxy is for others
LOCK_NOW = fcntl.LOCK_EX | fcntl.LOCK_NB


class Stopped(Exception):
    """The demo cannot go on; the text says what, why and the fix."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything listens. The admin listener is on loopback whatever the host."""

    host: str = "127.0.0.1"
    port: int = 8000
    legacy_port: int = 9000

    @property
    def admin(self) -> str:
        """host:port of the admin listener: the port after the public one."""
        return f"127.0.0.1:{self.port + 1}"

    @property
    def legacy_url(self) -> str:
        """The address that routes.yaml takes from LEGACY_URL."""
        return f"http://127.0.0.1:{self.legacy_port}"


@dataclass(frozen=True, slots=True)
class Child:
    """A process of the demo, its log, and the signal that ends it soonest without harm."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    farewell: signal.Signals

    def obituary(self) -> str:
        """Which process ended, how, and the last it said."""
        last = self.log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:]
        ended = f"{self.name} ended with exit status {self.process.returncode}. It said last:"
        return "\n".join([ended, *(f"  {line}" for line in last or ["(nothing)"])])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo: 0 when asked to stop, 1 when something was in the way."""
    # SIGINT too: a shell that starts this in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    children: list[Child] = []
    try:
        places = _places(argv)
        refuse_taken_ports(places)
        logs = folder_of_its_own()
        start(places, logs, children)
        await_ready(places, children)
        print(things_to_try(places), flush=True)
        watch(children)
    except KeyboardInterrupt:
        print("\nStopping ...", flush=True)
    except Stopped as why:
        print(f"\n{why}", file=sys.stderr, flush=True)
        return 1
    finally:
        stop(children)
    return 0


def _places(argv: Sequence[str] | None) -> Places:
    parser = argparse.ArgumentParser("make run", description="The legacy shop and the front door.")
    parser.add_argument("--host", default="127.0.0.1", help="where the public listener binds")
    parser.add_argument("--port", default="8000", help="public; admin is the next one")
    parser.add_argument("--legacy-port", default="9000")
    given = parser.parse_args(argv)
    # One less than the last port: the admin listener takes the next one.
    port = _port(given.port, "PORT", most=65_534)
    return Places(given.host, port, _port(given.legacy_port, "LEGACY_PORT", most=65_535))


def _port(text: str, name: str, *, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        default = {"PORT": 8080, "LEGACY_PORT": 9090}[name]
        what = f"{name} is {text!r}; it must be a whole number from 1 to {most}."
        raise Stopped(f"{what} For example: make run {name}={default}")
    return int(text)


def refuse_taken_ports(places: Places) -> None:
    """Say it before anything starts, with a way out."""
    for what, port, fix in (
        ("the front door", places.port, f"make run PORT={places.port + 80}"),
        ("the admin listener", places.port + 1, f"make run PORT={places.port + 80}"),
        ("the legacy shop", places.legacy_port, f"make run LEGACY_PORT={places.legacy_port + 80}"),
    ):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            why = os.strerror(error.errno or 0)
            text = f"127.0.0.1:{port}, meant for {what}, cannot be had: {why}."
            raise Stopped(f"{text}\nStop what listens there, or take another port: {fix}") from None


def folder_of_its_own() -> Path:
    """The state folder, where the logs go too; locked until this process ends.

    A second demo in it would empty the logs of the first, and its front door would be refused.
    """
    folder = Path(os.environ.get("OVERGROW_STATE") or ROOT / ".overgrow")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        fcntl.flock(os.open(folder / "demo.lock", os.O_RDWR | os.O_CREAT, 0o600), LOCK_NOW)
    except BlockingIOError:
        what = f"Another demo runs already with the state folder {folder}."
        fix = "Stop it, or give this one a folder of its own: OVERGROW_STATE=/tmp/demo2 make run"
        raise Stopped(f"{what}\n{fix} PORT=8080 LEGACY_PORT=9090") from None
    return folder


def table_of_its_own(root: Path = ROOT) -> Path:
    """The demo's copy of routes.yaml, so that flips leave the clone as it is; made if it is not there."""
    table = root / "demo.yaml"
    if not table.exists():
        table.write_bytes((root / "routes.yaml").read_bytes())
    return table


def start(places: Places, logs: Path, children: list[Child]) -> None:
    """Start both processes; `children` grows as they come, so that each can be stopped."""
    overgrow = Path(sys.executable).with_name("overgrow")
    if not overgrow.exists():
        raise Stopped(f"{overgrow} is missing: the packages are not installed. Run: make setup")
    legacy = [sys.executable, "-m", "legacy_stub", "--port", str(places.legacy_port)]
    children.append(_child("The legacy shop", legacy, logs / "legacy.log", signal.SIGTERM))
    front = [str(overgrow), "serve", "--bind", f"{places.host}:{places.port}"]
    front += ["--admin", places.admin, "--workers", "2"]
    table = os.environ.get("OVERGROW_CONFIG") or str(table_of_its_own())
    environ = {"OVERGROW_EXPOSE": "1", "LEGACY_URL": places.legacy_url, "OVERGROW_CONFIG": table}
    children.append(_child("The front door", front, logs / "front.log", signal.SIGINT, environ))


def _child(
    name: str,
    command: list[str],
    log: Path,
    farewell: signal.Signals,
    environ: dict[str, str] | None = None,
) -> Child:
    # PYTHONPATH: migrated/ is found wherever OVERGROW_CONFIG puts routes.yaml.
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(environ or {})}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Child(name, process, log, farewell)


def await_ready(places: Places, children: list[Child]) -> None:
    """Wait until both sides answer."""
    print("Starting the legacy shop and the front door ...", flush=True)
    for what, ready in (
        ("The legacy shop", lambda: _answers(f"{places.legacy_url}/")),
        ("The front door", lambda: _answers(f"http://{places.admin}/readyz")),
    ):
        if not _in_time(ready, children):
            logs = ", ".join(str(child.log) for child in children)
            raise Stopped(f"{what} was not ready after {START_TIMEOUT_S:.0f} s. See {logs}")


def _in_time(ready: Callable[[], bool], children: list[Child]) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        mourn(children)
        if ready():
            return True
        time.sleep(POLL_S)
    return False


def _answers(url: str) -> bool:
    try:
        with DIRECTLY.open(url, timeout=2):
            return True
    except urllib.error.HTTPError as answer:
        return answer.code < 500
    except OSError:
        return False


def watch(children: list[Child]) -> None:
    """Wait for a signal; a child that ends by itself is an error."""
    while True:
        mourn(children)
        time.sleep(POLL_S)


def mourn(children: list[Child]) -> None:
    """Raise Stopped if a child has ended."""
    for child in children:
        if child.process.poll() is not None:
            raise Stopped(child.obituary())


def stop(children: list[Child]) -> None:
    """End every child, the front door first; a second Ctrl-C changes nothing."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for child in reversed(children):
        for number in (child.farewell, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(STOP_TIMEOUT_S)
                break
        # A killed master leaves its workers behind; they share its session.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)


def things_to_try(places: Places) -> str:
    """What a newcomer reads: three commands, each showing one thing."""
    return "\n".join(_lines(places))


def _lines(places: Places) -> Iterator[str]:
    url = f"http://127.0.0.1:{places.port}"
    yield f"\nOvergrow is up on {url} - legacy shop and new Flask app under one URL."
    yield "Ctrl-C stops it. Three things to try in another terminal:\n"
    yield "1. A page that has moved to Flask: see  X-Overgrow: ... side=migrated"
    yield f"   curl -i {url}/products\n"
    yield "2. A page that the legacy shop still answers: side=legacy"
    yield f"   curl -i {url}/products/1\n"
    yield "3. Move that one too, then run 2 again: the same page, side=migrated"
    yield "   .venv/bin/overgrow flip product-detail migrated\n"


if __name__ == "__main__":
    sys.exit(main())
