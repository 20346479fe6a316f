"""How this shop responds: JSON format, ETags, gzip, Allow. Every feature uses these functions.

Each choice is the legacy shop's, so that a feature can move without any client noticing.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable

from flask import Response, request
from flask.globals import request_ctx

GZIP_FROM_BYTES = 512


def json_bytes(value: object) -> bytes:
    """Return compact JSON with sorted keys and a line end."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def json_response(status: int, value: object) -> Response:
    """Return JSON that nobody may store."""
    return private(Response(json_bytes(value), status, content_type="application/json"))


def page(status: int, html: str) -> Response:
    """Return a page that nobody may store."""
    return private(Response(html, status, content_type="text/html; charset=utf-8"))


def redirection(address: str, status: int) -> Response:
    """Return a redirect that nobody may store."""
    return private(Response("", status, {"Location": address}))


def private(response: Response) -> Response:
    """Forbid to store a response."""
    response.headers["Cache-Control"] = "no-store"
    return response


def shared_response(content_type: str, body: bytes) -> Response:
    """Return a document that everybody sees alike: with an ETag, 304 and gzip."""
    tag = hashlib.sha256(body).hexdigest()[:20]
    response = Response(content_type=content_type)
    response.set_etag(tag, weak=True)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept-Encoding"
    if is_known(request.headers.get("If-None-Match", ""), f'"{tag}"'):
        response.status_code = 304
    elif len(body) >= GZIP_FROM_BYTES and takes_gzip(request.headers.get("Accept-Encoding", "")):
        response.headers["Content-Encoding"] = "gzip"
        response.set_data(gzip.compress(body, 6, mtime=0))
    else:
        response.set_data(body)
    return response


def is_known(if_none_match: str, tag: str) -> bool:
    """Whether If-None-Match names the tag, weakly, or any tag at all."""
    tags = [known.strip().removeprefix("W/") for known in if_none_match.split(",")]
    return "*" in tags or tag in tags


def takes_gzip(accept_encoding: str) -> bool:
    """Whether Accept-Encoding names gzip with a weight above 0; a star is not enough."""
    for choice in accept_encoding.lower().split(","):
        name, _, weight = choice.replace(" ", "").partition(";")
        if name == "gzip":
            return weight.rstrip("0") not in {"q=", "q=0."}
    return False


def allow_line(methods: Iterable[str]) -> str:
    """Return the value of Allow, always in the same order."""
    return ", ".join(sorted(methods))


def options_response(methods: Iterable[str]) -> Response:
    """Return the response to OPTIONS."""
    response = Response(status=204, headers={"Allow": allow_line(methods)})
    del response.headers["Content-Type"]
    return response


def request_methods() -> list[str]:
    """Return the methods that the request's address takes."""
    return list(request_ctx.url_adapter.allowed_methods()) if request_ctx.url_adapter else []
