"""All endpoints of the API, in the order of the OpenAPI document. A new module of endpoints is added here."""

from __future__ import annotations

from types import ModuleType

from overgrow.admin.access import has_tokens
from overgrow.admin.api import (
    changes,
    decisions,
    differences,
    flips,
    health,
    history,
    routes,
    status,
    unrouted,
)
from overgrow.admin.api.endpoint import ApiCall, Endpoint
from overgrow.admin.api.openapi import openapi_document
from overgrow.admin.api.schemas import ANYTHING, TEXT, Schema, map_of, record

SUBJECTS: tuple[ModuleType, ...] = (
    status,
    health,
    routes,
    history,
    differences,
    unrouted,
    decisions,
    flips,
    changes,
)


def _answer_document(call: ApiCall) -> Schema:
    return openapi_document(ENDPOINTS, needs_token=has_tokens(call.view))


ENDPOINTS: tuple[Endpoint, ...] = (
    *(each for subject in SUBJECTS for each in subject.ENDPOINTS),
    Endpoint(
        "GET",
        "/api/openapi.json",
        "this description of the API, as an OpenAPI 3.1 document",
        _answer_document,
        record({"openapi": TEXT, "info": map_of(ANYTHING), "paths": map_of(ANYTHING)}),
    ),
)
