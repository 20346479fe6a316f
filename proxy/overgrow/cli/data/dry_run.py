"""--dry-run for the commands of `overgrow data` that change nothing anyway, so that every one of them takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def only_reads(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --dry-run, which makes no difference to it."""
    text = "Makes no difference: this command only reads."
    return click.option("--dry-run", is_flag=True, expose_value=False, help=text)(command)
