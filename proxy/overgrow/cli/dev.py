"""`overgrow dev`: the legacy app and the front door in one terminal, until Ctrl-C.

Each of the two runs in a process group of its own, so that Ctrl-C reaches only this process, which decides what
stops first. Each line of output is shown after the name of its process. Lines of the access log are shortened.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import click

from overgrow.cli.context import CONFIG_HELP, STATE_HELP, settings_of
from overgrow.cli.env_file import env_file_option
from overgrow.cli.failures import Failed
from overgrow.cli.file_deadline import AnyPath
from overgrow.cli.output import echo_safe
from overgrow.table.reading.parse import find_dev_legacy
from overgrow.table.reading.table_file import read_table_file

STOP_S = 5.0
POLL_S = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DevProcess(NamedTuple):
    """A child process, the name that is printed before its lines, and the signal that stops it."""

    name: str
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals


class Interrupted(Exception):
    """Raised when this process gets a signal to stop."""


@click.command(short_help="Run legacy and front door while you develop.")
@click.option(
    "--legacy-command",
    metavar="COMMAND",
    help="Starts the legacy app. [default: dev.legacy]",
)
@click.option("--legacy", metavar="URL", help="Without a table: the legacy app.")
@click.option("--bind", metavar="ADDRESS", help="[default: 127.0.0.1:8000]")
@click.option("--admin", metavar="ADDRESS", help="[default: 127.0.0.1:8001]")
@env_file_option
@click.option("--config", metavar="FILE", type=AnyPath(), help=CONFIG_HELP)
@click.option("--state", metavar="DIR", type=AnyPath(), help=STATE_HELP)
def dev(legacy_command: str | None, **flags: Any) -> None:
    """Start the legacy app and the front door, show what both print, and stop both on Ctrl-C.

    The front door is `overgrow serve --reload`: it follows the table and the app's code as they are saved.
    Every response says which side served it (X-Overgrow). A shell runs the legacy command in the folder
    of the table.
    """
    settings = settings_of({"config": flags["config"], "state": flags["state"]})
    command = legacy_command or _command_in_table(settings.config)
    serve = [sys.executable, "-m", "overgrow", "serve", "--reload"]
    for name, value in flags.items():
        serve += [f"--{name}", str(value)] if value is not None else []
    folder = settings.config.parent.absolute()
    with _stop_on_signals():
        sys.exit(_run_until_one_ends(_commands(command, serve, folder)))


def _command_in_table(config: Path) -> str | None:
    """Return `dev.legacy` of the table; None if there is no table or it lacks this field."""
    try:
        return find_dev_legacy(read_table_file(config), os.environ)
    except OSError:
        return None


def _commands(
    legacy: str | None, serve: Sequence[str], folder: Path
) -> Iterator[Callable[[], DevProcess]]:
    """Yield one function for each process, in the order in which the processes must start.

    The function starts the process.
    """
    if legacy is not None:
        yield lambda: DevProcess(
            "legacy", _start(["/bin/sh", "-c", legacy], folder, {}), signal.SIGTERM
        )
    exposed = {"OVERGROW_EXPOSE": os.environ.get("OVERGROW_EXPOSE") or "1"}
    yield lambda: DevProcess("door", _start(serve, Path.cwd(), exposed), signal.SIGINT)


def _start(
    command: Sequence[str], folder: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the command is what the developer named
        command,
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _run_until_one_ends(commands: Iterator[Callable[[], DevProcess]]) -> int:
    """Run the processes until one ends or a signal stops this one; return the exit status."""
    running: list[DevProcess] = []
    shown: list[threading.Thread] = []
    try:
        for start in commands:
            running.append(start())
            shown.append(_show_output(running[-1]))
        ended = _wait_for_end(running)
        what = f"{ended.name} ended with exit status {ended.process.returncode}"
        rest = ", so the other was stopped too" if len(running) > 1 else ""
        raise Failed("ended", f"{what}{rest}.", "See its last lines for the reason.")
    except Interrupted:
        echo_safe("\nStopping ...", err=True)
        return 0
    finally:
        _stop_all(running)
        for thread in shown:
            thread.join(STOP_S)


def _wait_for_end(running: Sequence[DevProcess]) -> DevProcess:
    while True:
        for each in running:
            if each.process.poll() is not None:
                return each
        time.sleep(POLL_S)


def _stop_all(running: Sequence[DevProcess]) -> None:
    """End all processes, in the reverse order of their start. A second Ctrl-C changes nothing."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    for each in reversed(running):
        for number in (each.stop_signal, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(each.process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                each.process.wait(STOP_S)
                break
        with suppress(ProcessLookupError):  # what a shell or a killed master leaves behind
            os.killpg(each.process.pid, signal.SIGKILL)


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """Raise Interrupted at SIGINT (Ctrl-C), SIGTERM and SIGHUP inside the block, even if the shell ignores them."""

    def interrupt(_number: int, _frame: object) -> None:
        raise Interrupted

    former = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _show_output(child: DevProcess) -> threading.Thread:
    """Print the lines of a child in a thread, each after the child's name."""

    def show(stream: IO[bytes]) -> None:
        for line in stream:
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            echo_safe(f"{child.name:6} | {short_access_line(text) or text}")

    assert child.process.stdout is not None  # noqa: S101 - it is a pipe
    thread = threading.Thread(target=show, args=(child.process.stdout,), daemon=True)
    thread.start()
    return thread


def short_access_line(line: str) -> str | None:
    """Return a line of the access log in short: `GET /products 200 migrated 3.1 ms`. Return None for any other line."""
    if not line.startswith('{"@timestamp"'):
        return None
    try:
        entry = json.loads(line)
        took_ms = entry["event.duration"] / 1e6
        words = (
            entry["http.request.method"],
            entry["url.path"],
            str(entry["http.response.status_code"]),
            entry["overgrow.side"],
            f"{took_ms:.1f} ms",
        )
    except (ValueError, KeyError, TypeError):
        return None
    error = entry.get("error.code")
    return " ".join([*words, *([error] if error else [])])
