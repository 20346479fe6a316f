"""The forms of the page that change something. A program with the token may post them too, and gets JSON.

Each form sends the revision of the table that its page showed. After the change, the browser goes back to the
page of the form, and that page checks a few times whether all workers follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flask import Flask, jsonify, redirect, request
from flask.typing import ResponseReturnValue

from overgrow.admin import changes
from overgrow.admin.access import author, current_access
from overgrow.admin.api.errors import ApiError, api_error_of
from overgrow.admin.changes import ChangeOrder
from overgrow.admin.error_responses import error_response
from overgrow.admin.own_pages import own_path
from overgrow.admin.pages.site import LOOKS
from overgrow.admin.state_now import STALE, state_json, state_text
from overgrow.admin.view import AdminView
from overgrow.table.editing.flip import FlipResult
from overgrow.table.reading.problems import EditRefused

Form = Mapping[str, str]
MOST_REASON = 1000


def add_forms(app: Flask, view: AdminView) -> None:
    """Add the paths of the forms to the admin app."""
    for path, change in FORMS.items():
        name = path[1:].replace("/", "-")
        app.add_url_rule(path, name, partial(_apply_form, view, change), methods=["POST"])


def _apply_form(
    view: AdminView, change: Callable[[AdminView, Form, ChangeOrder], dict[str, Any]]
) -> ResponseReturnValue:
    """Make a change; respond with JSON to a program with the token, else redirect to the page."""
    try:
        payload = change(view, request.form, _order_of(request.form))
    except EditRefused as refused:
        return _edit_refusal(view, refused)
    except ApiError as refused:
        return _refusal(refused.status, refused, [])
    if current_access().is_bearer:
        return jsonify(payload)
    return redirect(f"{own_path(request.form.get('page', ''))}?look={LOOKS}", 303)


def _edit_refusal(view: AdminView, refused: EditRefused) -> ResponseReturnValue:
    """Return the response to a refused edit. If its author saw another table, the response shows the present state."""
    error, lines = api_error_of(refused), [str(each) for each in refused.problems]
    if lines:
        lines.append('"Everything to legacy" on the overview page works anyway.')
    if refused.code in STALE:
        error.more["state"] = state_json(view, request.form.get("route"))
        lines.append(state_text(error.more["state"]))
    return _refusal(409, error, lines)


def _refusal(status: int, refused: ApiError, lines: list[str]) -> ResponseReturnValue:
    if current_access().is_bearer:
        return jsonify(refused.as_json()), status
    text = "\n".join([refused.fix, *lines])
    return error_response(status, refused.code, f"Refused: {refused.message}", text)


def _order_of(form: Form) -> ChangeOrder:
    access = current_access()
    return ChangeOrder(
        author("admin page", form.get("who", "")),
        form.get("reason", "").strip()[:MOST_REASON] or None,
        form.get("expected_revision") or None,
        is_proven=access.is_proven,
    )


def _flip(view: AdminView, form: Form, order: ChangeOrder) -> dict[str, Any]:
    name, to = form.get("route", ""), form.get("to", "legacy").strip()
    return _flip_json(changes.flip(view, name, to, order))


def _rollback(view: AdminView, form: Form, order: ChangeOrder) -> dict[str, Any]:
    """Undo the flip that the page showed as the latest. If there is a later flip by now, refuse."""
    name = form.get("route") or None
    return _flip_json(changes.rollback(view, name, order, shown=form.get("flip", "")))


def _kill(view: AdminView, _form: Form, order: ChangeOrder) -> dict[str, Any]:
    return {"killed": True, "file": str(changes.kill(view, order))}


def _resume(view: AdminView, _form: Form, order: ChangeOrder) -> dict[str, Any]:
    return {"killed": False, "removed": [str(path) for path in changes.resume(view, order)]}


def _close_breakers(view: AdminView, form: Form, order: ChangeOrder) -> dict[str, Any]:
    changes.close_breakers(view, form.get("route", ""), order)
    return {"route": form.get("route", "")}


def _flip_json(made: FlipResult) -> dict[str, Any]:
    return {"route": made.route, "from": made.from_, "to": made.to, "revision": made.revision}


FORMS: Mapping[str, Callable[[AdminView, Form, ChangeOrder], dict[str, Any]]] = {
    "/flip": _flip,
    "/rollback": _rollback,
    "/kill": _kill,
    "/resume": _resume,
    "/breaker/close": _close_breakers,
}
