"""The present state of the table, for a client whose change is refused because it saw an older table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from overgrow.admin.view import AdminView
from overgrow.files import ANSWER_S, within
from overgrow.table.editing.flip import GROUP
from overgrow.table.editing.rewrite import state_of
from overgrow.table.live import is_killed
from overgrow.table.reading.parse import revision_of
from overgrow.table.reading.routes import parse_drafts
from overgrow.table.reading.table_file import decode_text, read_table_file
from overgrow.yaml_file.tree import YamlSyntaxError

MOST_ROUTES = 100
# Refusals of somebody who decided by another table.
STALE = frozenset({"stale-revision", "changed-meanwhile", "not-as-written"})


def state_json(view: AdminView, name: str | None) -> dict[str, Any]:
    """Return the revision of the file, whether there is a kill file, and what the file says of a route or group:NAME.

    `routes` maps each route's name to legacy, migrated, gone or N%. If `name` is None, `routes` is empty. If
    the file cannot be read, `revision` is None.
    """
    found: dict[str, Any] = {"revision": None, "killed": False, "routes": {}}
    with suppress(OSError):
        killed = partial(is_killed, view.config, view.state)
        found["killed"] = within(ANSWER_S, view.config, killed)
        data = within(ANSWER_S, view.config, partial(read_table_file, view.config))
        found["revision"] = revision_of(data)
        found["routes"] = _states(data, name) if name else {}
    return found


def _states(data: bytes, name: str) -> dict[str, str]:
    try:
        drafts = parse_drafts(decode_text(data), os.environ)
    except YamlSyntaxError:
        return {}
    meant = [each for each in drafts if name in (each.name, f"{GROUP}{each.group or ''}")]
    return {str(each.name): state_of(each) for each in meant[:MOST_ROUTES]}


def state_text(state: Mapping[str, Any]) -> str:
    """Return the state for people, as one line."""
    says = [f"{name} is {what}" for name, what in state["routes"].items()]
    text = f"The table is {state['revision'] or 'unreadable'} now"
    text = f"{text}: {', '.join(says)}." if says else f"{text}."
    return (
        f"{text} Everything goes to legacy while the kill file exists." if state["killed"] else text
    )
