"""Error responses of the admin listener: JSON for the API, a page for a browser, text for other programs."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response, jsonify, render_template, request

from overgrow.admin.api.errors import error_json

API = "/api"


def is_of_api() -> bool:
    """Whether the request is for the API."""
    return request.path == API or request.path.startswith(f"{API}/")


def is_for_browser() -> bool:
    """Whether the client wants a page."""
    return "text/html" in request.headers.get("Accept", "")


def error_response(
    status: int, code: str, text: str, fix: str = "", next_commands: Sequence[str] | None = None
) -> Response:
    """Return an error as JSON for a path under /api, as a page for a browser, and as text for any other client."""
    if is_of_api():
        response = jsonify(error_json(code, text, fix, next_commands))
    elif is_for_browser():
        response = Response(render_template("error.html", text=text, fix=fix, code=code))
    else:
        response = Response(f"{text} {fix}".rstrip() + "\n", mimetype="text/plain")
    response.status_code = status
    return response
