"""Reads and checks the parameters of a request by the declaration of its endpoint.

Rule: a parameter that is unknown, repeated, missing or malformed is an error that names it. Nothing is guessed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flask import Request

from overgrow.admin.api.endpoint import Endpoint, Parameter
from overgrow.admin.api.errors import ApiError
from overgrow.admin.api.json_text import NameGivenTwice, parse_json
from overgrow.text import printable
from overgrow.yaml_file.scalars import nearest_word

FORM = "application/x-www-form-urlencoded"
CSRF_FIELD = "csrf"  # a form's own field, which is not a parameter
MOST_SHOWN = 80  # characters of a wrong value


def read_values(
    endpoint: Endpoint, request: Request, path_values: Mapping[str, str]
) -> dict[str, Any]:
    """Return the values of all parameters of an endpoint.

    Raises:
        ApiError: bad-parameter, bad-body or unsupported-media-type.

    """
    in_path, in_query = endpoint.parameters_in("path"), endpoint.parameters_in("query")
    values = _read_texts(in_path, path_values.items())
    values |= _read_texts(in_query, request.args.items(multi=True))
    if endpoint.method == "POST":
        values |= _read_body(endpoint.parameters_in("body"), request)
    _require_either(endpoint, values)
    return values


def _require_either(endpoint: Endpoint, values: Mapping[str, Any]) -> None:
    given = [name for name in endpoint.either if values[name] is not None]
    names = " and ".join(endpoint.either)
    if len(given) > 1:
        what = f"The parameters {names} exclude each other."
        raise ApiError("bad-parameter", what, "Give one of them.", parameter=given[-1])
    if endpoint.needs_either and not given:
        what = f"Of the parameters {names} one is needed."
        raise ApiError("bad-parameter", what, "Give one of them.", parameter=endpoint.either[0])


def _read_body(parameters: Sequence[Parameter], request: Request) -> dict[str, Any]:
    if request.mimetype == FORM:
        fields = request.form.items(multi=True)
        return _read_texts(parameters, ((k, v) for k, v in fields if k != CSRF_FIELD))
    if request.mimetype == "application/json":
        return _read_json(parameters, request.get_data())
    if request.mimetype or request.get_data():
        what = f"The body is {printable(request.mimetype)[:MOST_SHOWN] or 'of no type'}."
        fix = "Send JSON with Content-Type: application/json, or a form."
        raise ApiError("unsupported-media-type", what, fix)
    return _read_texts(parameters, ())


def _read_json(parameters: Sequence[Parameter], data: bytes) -> dict[str, Any]:
    try:
        found = parse_json(data) if data.strip() else {}
    except NameGivenTwice as twice:
        raise _repeated_parameter(twice.name, 2) from twice
    except ValueError as error:
        raise ApiError(
            "bad-body", f"The body is not JSON: {printable(str(error))}.", "Correct the body."
        ) from error
    if not isinstance(found, dict):
        raise ApiError("bad-body", "The body is JSON, but not an object.", 'Send {"name": value}.')
    return _read_each(parameters, found, lambda each, value: each.kind.from_json(value))


def _read_texts(
    parameters: Sequence[Parameter], given: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    pairs = list(given)
    name, times = next(iter(Counter(name for name, _ in pairs).most_common(1)), ("", 0))
    if times > 1:
        raise _repeated_parameter(name, times)
    return _read_each(parameters, dict(pairs), lambda each, text: each.kind.from_text(text))


def _read_each(
    parameters: Sequence[Parameter],
    given: Mapping[str, Any],
    read: Callable[[Parameter, Any], Any],
) -> dict[str, Any]:
    known = {each.name: each for each in parameters}
    for name in given:
        if name not in known:
            raise _unknown_parameter(name, list(known))
    values = {each.name: each.default for each in parameters}
    for each in parameters:
        if each.name in given:
            values[each.name] = _read_one(each, given[each.name], read)
        elif each.is_required:
            what = f"The parameter {each.name} is missing."
            raise ApiError("bad-parameter", what, f"Give it: {each.doc}", parameter=each.name)
    return values


def _read_one(parameter: Parameter, given: Any, read: Callable[[Parameter, Any], Any]) -> Any:
    try:
        return read(parameter, given)
    except ValueError as error:
        what = f"The parameter {parameter.name} is {_show(given)}; it must be {error}."
        raise ApiError(
            "bad-parameter", what, f"Correct it: {parameter.doc}", parameter=parameter.name
        ) from error


def _repeated_parameter(name: str, times: int) -> ApiError:
    what = f"The parameter {_show(name)} is given {times} times."
    return ApiError("bad-parameter", what, "Give it once.", parameter=name[:MOST_SHOWN])


def _unknown_parameter(name: str, known: Sequence[str]) -> ApiError:
    near = nearest_word(name, known)
    takes = f"This endpoint takes {', '.join(known)}." if known else "This endpoint takes none."
    fix = f"Did you mean {near}?" if near else takes
    return ApiError(
        "bad-parameter", f"There is no parameter {_show(name)}.", fix, parameter=name[:MOST_SHOWN]
    )


def _show(value: Any) -> str:
    """Return a value for a message: in quotes, shortened, and without control characters."""
    if isinstance(value, str):
        return f'"{printable(value[:MOST_SHOWN], keep="")}"'
    if isinstance(value, dict | list):  # repr of a deep one would go as deep
        return "an object" if isinstance(value, dict) else "a list"
    return json.dumps(value)[:MOST_SHOWN]
