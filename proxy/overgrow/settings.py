"""Settings: what is configured outside routes.yaml, by the environment (OVERGROW_*) and flags.

A flag beats the environment, the environment beats the default. Settings are frozen and read once at
start. A value that cannot be used raises SettingError, which says what, where and the fix.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

MAX_WORKERS = 256
MAX_THREADS = 1024
MAX_SLOW_RATE = 1024**3
MAX_SLOW_PERIOD_S = 3600


class SettingError(ValueError):
    """A setting that cannot be used; the text names it, its value and the fix."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process. `docs/cli.md` lists them for users."""

    config: Path = Path("routes.yaml")
    app: str | None = None  # OVERGROW_APP; None: `app:` of the table, if it has one
    state: Path | None = None  # None: .overgrow/ beside the table
    bind: str = "127.0.0.1:8000"
    admin: str = "127.0.0.1:8001"
    workers: int = 0  # 0: one per core
    threads: int = 16
    # Not in the repr: error reporters such as Sentry send the repr of local variables.
    secret: str | None = field(default=None, repr=False)
    admin_token: str | None = field(default=None, repr=False)
    admin_hosts: tuple[str, ...] = ()
    store_url: str | None = field(default=None, repr=False)
    expose: bool = False
    error_pages: Path | None = None  # a folder of HTML templates; None: the built-in page
    # Bytes a second: while others wait, a slower client's request is ended first; 0: nobody's is.
    slow_rate: int = 1024
    slow_period: int = 10  # seconds over which the pace is measured

    # The legacy app of a start without a table; a flag of serve, and no variable.
    legacy: str | None = field(default=None, metadata={"is_flag": True})
    # For development, flags too: new code when a source file is saved; Werkzeug's debugger for migrated.
    reload: bool = field(default=False, metadata={"is_flag": True})
    debugger: bool = field(default=False, metadata={"is_flag": True})

    @property
    def worker_count(self) -> int:
        """How many worker processes to run: `workers`, else one per core that this process may use."""
        return self.workers or len(os.sched_getaffinity(0))


def settings_from(
    environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Read the settings; `overrides` are flags, and None means that a flag was not given.

    Raises:
        SettingError: for the first value that cannot be used.

    """
    found: dict[str, Any] = {}
    for each in fields(Settings):
        if each.metadata.get("is_flag"):
            continue
        variable = f"OVERGROW_{each.name.upper()}"
        text = environ.get(variable, "")
        if text:
            found[each.name] = _READERS.get(each.name, _read_text)(variable, text)
    found.update({key: value for key, value in (overrides or {}).items() if value is not None})
    return Settings(**found)


def _read_text(_variable: str, text: str) -> str:
    return text


def _read_path(_variable: str, text: str) -> Path:
    return Path(text)


def _read_hosts(_variable: str, text: str) -> tuple[str, ...]:
    return tuple(host.strip().lower() for host in text.split(",") if host.strip())


def _read_token(variable: str, text: str) -> str:
    """Strip the text: clients cannot send outer blanks, and a token read from a file ends in a newline."""
    if not text.strip():
        raise SettingError(f"{variable} is blank. Set it to a long random text, or not at all.")
    return text.strip()


def _read_switch(variable: str, text: str) -> bool:
    values = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in values:
        raise SettingError(f"{variable} is {text!r}; it is a switch. Write 1 or 0.")
    return values[text.lower()]


def _read_count(variable: str, text: str, maximum: int) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= maximum:
        raise SettingError(
            f"{variable} is {text!r}; it must be a whole number from 1 to {maximum}."
        )
    return int(text)


def _read_workers(variable: str, text: str) -> int:
    return _read_count(variable, text, MAX_WORKERS)


def _read_threads(variable: str, text: str) -> int:
    return _read_count(variable, text, MAX_THREADS)


def _read_slow_rate(variable: str, text: str) -> int:
    return 0 if text == "0" else _read_count(variable, text, MAX_SLOW_RATE)


def _read_slow_period(variable: str, text: str) -> int:
    return _read_count(variable, text, MAX_SLOW_PERIOD_S)


_READERS = {
    "config": _read_path,
    "state": _read_path,
    "error_pages": _read_path,
    "workers": _read_workers,
    "threads": _read_threads,
    "admin_hosts": _read_hosts,
    "admin_token": _read_token,
    "expose": _read_switch,
    "slow_rate": _read_slow_rate,
    "slow_period": _read_slow_period,
}
