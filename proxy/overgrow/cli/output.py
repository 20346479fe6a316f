"""Output of the commands. All of it goes through `echo_safe`, so that no text can control the terminal.

Names, reasons and values come from files, from the store, from legacy and its clients.
"""

from __future__ import annotations

import click

from overgrow.text import printable


def echo_safe(text: str, *, err: bool = False) -> None:
    """Print text line by line with control characters escaped. With `err`, print it on standard error."""
    click.echo(printable(text), err=err)
