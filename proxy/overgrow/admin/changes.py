"""Changes that a person may make on the page: move traffic back to legacy, or undo the last flip.

As with the command line, the file is edited and workers follow. The history records the page and the
client's address as the author, since a shared token has no user name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from overgrow.admin.view import AdminView, history_of
from overgrow.files import ANSWER_S, within
from overgrow.table.editing import flip as edit
from overgrow.table.editing import kill_switch
from overgrow.table.editing.history import HistoryEntry, find_undoable
from overgrow.table.reading.gc_pause import gc_paused
from overgrow.table.reading.problems import EditRefused

LOCK_S = 2.0  # short: the admin pages have few threads
Form = Mapping[str, str]
ChangeJson = dict[str, Any]


def flip(view: AdminView, form: Form, who: str) -> ChangeJson:
    """Move a route, or group:NAME, back to legacy."""
    name, to = form.get("route", ""), form.get("to", "legacy")
    if to != "legacy":
        what = f"the admin listener moves routes only to legacy, not to {to}"
        raise EditRefused(
            "bad-flip", what, "Nothing was changed. To flip to migrated, use overgrow flip."
        )
    actor = edit.Actor(os.environ, who, wait_s=LOCK_S)
    back = partial(edit.flip, view.config, view.state, name, "legacy", actor)
    return _flip_json(_edit_table(view, back))


def rollback(view: AdminView, form: Form, who: str) -> ChangeJson:
    """Undo the flip that the page showed as the latest flip; refuse if there has been another flip since."""
    entry = find_undoable(history_of(view).entries, None)
    if entry is None or entry.key != form.get("flip"):
        what = "somebody else flipped or undid something after this page was loaded"
        raise EditRefused("changed-meanwhile", what, "Nothing was changed. Refresh the page.")
    served = partial(_require_servable, view, entry)
    actor = edit.Actor(os.environ, who, rules=served, wait_s=LOCK_S)
    undo = partial(edit.rollback, view.config, view.state, entry.route, actor)
    return _flip_json(_edit_table(view, undo))


def _edit_table(view: AdminView, edit_table: Callable[[], edit.FlipResult]) -> edit.FlipResult:
    """Edit the table. If another process holds the lock, or the file system hangs, this thread waits only for a short time."""

    def work() -> edit.FlipResult:
        with gc_paused():  # the table is read in a thread beside a busy loop, as at a reload
            return edit_table()

    return within(LOCK_S * 2 + ANSWER_S, view.config, work)


def _require_servable(view: AdminView, entry: HistoryEntry) -> None:
    """Refuse to undo a flip if that sends a route to migrated for which the running app has no rule.

    The app's rules are not known here; the table in effect records which routes the app can serve.
    """
    names = {change.route or entry.route for change in entry.changes}
    routes = view.table.routes if view.table else ()
    lacking = [route.name for route in routes if route.name in names and not route.servable]
    if lacking:
        what = f"the running app has no rule for {', '.join(lacking)}"
        raise EditRefused("would-be-invalid", what, "Nothing was changed. Fix the app first.")


def kill(view: AdminView, _form: Form, who: str) -> ChangeJson:
    """Make the kill file, which sends everything to legacy."""
    return {"killed": True, "file": str(kill_switch.kill(view.config, view.state, who=who))}


def resume(view: AdminView, _form: Form, who: str) -> ChangeJson:
    """Remove the kill file, so that workers follow the table again."""
    removed = kill_switch.resume(view.config, view.state, who=who)
    return {"killed": False, "removed": [str(path) for path in removed]}


def _flip_json(made: edit.FlipResult) -> ChangeJson:
    return {"route": made.route, "from": made.from_, "to": made.to, "revision": made.revision}


CHANGES: Mapping[str, Callable[[AdminView, Form, str], ChangeJson]] = {
    "/flip": flip,
    "/rollback": rollback,
    "/kill": kill,
    "/resume": resume,
}
