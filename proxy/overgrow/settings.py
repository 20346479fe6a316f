"""Settings: the configuration outside routes.yaml, by environment variables (OVERGROW_*) and flags.

A flag beats the environment, and the environment beats the default. Settings are frozen and are read once, at
the start. An invalid value raises SettingError, which names the setting, its source and the fix.

Rule: SETTINGS is the only list of settings. The reader below, `overgrow config`, the warning about unknown
variables and the table in docs/cli.md come from it.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from overgrow.durations import UNITS_S
from overgrow.notify.signing import key_of
from overgrow.text import join_or

MAX_WORKERS = 256
MAX_THREADS = 1024
MAX_SLOW_RATE = 1024**3
MAX_SLOW_PERIOD_S = 3600
ACCESS_LOG_FORMATS = ("json", "short", "combined", "off")
_STDOUT = frozenset({"-", "/dev/stdout"})


class SettingError(ValueError):
    """A setting is invalid. The text names the setting, its value and the fix."""


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
    admin_read_token: str | None = field(default=None, repr=False)
    admin_hosts: tuple[str, ...] = ()
    store_url: str | None = field(default=None, repr=False)
    webhook_url: str | None = field(default=None, repr=False)
    webhook_secret: str | None = field(default=None, repr=False)
    sentry_dsn: str | None = field(default=None, repr=False)
    sentry_sample_rate: float = 0.0  # of the transactions of the migrated side
    expose: bool = False
    access_log: str | None = None  # a format; None: `short` in a terminal, else `json`
    access_log_file: Path | None = None  # None: standard output
    access_log_sample: int = 10_000  # hundredths of a percent of the requests
    otel: bool = False  # traces by OpenTelemetry; the rest by the variables OTEL_*
    error_pages: Path | None = None  # a folder of HTML templates; None: the built-in page
    # Bytes a second: while others wait, a slower client's request is ended first; 0: nobody's is.
    slow_rate: int = 1024
    slow_period: int = 10  # seconds over which the pace is measured
    grace: float = 25.0  # seconds for open requests at TERM
    drain_delay: float = 0.0  # seconds at TERM in which the listeners still accept
    from_last_good: bool = (
        False  # if the table is invalid, start with the last one that took effect
    )
    legacy: str | None = None  # the legacy app of a start without a table
    reload: bool = False  # for development: new code when a source file is saved
    debugger: bool = False  # Werkzeug's debugger for migrated; `serve` decides, nobody sets it

    @property
    def worker_count(self) -> int:
        """How many worker processes to run: `workers`, else one for each core that this process may use."""
        return self.workers or len(os.sched_getaffinity(0))


def settings_from(
    environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Read the settings. `overrides` are the values of flags: None if a flag was not given.

    Raises:
        SettingError: for the first invalid value.

    """
    found: dict[str, Any] = {}
    for each in SETTINGS:
        text = environ.get(each.variable, "") if each.variable else ""
        if text:
            found[each.name] = each.read(each.variable, text)
    found.update({key: value for key, value in (overrides or {}).items() if value is not None})
    return Settings(**found)


def _read_text(_variable: str, text: str) -> str:
    return text


def _read_path(_variable: str, text: str) -> Path:
    return Path(text)


def _read_hosts(_variable: str, text: str) -> tuple[str, ...]:
    return tuple(host.strip().lower() for host in text.split(",") if host.strip())


def _read_token(variable: str, text: str) -> str:
    """Return the token without blanks around it.

    Clients cannot send such blanks. A token that comes from a file ends in a newline.
    """
    if not text.strip():
        raise SettingError(f"{variable} is blank. Set it to a long random text, or not at all.")
    return text.strip()


def _read_webhook_url(variable: str, text: str) -> str:
    """Return the address. If it is invalid, the error omits it, because it may contain a secret."""
    try:
        parts = urlsplit(text.strip())
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or not text.strip().isprintable() or " " in text.strip():
        raise SettingError(f"{variable} is not an http:// or https:// address with a host.")
    return text.strip()


def _read_webhook_secret(variable: str, text: str) -> str:
    secret = _read_token(variable, text)
    try:
        key_of(secret)
    except ValueError as error:
        raise SettingError(f"{variable}: {error}. Copy the whole secret again.") from error
    return secret


def _read_sample_rate(variable: str, text: str) -> float:
    """Return a share such as `0.25`, in any form that the SDKs of Sentry accept in this variable."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise SettingError(f"{variable} is {text!r}; it must be a share from 0 to 1, such as 0.1.")
    return share


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


def parse_span_s(text: str) -> float | None:
    """Return a span such as `25s`, `500ms`, `1.5m` or `25` in seconds; None for any other text."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|)", text)
    return None if found is None else float(found[1]) * UNITS_S[found[2] or "s"]


def _read_span(variable: str, text: str) -> float:
    seconds = parse_span_s(text)
    if seconds is None:
        raise SettingError(f"{variable} is {text!r}; it is not a duration. Write 25s, 500ms or 1m.")
    return seconds


def _read_log_format(variable: str, text: str) -> str:
    if text not in ACCESS_LOG_FORMATS:
        raise SettingError(
            f"{variable} is {text!r}; there is no such format. Write {join_or(ACCESS_LOG_FORMATS)}."
        )
    return text


def _read_log_file(_variable: str, text: str) -> Path | None:
    """Return the absolute path of the file; None for standard output. The app may change the current folder."""
    return None if text in _STDOUT else Path(text).absolute()


def _read_percent(variable: str, text: str) -> int:
    """Return a share such as `10%` or `0.5%` in hundredths of a percent."""
    found = re.fullmatch(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?%", text)
    hundredths = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0")) if found else -1
    if not 0 <= hundredths <= 10_000:
        raise SettingError(
            f"{variable} is {text!r}; it must be a share from 0% to 100%. Write 10% or 0.5%."
        )
    return hundredths


def _read_workers(variable: str, text: str) -> int:
    return _read_count(variable, text, MAX_WORKERS)


def _read_threads(variable: str, text: str) -> int:
    return _read_count(variable, text, MAX_THREADS)


def _read_slow_rate(variable: str, text: str) -> int:
    return 0 if text == "0" else _read_count(variable, text, MAX_SLOW_RATE)


def _read_slow_period(variable: str, text: str) -> int:
    return _read_count(variable, text, MAX_SLOW_PERIOD_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of SETTINGS: the outside names of a field of `Settings`, how to read it, and its explanation."""

    name: str
    meaning: str  # Markdown, for docs/cli.md
    default: str  # as the documents write it
    flag: str = ""  # "": no command has a flag for it
    variable: str = ""  # "": it can only be a flag
    read: Callable[[str, str], Any] = _read_text
    is_secret: bool = False
    change: str = "restart"  # what makes a change take effect in a running front door; Markdown


SETTINGS: tuple[Setting, ...] = (
    Setting(
        name="config",
        variable="OVERGROW_CONFIG",
        flag="--config",
        default="`routes.yaml`",
        read=_read_path,
        meaning="the route table",
    ),
    Setting(
        name="app",
        variable="OVERGROW_APP",
        default="`app:` of the table, if it has one",
        meaning="the Flask app, `MODULE:FACTORY`",
        change="restart; `app:` of the table: reload",
    ),
    Setting(
        name="state",
        variable="OVERGROW_STATE",
        flag="--state",
        default="`.overgrow` beside the table",
        read=_read_path,
        meaning="the state folder",
    ),
    Setting(
        name="bind",
        variable="OVERGROW_BIND",
        flag="--bind",
        default="`127.0.0.1:8000`",
        meaning="the public listener",
    ),
    Setting(
        name="admin",
        variable="OVERGROW_ADMIN",
        flag="--admin",
        default="`127.0.0.1:8001`",
        meaning="the admin listener: `serve` listens there, and `status` asks there; so does a flip with "
        "`--wait` if no front door runs on the state folder",
    ),
    Setting(
        name="workers",
        variable="OVERGROW_WORKERS",
        flag="--workers",
        default="one per core",
        read=_read_workers,
        meaning="worker processes, 1 to 256",
    ),
    Setting(
        name="threads",
        variable="OVERGROW_THREADS",
        flag="--threads",
        default="`16`",
        read=_read_threads,
        meaning="threads for the app in each worker, 1 to 1024; four times as many calls may wait",
    ),
    Setting(
        name="secret",
        variable="OVERGROW_SECRET",
        default="not set",
        is_secret=True,
        meaning="one long random text that signs overrides; without it overrides are ignored",
    ),
    Setting(
        name="admin_token",
        variable="OVERGROW_ADMIN_TOKEN",
        default="not set",
        read=_read_token,
        is_secret=True,
        meaning="the token that the admin listener requires, without blanks at its ends; mandatory if the "
        "listener is not on loopback, and then `serve` warns if it has fewer than 16 characters",
    ),
    Setting(
        name="admin_read_token",
        variable="OVERGROW_ADMIN_READ_TOKEN",
        default="not set",
        read=_read_token,
        is_secret=True,
        meaning="a second token of the admin listener, which may read everything and change nothing; only beside "
        "`OVERGROW_ADMIN_TOKEN`, from which it must differ",
    ),
    Setting(
        name="admin_hosts",
        variable="OVERGROW_ADMIN_HOSTS",
        default="empty",
        read=_read_hosts,
        meaning="host names that requests to the admin listener may use, comma-separated, in addition to IP "
        "addresses and `localhost`",
    ),
    Setting(
        name="store_url",
        variable="OVERGROW_STORE_URL",
        default="not set",
        is_secret=True,  # it may contain a password
        meaning="the evidence store: `postgresql://USER:PASSWORD@HOST/NAME` or `sqlite:////PATH`; default "
        "`store.sqlite3` in the state folder",
    ),
    Setting(
        name="webhook_url",
        variable="OVERGROW_WEBHOOK_URL",
        default="not set",
        read=_read_webhook_url,
        is_secret=True,  # the addresses of chats contain a secret
        meaning="where [notifications](operations.md#notifications) are sent: an `http://` or `https://` address",
    ),
    Setting(
        name="webhook_secret",
        variable="OVERGROW_WEBHOOK_SECRET",
        default="not set",
        read=_read_webhook_secret,
        is_secret=True,
        meaning="the key that signs notifications: `whsec_` and base64, or any long text",
    ),
    Setting(
        name="sentry_dsn",
        variable="SENTRY_DSN",
        default="not set",
        is_secret=True,
        meaning="the address of a project in [Sentry](telemetry.md#sentry), which gets the errors of the migrated app; needs "
        "the extra `sentry`",
    ),
    Setting(
        name="sentry_sample_rate",
        variable="SENTRY_TRACES_SAMPLE_RATE",
        default="`0`",
        read=_read_sample_rate,
        meaning="the share of migrated requests that become transactions in Sentry, 0 to 1",
    ),
    Setting(
        name="expose",
        variable="OVERGROW_EXPOSE",
        default="`0`",
        read=_read_switch,
        meaning="`1` adds `X-Overgrow: route=...; side=...; reason=...; revision=...` to responses",
    ),
    Setting(
        name="access_log",
        variable="OVERGROW_ACCESS_LOG",
        flag="--access-log",
        default="`json`; `short` in a terminal",
        read=_read_log_format,
        meaning="the format of [the access log](operations.md#the-access-log): `json`, `short`, `combined` or `off`",
    ),
    Setting(
        name="access_log_file",
        variable="OVERGROW_ACCESS_LOG_FILE",
        default="standard output",
        read=_read_log_file,
        meaning="the file to which the access log is appended; USR1 opens it again; `-`: standard output",
    ),
    Setting(
        name="access_log_sample",
        variable="OVERGROW_ACCESS_LOG_SAMPLE",
        default="`100%`",
        read=_read_percent,
        meaning="the share of requests that is logged; [errors and slow requests](operations.md#the-access-log) always are",
    ),
    Setting(
        name="otel",
        variable="OVERGROW_OTEL",
        default="`0`",
        read=_read_switch,
        meaning="`1` sends [traces by OpenTelemetry](telemetry.md#opentelemetry); the variables `OTEL_*` "
        "say where and how; it needs the extra `otel`",
    ),
    Setting(
        name="error_pages",
        variable="OVERGROW_ERROR_PAGES",
        default="not set",
        read=_read_path,
        meaning="a folder of HTML templates for [errors of the front door](wire.md#error-pages)",
        change="restart; its files: reload",
    ),
    Setting(
        name="slow_rate",
        variable="OVERGROW_SLOW_RATE",
        default="`1024`",
        read=_read_slow_rate,
        meaning="bytes a second, at most 1073741824. While other requests wait for a thread or for legacy, the "
        "front door first ends the requests of clients that send or read more slowly; `0`: it ends none",
    ),
    Setting(
        name="slow_period",
        variable="OVERGROW_SLOW_PERIOD",
        default="`10`",
        read=_read_slow_period,
        meaning="the seconds over which the rate is measured, 1 to 3600",
    ),
    Setting(
        name="grace",
        variable="OVERGROW_GRACE",
        flag="--grace",
        default="`25s`",
        read=_read_span,
        meaning="at TERM, time for open requests and streams",
    ),
    Setting(
        name="drain_delay",
        variable="OVERGROW_DRAIN_DELAY",
        flag="--drain-delay",
        default="`0s`",
        read=_read_span,
        meaning="at TERM, time during which the listeners still accept while `/readyz` says `draining`",
    ),
    Setting(
        name="from_last_good",
        variable="OVERGROW_FROM_LAST_GOOD",
        flag="--from-last-good",
        default="`0`",
        read=_read_switch,
        meaning="`1`: if the table is invalid, start with the last one that took effect",
    ),
    Setting(
        name="legacy",
        flag="--legacy",
        default="not set",
        meaning="the legacy app, in a folder [without a table](#without-a-table)",
    ),
    Setting(
        name="reload",
        flag="--reload",
        default="off",
        meaning="[for development](#while-developing): run new code when a source file is saved",
    ),
)


def settings_as_markdown() -> str:
    """Return the table of the settings for docs/cli.md."""
    rows = (
        f"| {_code_or_dash(each.variable)} | {_code_or_dash(each.flag)} | {each.default} | {each.change} | {each.meaning} |"
        for each in SETTINGS
    )
    return "\n".join(
        ["| Variable | Option | Default | Change | What it says |", "|---|---|---|---|---|", *rows]
    )


def _code_or_dash(text: str) -> str:
    return f"`{text}`" if text else "-"


def find_unknown_variables(
    environ: Mapping[str, str], used: Collection[str] = ()
) -> Iterator[tuple[str, str]]:
    """Yield each OVERGROW_ variable that no setting reads, with advice.

    `used` are the variables that the table uses. An empty variable counts as not set. Kubernetes sets variables
    such as OVERGROW_SERVICE_HOST in each pod if there is a Service named `overgrow`; these are ignored.
    """
    known = {each.variable: each for each in SETTINGS if each.variable}
    for name in sorted(environ):
        is_ours = name.upper().startswith("OVERGROW_") and environ[name]
        if is_ours and not (name in known or name in used or _is_of_kubernetes(name, environ)):
            yield name, _advice(name, tuple(known))


def _advice(name: str, known: Collection[str]) -> str:
    for each in SETTINGS:
        if not each.variable and name.upper() == f"OVERGROW_{each.name.upper()}":
            return f"This setting is only an option of overgrow serve: {each.flag}."
    endings = {each.removeprefix("OVERGROW_"): each for each in known}
    ending = name.upper().removeprefix("OVERGROW_")
    near = difflib.get_close_matches(ending, endings, 1, cutoff=0.7)
    if near:
        return f"Did you mean {endings[near[0]]}?"
    return "Remove it, or see the settings: overgrow config."


def _is_of_kubernetes(name: str, environ: Mapping[str, str]) -> bool:
    ending = r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
    found = re.fullmatch(rf"(OVERGROW(?:_\w+?)??){ending}", name)
    return found is not None and f"{found[1]}_SERVICE_HOST" in environ
