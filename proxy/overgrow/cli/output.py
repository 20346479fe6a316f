"""Everything the commands print goes through `say`: no text may command the terminal.

Names, reasons and values come from files, from the store, from legacy and its clients.
"""

from __future__ import annotations

import click

from overgrow.text import printable


def echo_safe(text: str, *, err: bool = False) -> None:
    """Print lines of text, to standard error if asked."""
    click.echo(printable(text), err=err)
