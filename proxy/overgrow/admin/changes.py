"""What a person may change from the page: traffic goes back from here, and forward only by undoing.

The same road as the command line's flips: the file is edited, workers follow. Whoever acts is told
to the history as the page and the address it was used from: a shared token knows no names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from overgrow.admin.view import AdminView, history_of
from overgrow.files import ANSWER_S, within
from overgrow.table.editing import flip as edit
from overgrow.table.editing.history import HistoryEntry, find_undoable
from overgrow.table.reading.gc_pause import gc_paused
from overgrow.table.reading.problems import EditRefused

LOCK_S = 2.0  # others wait for one of the few threads of the admin pages
Form = Mapping[str, str]
ChangeJson = dict[str, Any]


def flip(view: AdminView, form: Form, who: str) -> ChangeJson:
    """Put a route, or group:NAME, back on legacy."""
    name, to = form.get("route", ""), form.get("to", "legacy")
    if to != "legacy":
        what = f"the admin listener puts routes back on legacy only, not on {to}"
        raise EditRefused("bad-flip", what, "Nothing was changed. Flip forward with overgrow flip.")
    actor = edit.Actor(os.environ, who, wait_s=LOCK_S)
    back = partial(edit.flip, view.config, view.state, name, "legacy", actor)
    return _flip_json(_edit_table(view, back))


def rollback(view: AdminView, form: Form, who: str) -> ChangeJson:
    """Undo the flip that the page showed as the last one; refused if another came after it."""
    entry = find_undoable(history_of(view).entries, None)
    if entry is None or entry.key != form.get("flip"):
        what = "somebody else flipped or undid something since this page was made"
        raise EditRefused("changed-meanwhile", what, "Nothing was changed. Look again.")
    served = partial(_require_servable, view, entry)
    actor = edit.Actor(os.environ, who, rules=served, wait_s=LOCK_S)
    undo = partial(edit.rollback, view.config, view.state, entry.route, actor)
    return _flip_json(_edit_table(view, undo))


def _edit_table(view: AdminView, edit_table: Callable[[], edit.FlipResult]) -> edit.FlipResult:
    """Edit the table; neither a lock nor a file system that hangs keeps this thread for long."""

    def work() -> edit.FlipResult:
        with gc_paused():  # the table is read in a thread beside a busy loop, as at a reload
            return edit_table()

    return within(LOCK_S * 2 + ANSWER_S, view.config, work)


def _require_servable(view: AdminView, entry: HistoryEntry) -> None:
    """Refuse to send clients back to migrated where the running app has no rule for them.

    The app's rules are not known here, but the table in force keeps what was found by them.
    """
    names = {change.route or entry.route for change in entry.changes}
    routes = view.table.routes if view.table else ()
    lacking = [route.name for route in routes if route.name in names and not route.servable]
    if lacking:
        what = f"the running app has no rule for {', '.join(lacking)}"
        raise EditRefused("would-be-invalid", what, "Nothing was changed. Mend the app first.")


def kill(view: AdminView, _form: Form, who: str) -> ChangeJson:
    """Everything to legacy: make the kill file."""
    return {"killed": True, "file": str(edit.kill(view.config, view.state, who=who))}


def resume(view: AdminView, _form: Form, who: str) -> ChangeJson:
    """Remove the kill file: the table decides again."""
    removed = edit.resume(view.config, view.state, who=who)
    return {"killed": False, "removed": [str(path) for path in removed]}


def _flip_json(made: edit.FlipResult) -> ChangeJson:
    return {"route": made.route, "from": made.from_, "to": made.to, "revision": made.revision}


CHANGES: Mapping[str, Callable[[AdminView, Form, str], ChangeJson]] = {
    "/flip": flip,
    "/rollback": rollback,
    "/kill": kill,
    "/resume": resume,
}
