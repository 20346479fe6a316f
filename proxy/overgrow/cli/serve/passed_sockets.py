"""Finds out which socket that a service manager passed belongs to which listener of `overgrow serve`."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import replace

from overgrow.cli.output import echo_safe
from overgrow.cli.serve.refusals import CannotStart
from overgrow.settings import Settings

Descriptors = tuple[int | None, int | None]  # passed sockets: public, admin


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
