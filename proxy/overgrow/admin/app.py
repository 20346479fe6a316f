"""The admin app: a Flask app of its own, served on the admin listener only.

It reads an AdminView and the files of the board and the metrics; changes.py makes changes in the same way as
the command line. Any worker may serve a request, so that responses are always made from what all workers have
written to files.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from flask import Flask, Response, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from overgrow.admin.api import endpoints as api_endpoints
from overgrow.admin.api.blueprint import create_api, reading_posts
from overgrow.admin.auth import refusal
from overgrow.admin.error_responses import error_response
from overgrow.admin.exposed_facts import read_facts
from overgrow.admin.failed_logins import WrongTokens
from overgrow.admin.forms import add_forms
from overgrow.admin.login import add_login
from overgrow.admin.pages.difference import add_difference_pages
from overgrow.admin.pages.registry import create_pages
from overgrow.admin.pages.site import Site
from overgrow.admin.view import AdminView, living_workers, readiness
from overgrow.files import within
from overgrow.observe.exposition import choose_format, exposition
from overgrow.text import duration_text, join_or, percent_number
from overgrow.yaml_file.scalars import nearest_word

ENDPOINTS = {
    "/healthz": "200 while this process answers",
    "/readyz": "whether traffic may be sent here, the revision of every worker, and alerts",
    "/metrics": "all workers' metrics, for Prometheus",
    **{
        each.path: each.summary
        for each in api_endpoints.ENDPOINTS
        if each.method == "GET" and "{" not in each.path
    },
}
# Prometheus waits for 10 s. With 10,000 routes the text takes seconds to write, however quick the files are.
SCRAPE_S = 8.0
MOST_BODY = 16 * 1024  # bytes
_FIXES = {  # by the status of an error that Flask raised
    413: f"Send at most {MOST_BODY // 1024} KiB.",
    500: "Read the log of the front door: it says why.",
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not no-referrer: browsers would send `Origin: null` with our own forms (Fetch, 3.1), as a
    # sandboxed page of another site does.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def create_admin(view: AdminView, *, now: Callable[[], float] = time.time) -> Flask:
    """Build the admin app over a view; `now` returns unix time."""
    app = Flask("overgrow.admin")
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= {"duration": duration_text, "percent": percent_number}
    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY
    wrong = WrongTokens(now, view.count_wrong_token)
    reading = {*reading_posts(api_endpoints.ENDPOINTS), "logout"}
    app.before_request(_refuse_long_body)
    app.before_request(partial(refusal, view, now, wrong, reading))
    app.after_request(_add_security_headers)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(OSError, _file_error)
    _add_probes(app, view)
    app.register_blueprint(create_api(view, now, api_endpoints.ENDPOINTS))
    _add_pages(app, view, now)
    add_login(app, view, now, wrong)
    return app


def _add_probes(app: Flask, view: AdminView) -> None:
    @app.get("/healthz")
    def healthz() -> ResponseReturnValue:
        return Response("ok\n", mimetype="text/plain")

    @app.get("/readyz")
    def readyz() -> ResponseReturnValue:
        payload = readiness(view, living_workers(view))
        return jsonify(payload), 200 if payload["status"] == "ready" else 503

    @app.get("/metrics")
    def metrics() -> ResponseReturnValue:
        chosen = choose_format(request.accept_mimetypes)
        text = partial(exposition, view.metrics, living_workers(view), read_facts(view), chosen)
        written = within(SCRAPE_S, view.metrics, text)
        return Response(written, content_type=chosen.content_type, headers={"Vary": "Accept"})


def _add_pages(app: Flask, view: AdminView, now: Callable[[], float]) -> None:
    site = Site(app, view, now)
    app.jinja_env.globals["endpoints"] = ENDPOINTS
    for page in create_pages(view):
        site.add_page(page)
    add_difference_pages(app, site, view)
    add_forms(app, view)


def _refuse_long_body() -> None:
    """Refuse a body that is too long and has no Content-Length: Werkzeug would cut it and pass on the part."""
    if request.content_length is None and len(request.get_data()) >= MOST_BODY:
        raise RequestEntityTooLarge


def _http_error(found: HTTPException) -> ResponseReturnValue:
    """Return an error that Flask raised as a response in our format. For a 404, the text lists the pages."""
    status = found.code or 500
    text = found.description or found.name
    fix = _FIXES.get(status, "")
    if isinstance(found, MethodNotAllowed) and found.valid_methods:
        fix = f"Use {join_or(sorted(found.valid_methods))}."
    if status == 404 and request.routing_exception:  # else the page says itself what is missing
        text = f"There is no page {request.path}. The pages are: / {' '.join(ENDPOINTS)}"
        near = nearest_word(request.path, ENDPOINTS)
        fix = f"Did you mean {near}?" if near else ""
    response = error_response(status, found.name.lower().replace(" ", "-"), text, fix)
    response.headers.update(
        (name, value)
        for name, value in found.get_headers()
        if name not in ("Content-Type", "Content-Length")
    )
    return response


def _file_error(found: OSError) -> ResponseReturnValue:
    """Return the error for a file that cannot be used, or whose file system does not respond."""
    what = f"{found.filename or 'A file'} cannot be used: {found.strerror or found}."
    fix = "Fix that and try again. To send everything to legacy: overgrow rollback --all, or touch the kill file."
    return error_response(503, "file-unusable", what, fix)


def _add_security_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response
