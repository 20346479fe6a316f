"""Flips, rollbacks, the kill switch and breakers. Every answer says whether all workers follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from overgrow.admin import changes
from overgrow.admin.api.endpoint import ApiCall, Endpoint, Parameter
from overgrow.admin.api.errors import ApiError, api_error_of
from overgrow.admin.api.kinds import Pattern, Text
from overgrow.admin.api.route_names import names_in_table, nearest_names
from overgrow.admin.api.schemas import BOOLEAN, INTEGER, TEXT, Schema, list_of, nullable, record
from overgrow.admin.changes import ChangeOrder
from overgrow.admin.following import (
    Following,
    wait_for_breakers,
    wait_for_flip,
    wait_for_kill,
)
from overgrow.admin.state_now import STALE, state_json
from overgrow.table.editing.flip import GROUP, FlipResult
from overgrow.table.reading.problems import REFUSALS, EditRefused

WHO = Parameter("who", "the name that the history keeps, if the token is not a login's", Text(200))
REASON = Parameter("reason", "why, for the history", Text(1000))
EXPECTED = Parameter(
    "expected_revision",
    "the revision of the table that you saw; if it is another one now, nothing is changed",
    Pattern("[0-9a-f]{12}", "a revision, 12 hexadecimal digits"),
)
EXPECTED_BY_KILL = replace(EXPECTED, doc="is accepted and not compared: nothing holds a kill up")
ROUTE = Parameter("route", "the name of a route", Text(200, 1))

FOLLOWED = {
    "revision": nullable(TEXT),
    "killed": BOOLEAN,
    "confirmed": BOOLEAN,
    "lagging": list_of(INTEGER),
}


class FlipGoal(Text):
    """Where a flip sends clients: legacy, migrated, gone or N%.

    This class accepts any text. The flip itself refuses an invalid target and names the nearest valid one.
    """

    @property
    def schema(self) -> Schema:
        """The JSON schema."""
        percent = r"(?:100(?:\.0{1,2})?|[0-9]{1,2}(?:\.[0-9]{1,2})?)%"
        return {"type": "string", "pattern": f"^(?:legacy|migrated|gone|{percent})$"}


def _answer_flip(call: ApiCall) -> dict[str, Any]:
    name = _name_of_target(call)
    try:
        flipped = changes.flip(call.view, name or "", call["to"], _order_of(call))
    except EditRefused as refused:
        raise _refusal(call, refused, name) from refused
    return _flip_json(call, flipped)


def _answer_rollback(call: ApiCall) -> dict[str, Any]:
    name = _name_of_target(call)
    try:
        flipped = changes.rollback(call.view, name, _order_of(call))
    except EditRefused as refused:
        raise _refusal(call, refused, name) from refused
    return _flip_json(call, flipped)


def _answer_kill(call: ApiCall) -> dict[str, Any]:
    path = changes.kill(call.view, _order_of(call))
    followed = wait_for_kill(call.view, killed=True)
    return {"file": str(path), **_followed_json(call, followed), "killed": True}


def _answer_resume(call: ApiCall) -> dict[str, Any]:
    try:
        removed = changes.resume(call.view, _order_of(call))
    except EditRefused as refused:
        raise _refusal(call, refused, None) from refused
    followed = wait_for_kill(call.view, killed=False)
    return {"removed": [*map(str, removed)], **_followed_json(call, followed)}


def _answer_close(call: ApiCall) -> dict[str, Any]:
    try:
        changes.close_breakers(call.view, call["route"], _order_of(call))
    except EditRefused as refused:
        raise _refusal(call, refused, call["route"]) from refused
    followed = wait_for_breakers(call.view, call["route"])
    return {"route": call["route"], **_followed_json(call, followed)}


def _name_of_target(call: ApiCall) -> str | None:
    """Return the name of the route, or group:NAME for a group; None if the request names neither of the two."""
    return f"{GROUP}{call['group']}" if call["group"] else call["route"]


def _order_of(call: ApiCall) -> ChangeOrder:
    why = (call.values.get("reason") or "").strip() or None
    return ChangeOrder(call.who, why, call["expected_revision"], call.is_proven)


def _refusal(call: ApiCall, refused: EditRefused, name: str | None) -> ApiError:
    """Return a refused edit as an error of the API.

    If the table is not the one that the author expected, the error contains the state of the table now. If a name is
    unknown, the error contains similar names.
    """
    error = api_error_of(refused)
    if refused.code in STALE:
        error.more["state"] = state_json(call.view, name)
    if refused.code == "unknown-route":
        error.more["nearest"] = nearest_names(name or "", names_in_table(call.view))
    return error


def _flip_json(call: ApiCall, flipped: FlipResult) -> dict[str, Any]:
    followed = wait_for_flip(call.view, flipped)
    return {
        "route": flipped.route,
        "from": flipped.from_,
        "to": flipped.to,
        **_followed_json(call, followed, flipped.revision),
    }


def _followed_json(
    call: ApiCall, followed: Following, revision: str | None = None
) -> dict[str, Any]:
    state = state_json(call.view, None)
    return {
        "revision": revision or state["revision"],
        "killed": state["killed"],
        "confirmed": followed.is_confirmed,
        "lagging": list(followed.lagging),
    }


TARGET = (ROUTE, Parameter("group", "the name of a group, instead of a route", Text(200, 1)))
FLIPPED = record({"route": TEXT, "from": TEXT, "to": TEXT, **FOLLOWED})
ENDPOINTS = (
    Endpoint(
        "POST",
        "/api/flip",
        "sets the target or the canary of a route or a group",
        _answer_flip,
        FLIPPED,
        (
            *TARGET,
            Parameter("to", "legacy, migrated, gone or N%", FlipGoal(20, 1), is_required=True),
            REASON,
            EXPECTED,
            WHO,
        ),
        (*REFUSALS, "forward-needs-token", "reason-needed"),
        either=("route", "group"),
        needs_either=True,
    ),
    Endpoint(
        "POST",
        "/api/rollback",
        "undoes the last flip that is not undone yet, of a route, a group or all",
        _answer_rollback,
        FLIPPED,
        (*TARGET, REASON, EXPECTED, WHO),
        tuple(REFUSALS),
        either=("route", "group"),
    ),
    Endpoint(
        "POST",
        "/api/kill",
        "makes the kill file: all reversible routes go to legacy",
        _answer_kill,
        record({"file": TEXT, **FOLLOWED}),
        (REASON, EXPECTED_BY_KILL, WHO),
        ("read-only",),
    ),
    Endpoint(
        "POST",
        "/api/resume",
        "removes the kill file: the table decides again",
        _answer_resume,
        record({"removed": list_of(TEXT), **FOLLOWED}),
        (REASON, EXPECTED, WHO),
        ("read-only", "stale-revision"),
    ),
    Endpoint(
        "POST",
        "/api/breaker/close",
        "closes the breakers of a route in every worker; a side that still fails opens its breaker again",
        _answer_close,
        record({"route": TEXT, **FOLLOWED}),
        (
            Parameter("route", "the name of a route", Text(200, 1), is_required=True),
            EXPECTED,
            WHO,
        ),
        ("unknown-route", "stale-revision"),
    ),
)
