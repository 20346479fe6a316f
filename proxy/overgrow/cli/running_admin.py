"""The admin listener of the running front door: where it is, and a client of it, for commands that only read."""

from __future__ import annotations

import os

import click

from overgrow.cli.admin_client import AdminClient
from overgrow.cli.context import Invocation
from overgrow.cli.file_deadline import file_deadline
from overgrow.table.running import find_admin


def admin_address(call: Invocation) -> str:
    """Return the address of the admin listener: the setting, else that of the running front door, else the default."""
    source = click.get_current_context().get_parameter_source("admin")
    if source is click.core.ParameterSource.COMMANDLINE or os.environ.get("OVERGROW_ADMIN"):
        return call.settings.admin
    with file_deadline(call):
        return find_admin(call.state_to_read) or call.settings.admin


def reading_client(call: Invocation) -> AdminClient:
    """Return a client of the running front door's admin listener. A read-only token is enough for it."""
    settings = call.settings
    return AdminClient(admin_address(call), settings.admin_token or settings.admin_read_token)
