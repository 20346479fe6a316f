"""Where the admin listener of the running front door is, for commands that ask it."""

from __future__ import annotations

import os

import click

from overgrow.cli.context import Invocation
from overgrow.cli.file_deadline import file_deadline
from overgrow.table.running import find_admin


def admin_address(call: Invocation) -> str:
    """Return the admin listener's address: as the user set it, else that of the front door on the state folder, else the default."""
    source = click.get_current_context().get_parameter_source("admin")
    if source is click.core.ParameterSource.COMMANDLINE or os.environ.get("OVERGROW_ADMIN"):
        return call.settings.admin
    with file_deadline(call):
        return find_admin(call.state_to_read) or call.settings.admin
