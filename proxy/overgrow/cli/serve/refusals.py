"""The reasons why `overgrow serve` does not start: wrong usage or table (exit 2), or a resource in use (exit 1)."""

from __future__ import annotations

import click


class CannotStart(click.ClickException):
    """The server cannot start; the message has the reason and the fix."""

    exit_code = 2


class InUse(click.ClickException):
    """An address or a state folder is in use."""

    exit_code = 1
