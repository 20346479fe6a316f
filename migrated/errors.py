"""Error responses in the shop's words: JSON below /api/, a page elsewhere."""

from __future__ import annotations

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from migrated.answers import allow_line, json_response, page

WORDS = {
    400: ("Not accepted", "There is nothing in the cart that could be ordered."),
    403: ("Not accepted", "You may not do this. If it was a form, reload its page and try again."),
    404: ("Not found", "There is no such page in this shop."),
    405: ("Not allowed", "This page does not take that method."),
    503: ("Not available", "This page cannot be shown now. Try again shortly."),
}


def problem(status: int) -> Response:
    """Return the error response for a status, in the format that clients of the path expect."""
    title, text = WORDS[status]
    if request.path.startswith("/api/"):
        return json_response(status, {"error": title.lower()})
    return page(status, render_template("error.html", title=title, text=text))


def forbidden(_error: HTTPException) -> Response:
    """Respond to a user who may not call a view."""
    return problem(403)


def not_found(_error: HTTPException) -> Response:
    """Respond to a path that no feature has."""
    return problem(404)


def method_not_allowed(error: MethodNotAllowed) -> Response:
    """Respond to a method that the path does not allow, and name those it allows."""
    response = problem(405)
    response.headers["Allow"] = allow_line(error.valid_methods or ())
    return response


def register(app: Flask) -> None:
    """Let the app answer its errors in these words."""
    app.register_error_handler(403, forbidden)
    app.register_error_handler(404, not_found)
    app.register_error_handler(405, method_not_allowed)
