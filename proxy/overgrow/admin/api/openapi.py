"""The OpenAPI 3.1 document, made from the declarations that also check the requests. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from overgrow.admin.api.endpoint import Endpoint, Parameter
from overgrow.admin.api.errors import ERRORS, EVERYWHERE, OF_POSTS
from overgrow.admin.api.schemas import TEXT, Schema, list_of, record

_ERROR = record(
    {"error": record({"code": TEXT, "message": TEXT, "fix": TEXT, "next": list_of(TEXT)})}
)
_JSON = "application/json"


def openapi_document(endpoints: Iterable[Endpoint], *, needs_token: bool) -> dict[str, Any]:
    """Return the document that describes endpoints; `needs_token` says whether this listener has tokens."""
    paths: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for each in endpoints:
        paths[each.path][each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The admin API of Overgrow",
            "version": version("overgrow"),
            "description": "Who serves what, how it goes, and flips. Every error has a code, what "
            "and why, the fix, and the commands that help.",
        },
        "paths": dict(paths),
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}] if needs_token else [{}, {"token": []}],
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _operation_id(endpoint),
        "summary": endpoint.summary,
        "responses": _responses(endpoint),
    }
    named = [
        _parameter(endpoint, each) for each in endpoint.parameters if _is_in_head(endpoint, each)
    ]
    if named:
        found["parameters"] = named
    if endpoint.method == "POST":
        found["requestBody"] = _request_body(endpoint)
    return found


def _operation_id(endpoint: Endpoint) -> str:
    words = endpoint.path.removeprefix("/api/").replace("{", "").replace("}", "")
    return "-".join([endpoint.method.lower(), *words.replace(".", "/").split("/")])


def _is_in_head(endpoint: Endpoint, parameter: Parameter) -> bool:
    return endpoint.place_of(parameter) != "body"


def _parameter(endpoint: Endpoint, parameter: Parameter) -> dict[str, Any]:
    place = endpoint.place_of(parameter)
    return {
        "name": parameter.name,
        "in": place,
        "required": place == "path" or parameter.is_required,
        "description": parameter.doc,
        "schema": _schema_of(parameter),
    }


def _request_body(endpoint: Endpoint) -> dict[str, Any]:
    parameters = endpoint.parameters_in("body")
    required = [each.name for each in parameters if each.is_required]
    schema = {
        "type": "object",
        "properties": {
            each.name: {**_schema_of(each), "description": each.doc} for each in parameters
        },
        "additionalProperties": False,
        **({"required": required} if required else {}),
        **_either_schema(endpoint),
    }
    is_required = bool(required) or endpoint.needs_either
    return {"required": is_required, "content": {_JSON: {"schema": schema}}}


def _either_schema(endpoint: Endpoint) -> dict[str, Any]:
    """Return the part of the schema that says which parameters exclude each other."""
    given: list[Schema] = [{"required": [name]} for name in endpoint.either]
    none: Schema = {"not": {"anyOf": given}}
    if not given:
        return {}
    return {"oneOf": given if endpoint.needs_either else [*given, none]}


def _schema_of(parameter: Parameter) -> Schema:
    default = {} if parameter.default is None else {"default": parameter.default}
    return {**parameter.kind.schema, **default}


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    codes = [*endpoint.errors, *EVERYWHERE, *(OF_POSTS if endpoint.method == "POST" else ())]
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for code in codes:
        by_status[ERRORS[code].status].append(code)
    answers = {"200": _response("The answer.", endpoint.response)}
    return answers | {
        str(status): _response(_meanings(found), {"$ref": "#/components/schemas/Error"})
        for status, found in sorted(by_status.items())
    }


def _meanings(codes: Iterable[str]) -> str:
    return " ".join(f"{code}: {ERRORS[code].meaning}" for code in dict.fromkeys(codes))


def _response(description: str, schema: Schema) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": schema}}}
