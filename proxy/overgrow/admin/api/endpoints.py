"""All endpoints of the API, in the order of the OpenAPI document. A module of endpoints is named here."""

from __future__ import annotations

from overgrow.admin.api import decisions, differences, routes, status, unrouted
from overgrow.admin.api.endpoint import ApiCall, Endpoint
from overgrow.admin.api.openapi import openapi_document
from overgrow.admin.api.schemas import ANYTHING, TEXT, Schema, map_of, record


def _answer_document(_call: ApiCall) -> Schema:
    return openapi_document(ENDPOINTS)


ENDPOINTS: tuple[Endpoint, ...] = (
    *status.ENDPOINTS,
    *routes.ENDPOINTS,
    *unrouted.ENDPOINTS,
    *decisions.ENDPOINTS,
    *differences.ENDPOINTS,
    Endpoint(
        "GET",
        "/api/openapi.json",
        "this description of the API, as an OpenAPI 3.1 document",
        _answer_document,
        record({"openapi": TEXT, "info": map_of(ANYTHING), "paths": map_of(ANYTHING)}),
    ),
)
