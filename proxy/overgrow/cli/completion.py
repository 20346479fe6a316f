"""Shell completion: route names, groups and targets after Tab.

It runs at each press of Tab, so that it reads only the table, and neither the app, the state nor the store. If
an error occurs, it offers nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from overgrow.table.reading.parse import parse_drafts
from overgrow.table.reading.table_file import decode_text, read_table_file

TARGETS = ("legacy", "migrated", "gone", "5%", "25%", "50%")


class RouteName(click.ParamType[str]):
    """A route's name; with `groups` also `group:NAME`. Any text is accepted here, because the command checks the name."""

    name = "route"

    def __init__(self, *, groups: bool = False) -> None:
        self._groups = groups

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """List the names that begin with the typed text."""
        names = _names_in_table(ctx.params.get("config"), groups=self._groups)
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class FlipTarget(click.ParamType[str]):
    """legacy, migrated, gone or a percentage."""

    name = "target"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Offer the targets, such as `legacy`, and some common percentages."""
        return [CompletionItem(word) for word in TARGETS if word.startswith(incomplete)]


def _names_in_table(config: Any, *, groups: bool) -> list[str]:
    """Return the names of routes, valid or not; none if the file cannot be read."""
    path = Path(config or os.environ.get("OVERGROW_CONFIG") or "routes.yaml")
    try:
        drafts = parse_drafts(decode_text(read_table_file(path)), os.environ)
    except Exception:  # noqa: BLE001 - a message would stand in the middle of the user's line
        return []
    names = [draft.name for draft in drafts if draft.name]
    members = {draft.group for draft in drafts if draft.group} if groups else set()
    return [*names, *(f"group:{name}" for name in sorted(members))]
