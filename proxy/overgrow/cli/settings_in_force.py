"""Reports the settings in force, for people: each value and its source, but never a secret.

The master of `overgrow serve` writes this report into the state folder, so that a command in another shell can
show what the front door runs with. Rule: a value is written as the environment would write it; the report
says only that a secret is set, never its value.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from overgrow.cli.env_file import env_file_of
from overgrow.cli.output import echo_safe
from overgrow.files import ANSWER_S, within
from overgrow.settings import SETTINGS, Setting, Settings, find_unknown_variables
from overgrow.table.reading.parse import find_app_name
from overgrow.table.reading.table_file import read_table_file
from overgrow.table.running import find_described_pid
from overgrow.text import percent_text, printable

REPORT = "settings.json"
_VARIABLE = re.compile(rb"\$\{(\w+)")


def report_settings(
    settings: Settings, flags: Mapping[str, Any], passed: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return a row for each setting.

    `flags` are the values of the command's flags: None if the user left a flag out. `passed` names the settings
    that a socket of the service manager replaces.
    """
    rows = [_row(each, settings, flags) for each in SETTINGS]
    return [
        {**row, "source": "socket", "file": None} if row["name"] in passed else row for row in rows
    ]


def _row(setting: Setting, settings: Settings, flags: Mapping[str, Any]) -> dict[str, Any]:
    value, source, file = _value_text(setting, settings), "default", None
    if flags.get(setting.name) is not None:
        source = "flag"
    elif setting.variable and os.environ.get(setting.variable):
        file = env_file_of(setting.variable)
        source = "environment" if file is None else "env-file"
    elif setting.name == "app" and (named := _app_in_table(settings.config)):
        value, source = named, "table"
    return {
        "name": setting.name,
        "variable": setting.variable or None,
        "flag": setting.flag or None,
        "value": value,
        "source": source,
        "file": None if file is None else str(file.absolute()),
        "secret": setting.is_secret,
        "change": "reload" if source == "table" else "restart",
    }


def _value_text(setting: Setting, settings: Settings) -> str | None:
    value: Any = getattr(settings, setting.name)
    if setting.is_secret:
        return None if value is None else "set"
    if setting.name == "state" and value is None:
        value = settings.config.parent / ".overgrow"
    if setting.name == "workers":
        value = settings.worker_count
    if setting.name == "access_log_sample":
        return percent_text(value)
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return f"{value:g}s"
    if isinstance(value, tuple):
        return ",".join(value) or None
    return None if value is None else str(value)


def _read_table(config: Path) -> bytes:
    """Return the bytes of the table. If it cannot be read, return b"", because other commands report that."""
    try:
        return within(ANSWER_S, config, partial(read_table_file, config))
    except OSError:
        return b""


def _app_in_table(config: Path) -> str | None:
    return find_app_name(_read_table(config), os.environ)


def publish_settings(
    settings: Settings, flags: Mapping[str, Any], passed: Collection[str] = ()
) -> None:
    """Write the report of this front door into its state folder. If that fails, the front door starts all the same."""
    assert settings.state is not None  # noqa: S101 - serve has found it
    report = {
        "pid": os.getpid(),
        "version": version("overgrow"),
        "settings": report_settings(settings, flags, passed),
    }
    draft = settings.state / f"{REPORT}.new"
    with suppress(OSError):
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(report, file)
        draft.replace(settings.state / REPORT)


def read_published_settings(state: Path, pid: int) -> dict[str, Any] | None:
    """Return the report of the front door whose master has the process id `pid`.

    Return None if there is no readable report of it.
    """
    try:
        report = json.loads((state / REPORT).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    is_of_it = isinstance(report, dict) and report.get("pid") == pid
    return report if is_of_it and _is_report(report) else None


def _is_report(report: Mapping[str, Any]) -> bool:
    """Whether a report has the fields that `publish_settings` writes; further fields are allowed."""
    rows = report.get("settings")
    return (
        isinstance(report.get("version"), str)
        and isinstance(rows, list)
        and all(isinstance(row, dict) and _is_row(row) for row in rows)
    )


def _is_row(row: Mapping[str, Any]) -> bool:
    texts = [row.get(key) for key in ("name", "source", "change")]
    optional = [row.get(key, 0) for key in ("variable", "flag", "value", "file")]
    return all(isinstance(each, str) for each in texts) and all(
        each is None or isinstance(each, str) for each in optional
    )


def find_front_door(state: Path) -> tuple[int | None, dict[str, Any] | None]:
    """Return (pid, report) of the front door that runs on a state folder. A value is None if it is unknown."""
    pid = find_described_pid(state)
    return pid, None if pid is None else read_published_settings(state, pid)


def unknown_variable_warnings(config: Path) -> Iterator[dict[str, str]]:
    """Yield a warning with advice for each OVERGROW_ variable of the environment that neither a setting nor the table uses."""
    if not any(find_unknown_variables(os.environ)):
        return
    used = {name.decode() for name in _VARIABLE.findall(_read_table(config))}
    for name, advice in find_unknown_variables(os.environ, used):
        yield {"variable": name, "fix": advice}


def note_unknown_variables(config: Path) -> None:
    """Print a note for each OVERGROW_ variable that neither a setting nor the table uses."""
    for each in unknown_variable_warnings(config):
        what = f"{printable(each['variable'], keep='')} is set, and no setting has this name"
        echo_safe(f"note: {what}. {each['fix']}", err=True)
