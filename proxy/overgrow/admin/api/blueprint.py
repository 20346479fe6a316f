"""The API as a Flask blueprint: each declaration becomes a URL rule, and each error a JSON body."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from overgrow.admin.access import author, current_access
from overgrow.admin.api.endpoint import ApiCall, Endpoint
from overgrow.admin.api.errors import ApiError, api_error_of
from overgrow.admin.api.reading import read_values
from overgrow.admin.health import LiveCounters
from overgrow.admin.view import AdminView
from overgrow.table.reading.problems import EditRefused


def create_api(
    view: AdminView, now: Callable[[], float], endpoints: Iterable[Endpoint]
) -> Blueprint:
    """Return a blueprint with the endpoints; `now` returns unix time."""
    api = Blueprint("api", __name__)
    counters = LiveCounters(view)
    for each in endpoints:
        rule = each.path.replace("{", "<").replace("}", ">")
        api.add_url_rule(
            rule, _name_of(each), partial(_answer, view, counters, now, each), methods=[each.method]
        )
    api.register_error_handler(ApiError, _api_error)
    api.register_error_handler(EditRefused, lambda refused: _api_error(api_error_of(refused)))
    return api


def reading_posts(endpoints: Iterable[Endpoint]) -> set[str]:
    """Return Flask's names of the endpoints whose POST changes nothing."""
    return {f"api.{_name_of(each)}" for each in endpoints if not each.changes}


def _name_of(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}".replace(".", "-")


def _answer(
    view: AdminView,
    counters: LiveCounters,
    now: Callable[[], float],
    endpoint: Endpoint,
    **path_values: Any,
) -> ResponseReturnValue:
    values = read_values(endpoint, request, path_values)
    who = author("admin API", values.get("who") or "")
    call = ApiCall(view, now(), values, who, counters, is_proven=current_access().is_proven)
    return jsonify(endpoint.answer(call))


def _api_error(found: ApiError) -> ResponseReturnValue:
    return jsonify(found.as_json()), found.status
