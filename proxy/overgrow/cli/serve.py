"""`overgrow serve`: check everything that can be checked, then become gunicorn's master.

Rule: problems are reported before a socket is bound: usage and settings (exit 2), a state folder in use
(exit 1), the table (exit 2, every problem), an address in use (exit 1). Only workers import the app, so
that HUP reloads its code; the check before the start imports it in a forked process.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import resource
import socket
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import click

from overgrow.cli.context import CONFIG_HELP, STATE_HELP
from overgrow.cli.env_file import env_file_option
from overgrow.cli.file_deadline import AnyPath
from overgrow.cli.forked_call import EndedApartError, call_in_fork
from overgrow.cli.output import echo_safe
from overgrow.cli.serve_output import reserve_stdout_for_log
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
    from overgrow.yaml_file.problem import Problem

Descriptors = tuple[int | None, int | None]  # passed sockets: public, admin
MIN_TOKEN_LENGTH = 16
MAX_CONNECTIONS = 10_000  # of clients, per worker and listener
OTHER_FILES = 352
OPEN_FILES = 65_536  # for 10,000 clients and their upstream connections, with a margin
_FIXES = {
    errno.EADDRINUSE: "Stop the server that listens there, or name another address with --bind or --admin.",
    errno.EACCES: "Ports below 1024 need special permission; name another port.",
    errno.EADDRNOTAVAIL: "Name an address of this machine, or 0.0.0.0 for all.",
}
_ANY = frozenset({"", "0.0.0.0", "::"})


class ListenAddress(NamedTuple):
    """Where to listen: a host and a port, or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def clashes_with(self, other: ListenAddress) -> bool:
        """Whether two listeners cannot have these addresses together.

        The paths are the same, or the ports are the same and so are the hosts, or one host is a wildcard.
        """
        if self.path is not None or other.path is not None:
            return self.path == other.path
        hosts = {"127.0.0.1" if host == "localhost" else host for host in (self.host, other.host)}
        return self.port == other.port != 0 and (len(hosts) == 1 or bool(hosts & _ANY))

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class CannotStart(click.ClickException):
    """The server cannot start; the message has the reason and the fix."""

    exit_code = 2


class InUse(click.ClickException):
    """An address or a state folder is in use."""

    exit_code = 1


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
        checked = _check(settings, named)
        addresses = zip((public, admin), passed, strict=True)
        require_free_addresses(*(address for address, number in addresses if number is None))
        listeners = zip(("bind", "admin"), passed, strict=True)
        publish_settings(
            settings, flags, [name for name, number in listeners if number is not None]
        )
        plan = _build_plan(settings, passed)
        _run_server(settings, checked, log, plan)


def use_passed_sockets(
    settings: Settings, environ: MutableMapping[str, str], pid: int
) -> tuple[Settings, Descriptors]:
    """Return (settings, descriptors): the settings with the addresses of the sockets that a service manager passed.

    A passed socket beats --bind and --admin.
    """
    if "LISTEN_FDS" not in environ:
        return settings, (None, None)
    from overgrow.server.activation import (  # noqa: PLC0415 - not for `overgrow --help`
        ActivationError,
        assign_listeners,
        take_passed_sockets,
    )

    try:
        listeners = assign_listeners(take_passed_sockets(environ, pid), settings.admin)
    except ActivationError as error:
        raise CannotStart(str(error)) from error
    for flag, sock, address in (
        ("--bind", listeners.public, settings.bind),
        ("--admin", listeners.admin, settings.admin),
    ):
        default = getattr(Settings(), flag.removeprefix("--"))
        if sock is not None and address not in {sock.address, default}:
            what = f"{flag} {address} is not used: the service manager passed a socket on {sock.address}"
            echo_safe(f"note: {what}. Change ListenStream= of the .socket unit instead", err=True)
    return replace(
        settings,
        bind=settings.bind if listeners.public is None else listeners.public.address,
        admin=settings.admin if listeners.admin is None else listeners.admin.address,
    ), listeners.descriptors


def _for_development(settings: Settings, public: ListenAddress) -> Settings:
    """Return the settings for --reload, unchanged without it.

    There is one worker unless another number was asked for, and Werkzeug's debugger if only this machine can reach the
    public listener.
    """
    if not settings.reload:
        return settings
    settings = replace(settings, workers=settings.workers or 1)
    # All users of a machine may reach a unix socket.
    is_loopback = public.is_local and public.path is None
    return replace(settings, debugger=settings.workers == 1 and is_loopback)


def _without_a_table(settings: Settings) -> Settings:
    """Return the settings for --legacy; refuse --legacy if there is a table."""
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


def address_of(text: str, flag: str) -> ListenAddress:
    """Parse HOST:PORT, [IPv6]:PORT, :PORT or unix:/path."""
    if text.startswith("unix:") and len(text) > len("unix:"):
        return ListenAddress(path=str(Path(text.removeprefix("unix:")).absolute()))
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:/\[\]]*)):(\d{1,5})", text)
    if found is None or int(found[3]) > 65_535:
        raise CannotStart(f"{flag} is {text!r}. Write HOST:PORT, [IPV6]:PORT or unix:/path.sock.")
    return ListenAddress(found[1] or found[2] or "0.0.0.0", int(found[3]))


def require_separate(public: ListenAddress, admin: ListenAddress, *, token: str | None) -> None:
    """Require a separate address for the admin listener, and a token if other machines can reach it (docs/operations.md#who-may-use-the-admin-listener)."""
    if public.clashes_with(admin):
        raise CannotStart(
            f"--admin {admin} and --bind {public} are the same address; the admin pages would be "
            "public. Give --admin a port of its own, such as 127.0.0.1:8001."
        )
    if not admin.is_local and not token:
        raise CannotStart(
            f"--admin {admin} can be reached from other machines, and OVERGROW_ADMIN_TOKEN is not "
            "set. Set it to a long random text, or bind --admin to 127.0.0.1."
        )


def require_tokens_that_differ(token: str | None, read_token: str | None) -> None:
    """Require the token that changes beside the one that only reads, and that the two differ."""
    if read_token is not None and read_token == token:
        raise CannotStart(
            "OVERGROW_ADMIN_READ_TOKEN is the same as OVERGROW_ADMIN_TOKEN, so it could change everything. "
            "Set it to another long random text."
        )
    if read_token is not None and token is None:
        raise CannotStart(
            "OVERGROW_ADMIN_READ_TOKEN is set, and OVERGROW_ADMIN_TOKEN is not: without it everybody who "
            "reaches the listener may change things. Set both."
        )


def note_short_token(admin: ListenAddress, token: str | None) -> None:
    """Warn about a short token: guessing is not slowed down, so the token must be long."""
    if token is not None and len(token) < MIN_TOKEN_LENGTH and not admin.is_local:
        what = f"OVERGROW_ADMIN_TOKEN has {len(token)} characters and can be guessed from other machines."
        echo_safe(f"note: {what} Set it to a random text of {MIN_TOKEN_LENGTH} or more.", err=True)


def _check(settings: Settings, named: Path) -> StartCheck:
    """Check the table and the app; print problems with the table's path as the user wrote it (`named`)."""
    from overgrow.app import check_start  # noqa: PLC0415 - not for `overgrow --help`

    try:
        checked = call_in_fork(
            partial(check_start, settings, from_last_good=settings.from_last_good),
            note_slow_import,
        )
    except SettingError as error:
        raise CannotStart(str(error)) from error
    except EndedApartError as error:
        raise CannotStart(
            "The app ended its process during the import; nothing was started."
        ) from error
    for note in checked.notes:
        echo_safe(_problem_text(note, settings.config, named), err=True)
    for problem in checked.problems:
        echo_safe(_problem_text(problem, settings.config, named), err=True)
    if checked.problems:
        has = f"{named} has {count_text(len(checked.problems), 'problem')}"
        # lexists: a link that leads nowhere is a table, of which the problem says enough
        fix = "" if os.path.lexists(named) else " Without a table, give --legacy URL."
        raise CannotStart(f"{has}; nothing was started.{fix}")
    return checked


def _problem_text(problem: Problem, config: Path, named: Path) -> str:
    is_of_table = problem.file == str(config)
    return str(replace(problem, file=str(named)) if is_of_table else problem)


def note_slow_import(seconds: float) -> None:
    """Print that the import of the app is slow, because until it ends nobody is served, not even by legacy."""
    what = f"the app has been loading for {seconds:g} s, and nothing listens before it is imported"
    fix = "If it hangs, check what it does during the import; Ctrl-C cancels the start."
    echo_safe(f"note: {what}. {fix}", err=True)


def require_free_addresses(*addresses: ListenAddress) -> None:
    """Bind each address for a moment; raise InUse if one is in use. gunicorn would retry for seconds and say less."""
    with ExitStack() as taken:
        for address in addresses:
            if address.path is None:
                taken.enter_context(_bind_socket(address))
            else:
                _require_unused_socket(address.path)


def require_writable_log(file: Path | None) -> None:
    """Open the file of the access log for a moment; raise CannotStart if that is not possible."""
    if file is None:
        return
    from overgrow.observe.access_log.target import open_log_file  # noqa: PLC0415 - as in _check

    try:
        os.close(open_log_file(file))
    except OSError as error:
        fix = "Name a file that this user may write, in a folder that exists."
        if error.errno == errno.ENXIO:
            fix = "It is a named pipe that nobody reads: start its reader first."
        what = f"OVERGROW_ACCESS_LOG_FILE is {str(file)!r}; it cannot be opened: {error.strerror or error}"
        raise CannotStart(f"{what}. {fix}") from error


def _bind_socket(address: ListenAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((address.host, address.port))
    except OSError as error:
        sock.close()
        fix = _FIXES.get(error.errno or 0, "Name another address.")
        raise InUse(f"Cannot listen on {address}: {error.strerror or error}. {fix}") from error
    return sock


def _require_unused_socket(path: str) -> None:
    """Raise InUse if a server uses the socket file. A file that no server uses is fine, because gunicorn replaces it."""
    if not Path(path).exists():
        return
    if not Path(path).is_socket():
        raise InUse(
            f"Cannot listen on unix:{path}: a file that is not a socket exists there. Name another."
        )
    with socket.socket(socket.AF_UNIX) as sock, suppress(ConnectionRefusedError):
        sock.connect(path)
        raise InUse(
            f"Cannot listen on unix:{path}: another server listens there. Stop it, or name another."
        )


def max_connections_for(files: int) -> int:
    """Return how many clients a listener may accept in a worker that may open `files` files.

    The other file descriptors are for 256 connections to legacy, for files, and for clients that are refused. If clients of
    the public listener could use all descriptors, none would be left for the admin listener and for legacy.
    """
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(32, (files - OTHER_FILES) * 10 // 11))


def _raise_file_limit() -> int:
    """Raise the limit of open files as far as allowed; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return soft


def note_few_files(files: int) -> None:
    """Print a note if the limit of open files lowers the number of clients that a listener may accept."""
    connections = max_connections_for(files)
    if connections < MAX_CONNECTIONS:
        what = f"a worker may open {files} files, so it accepts {connections} clients at once"
        fix = f"Raise the hard limit (ulimit -Hn, LimitNOFILE) for {MAX_CONNECTIONS} clients."
        echo_safe(f"note: {what}. {fix}", err=True)


def _build_plan(settings: Settings, passed: Descriptors) -> ServerPlan:
    from overgrow.server.listener import ClientLimits  # noqa: PLC0415 - not for `overgrow --help`
    from overgrow.server.pace import SlowClientPolicy  # noqa: PLC0415 - as above
    from overgrow.server.plan import ServerPlan  # noqa: PLC0415 - as above

    limits = ClientLimits(
        connections=max_connections_for(_raise_file_limit()),
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
        note_short_token(address_of(settings.admin, "--admin"), settings.admin_token)
        note_few_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        if not checked.compared and settings.state is not None:
            log_table_not_compared(settings.state)

    log_to_stderr()
    load, load_without_app = (
        partial(create_asgi, settings),
        partial(create_asgi_without_app, settings),
    )
    FrontServer(plan, load, announce, access_log=log, load_without_app=load_without_app).run()
