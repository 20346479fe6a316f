"""`overgrow serve`: check everything that can be checked, then become gunicorn's master.

Rule: problems are reported before a socket is bound: usage and settings (exit 2), a state folder in use
(exit 1), the table (exit 2, every problem), an address in use (exit 1). Only workers import the app, so
that HUP reloads its code; the check before the start imports it in a forked process.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

import click

from overgrow.cli.context import CONFIG_HELP, STATE_HELP
from overgrow.cli.env_file import env_file_option
from overgrow.cli.file_deadline import AnyPath
from overgrow.cli.output import echo_safe
from overgrow.cli.serve.addresses import (
    ListenAddress,
    address_of,
    require_free_addresses,
    require_separate,
)
from overgrow.cli.serve.open_files import max_connections_for, note_few_files, raise_file_limit
from overgrow.cli.serve.output import reserve_stdout_for_log
from overgrow.cli.serve.passed_sockets import Descriptors, use_passed_sockets
from overgrow.cli.serve.refusals import CannotStart, InUse
from overgrow.cli.serve.start_check import check_table_and_app, require_writable_log
from overgrow.cli.serve.tokens import note_short_tokens, require_tokens_that_differ
from overgrow.cli.settings_in_force import note_unknown_variables, publish_settings
from overgrow.settings import (
    ACCESS_LOG_FORMATS,
    SettingError,
    Settings,
    parse_span_s,
    settings_from,
)
from overgrow.table.reading.values import parse_legacy_url
from overgrow.table.running import describe_front_door
from overgrow.table.state_dir import StateInUse, ensure_state_dir, lock_state_dir
from overgrow.text import count_text
from overgrow.yaml_file.scalars import FieldError, fill_variables

if TYPE_CHECKING:
    from overgrow.app import StartCheck
    from overgrow.server.plan import ServerPlan


class Seconds(click.ParamType[float]):
    """A duration: `25s`, `500ms`, `1m`, or seconds without a unit."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse the duration into seconds."""
        if isinstance(value, float):
            return value
        seconds = parse_span_s(str(value))
        if seconds is None:
            self.fail(f"{value!r} is not a duration. Write 25s, 500ms or 1m.", param, ctx)
        return seconds


@click.command(short_help="Run the front door.")
@click.option(
    "--bind",
    metavar="ADDRESS",
    help="HOST:PORT or unix:/path.sock. [default: 127.0.0.1:8000]",
)
@click.option(
    "--admin", metavar="ADDRESS", help="Admin pages, never public. [default: 127.0.0.1:8001]"
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1, 256),
    help="Processes. [default: one per core]",
)
@click.option(
    "--threads", metavar="N", type=click.IntRange(1, 1024), help="For the app. [default: 16]"
)
@click.option(
    "--access-log",
    metavar="FORMAT",
    type=click.Choice(ACCESS_LOG_FORMATS),
    help="json (default), short (default in a terminal), combined, off.",
)
@env_file_option
@click.option("--config", metavar="FILE", type=AnyPath(), help=CONFIG_HELP)
@click.option("--state", metavar="DIR", type=AnyPath(), help=STATE_HELP)
@click.option(
    "--legacy",
    metavar="URL",
    help="Without a table: send everything to this legacy app.",
)
@click.option(
    "--reload",
    is_flag=True,
    default=None,
    help="For development: run new code when a source file is saved.",
)
@click.option(
    "--from-last-good",
    is_flag=True,
    default=None,
    help="If the table is invalid, run the last good one.",
)
@click.option(
    "--grace",
    metavar="SPAN",
    type=Seconds(),
    help="On SIGTERM, time for open requests. [default: 25s]",
)
@click.option(
    "--drain-delay",
    metavar="SPAN",
    type=Seconds(),
    help="On SIGTERM, time to keep accepting. [default: 0s]",
)
def serve(**flags: Any) -> None:
    """Run the front door until SIGTERM (drain, then stop) or SIGINT (stop within 2 s).

    Sockets of a service manager (LISTEN_FDS, as of systemd) are used instead of --bind and --admin.

    SIGHUP starts new workers with the app's new code while the old ones finish; SIGTTIN and SIGTTOU add
    and remove a worker; SIGUSR1 reopens logs. Only one front door may use a state folder.

    With --reload, for development, one worker restarts with the new code at each save, and on a loopback address
    Werkzeug's debugger shows the error of a view that raises.

    With --legacy no table is needed: everything goes to that app until there is one (overgrow init).

    All options but --env-file, --legacy and --reload can also be set by environment variables: OVERGROW_BIND,
    OVERGROW_ADMIN and so on (overgrow config).
    """
    settings = _read_settings(flags)
    note_unknown_variables(settings.config)
    settings, passed = use_passed_sockets(settings, os.environ, os.getpid())
    public, admin = address_of(settings.bind, "--bind"), address_of(settings.admin, "--admin")
    require_separate(public, admin, token=settings.admin_token)
    require_tokens_that_differ(settings.admin_token, settings.admin_read_token)
    settings = _for_development(_without_a_table(settings), public)
    sys.path.insert(0, str(settings.config.parent.resolve()))
    # Determined once, so that the master and all workers agree, and a problem is printed once.
    named = settings.config
    state = ensure_state_dir(named, settings.state).absolute()
    settings = replace(settings, config=named.absolute(), state=state)  # an app may chdir
    who = describe_front_door(settings.config, str(public), str(admin))
    require_writable_log(settings.access_log_file)
    with reserve_stdout_for_log() as log, _hold_state_folder(settings, who):
        checked = check_table_and_app(settings, named)
        addresses = zip((public, admin), passed, strict=True)
        require_free_addresses(*(address for address, number in addresses if number is None))
        listeners = zip(("bind", "admin"), passed, strict=True)
        publish_settings(
            settings, flags, [name for name, number in listeners if number is not None]
        )
        plan = _build_plan(settings, passed)
        _run_server(settings, checked, log, plan)


def _for_development(settings: Settings, public: ListenAddress) -> Settings:
    """Return the settings with the changes of --reload; without --reload, return them unchanged.

    The default is then one worker. If there is one worker, and it listens on a loopback address, Werkzeug's
    debugger is on.
    """
    if not settings.reload:
        return settings
    settings = replace(settings, workers=settings.workers or 1)
    # All users of a machine may reach a unix socket.
    is_loopback = public.is_local and public.path is None
    return replace(settings, debugger=settings.workers == 1 and is_loopback)


def _without_a_table(settings: Settings) -> Settings:
    """Return the settings for --legacy. If there is a table, refuse --legacy."""
    if settings.legacy is None:
        return settings
    if os.path.lexists(settings.config):
        what = f"{settings.config} exists and says where the legacy app is"
        raise CannotStart(f"{what}; --legacy is for a folder without a table. Leave it out.")
    try:
        given = fill_variables(settings.legacy, "--legacy", os.environ)
        return replace(settings, legacy=parse_legacy_url(given, "--legacy"))
    except FieldError as bad:
        raise CannotStart(f"{bad}. {bad.fix}") from bad


@contextmanager
def _hold_state_folder(settings: Settings, who: str) -> Iterator[None]:
    """Lock the state folder inside the block, because two front doors on one folder would mix their workers, counts and tables."""
    assert settings.state is not None  # noqa: S101 - found above
    try:
        with lock_state_dir(settings.state, who):
            yield
    except StateInUse as error:
        what = f"{settings.state} is the state folder of a running front door ({error})"
        why = "two front doors would mix their workers, counts and last-good tables"
        fix = "Stop that one, or use another table or another state folder: --state DIR."
        raise InUse(f"{what}; {why}. {fix}") from None


def _read_settings(flags: dict[str, Any]) -> Settings:
    try:
        return settings_from(os.environ, flags)
    except SettingError as error:
        raise CannotStart(str(error)) from error


def _build_plan(settings: Settings, passed: Descriptors) -> ServerPlan:
    from overgrow.server.listener import ClientLimits  # noqa: PLC0415 - not for `overgrow --help`
    from overgrow.server.pace import SlowClientPolicy  # noqa: PLC0415 - as above
    from overgrow.server.plan import ServerPlan  # noqa: PLC0415 - as above

    limits = ClientLimits(
        connections=max_connections_for(raise_file_limit()),
        slow=SlowClientPolicy(settings.slow_rate, float(settings.slow_period)),
    )
    return ServerPlan(
        settings.bind,
        settings.admin,
        settings.worker_count,
        settings.grace,
        settings.drain_delay,
        limits,
        admin_for_all=settings.admin_token is not None,
        passed=passed,
    )


def _run_server(settings: Settings, checked: StartCheck, log: TextIO, plan: ServerPlan) -> None:
    from overgrow.app import (  # noqa: PLC0415 - not for `overgrow --help`
        create_asgi,
        create_asgi_without_app,
        log_table_not_compared,
        log_to_stderr,
    )
    from overgrow.server.master import FrontServer  # noqa: PLC0415 - as above

    def announce(listeners: list[str]) -> None:
        public, admin = listeners
        echo_safe(
            f"overgrow: public {public}, admin {admin}, revision {checked.revision}, "
            f"{count_text(plan.workers, 'worker')}",
            err=True,  # the access log has stdout to itself
        )
        if settings.legacy is not None:
            what = f"there is no table, so everything goes to {settings.legacy}"
            echo_safe(
                f"note: {what}. overgrow init writes one, and it takes effect at once", err=True
            )
        tokens = {
            "OVERGROW_ADMIN_TOKEN": settings.admin_token,
            "OVERGROW_ADMIN_READ_TOKEN": settings.admin_read_token,
        }
        note_short_tokens(address_of(settings.admin, "--admin"), tokens)
        note_few_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        if not checked.compared and settings.state is not None:
            log_table_not_compared(settings.state)

    log_to_stderr()
    load, load_without_app = (
        partial(create_asgi, settings),
        partial(create_asgi_without_app, settings),
    )
    FrontServer(plan, load, announce, access_log=log, load_without_app=load_without_app).run()
