"""The admin app: a plain Flask app of its own, served on the admin listener only.

It reads an AdminView and the files of the board and the metrics; it changes nothing. Any worker may
answer, so answers are made from what all workers wrote down, never from this process's memory
alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask, Response, jsonify, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from proxy.admin.guard import (
    SESSION_COOKIE,
    SESSION_S,
    bearer_of,
    is_known_host,
    is_own_origin,
    is_session,
    is_token,
    session,
    signing_key,
)
from proxy.admin.view import AdminView, open_breakers, readiness
from proxy.observe.board import workers
from proxy.observe.describe import route_json, split_json
from proxy.observe.metrics import CONTENT_TYPE, exposition, samples
from proxy.observe.recent import recent
from proxy.observe.split import split

ENDPOINTS = {
    "/healthz": "200 while this process answers",
    "/readyz": "whether traffic may be sent here, the revision of every worker, and what is wrong",
    "/metrics": "all workers' metrics, for Prometheus",
    "/api/routes": "the route table in matching order",
    "/api/status": "readiness, the traffic split of every route, breakers that are not closed",
}
_PROBES = ("/healthz", "/readyz")
_BEFORE_LOGIN = ("/login", "/static/admin.css")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not no-referrer: with it browsers send `Origin: null` from our own forms (Fetch, 3.1), which
    # is what a sandboxed page of another site sends too.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def create_admin(view: AdminView, *, now: Callable[[], float] = time.time) -> Flask:
    """Build the admin app over a view; `now` is unix time."""
    app = Flask("proxy.admin")
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.url_map.strict_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = 16 * 1024
    app.before_request(partial(_refusal, view, now))
    app.after_request(_hardened)
    app.register_error_handler(HTTPException, _told)
    _add_probes(app, view)
    _add_api(app, view, now)
    _add_pages(app, view, now)
    return app


def _add_probes(app: Flask, view: AdminView) -> None:
    @app.get("/healthz")
    def healthz() -> ResponseReturnValue:
        return Response("ok\n", mimetype="text/plain")

    @app.get("/readyz")
    def readyz() -> ResponseReturnValue:
        told = readiness(view, workers(view.board))
        return jsonify(told), 200 if told["status"] == "ready" else 503

    @app.get("/metrics")
    def metrics() -> ResponseReturnValue:
        return Response(exposition(view.metrics, workers(view.board)), content_type=CONTENT_TYPE)


def _add_api(app: Flask, view: AdminView, now: Callable[[], float]) -> None:
    @app.get("/api/routes")
    def api_routes() -> ResponseReturnValue:
        return jsonify([route_json(route) for route in _routes(view)])

    @app.get("/api/status")
    def api_status() -> ResponseReturnValue:
        living = workers(view.board)
        told = {**readiness(view, living), "breakers": open_breakers(living)}
        counted = [*samples(view.metrics), *recent(view.metrics, now())]
        figures = split(counted, _routes(view))
        return jsonify({**told, "routes": [split_json(each) for each in figures]})


def _add_pages(app: Flask, view: AdminView, now: Callable[[], float]) -> None:
    @app.get("/")
    def index() -> ResponseReturnValue:
        told = readiness(view, workers(view.board))
        return render_template("index.html", told=told, config=view.config, endpoints=ENDPOINTS)

    @app.get("/login")
    def login_form() -> ResponseReturnValue:
        return render_template("login.html", wrong=False)

    @app.post("/login")
    def login() -> ResponseReturnValue:
        if view.token is None:
            return redirect("/", 303)
        if not is_token(request.form.get("token", ""), view.token):
            return render_template("login.html", wrong=True), 401
        response = redirect("/", 303)
        cookie = session(view.token, signing_key(view.state), int(now()) + SESSION_S)
        response.set_cookie(
            SESSION_COOKIE,
            cookie,
            max_age=SESSION_S,
            httponly=True,
            samesite="Strict",
            secure=request.is_secure,
        )
        return response


def _routes(view: AdminView) -> tuple[Any, ...]:
    return view.table.routes if view.table else ()


def _refusal(view: AdminView, now: Callable[[], float]) -> ResponseReturnValue | None:
    """Why this request gets no answer; None lets it pass. Probes need no Host and no token."""
    if request.path in _PROBES:
        return None
    host = request.headers.get("Host", "")
    if not is_known_host(host, view.hosts):
        return _error(
            421,
            "unknown-host",
            "The admin listener does not know this Host. Use an IP address or localhost, or add the name to OVERGROW_ADMIN_HOSTS.",
        )
    if request.method not in ("GET", "HEAD", "OPTIONS") and not _is_ours(host):
        return _error(403, "foreign-origin", "This request comes from a page of another site.")
    return None if request.path in _BEFORE_LOGIN else _unauthorized(view, now)


def _is_ours(host: str) -> bool:
    fetched_from = request.headers.get("Sec-Fetch-Site", "same-origin")
    return is_own_origin(request.headers.get("Origin"), host) and fetched_from in (
        "same-origin",
        "none",
    )


def _unauthorized(view: AdminView, now: Callable[[], float]) -> ResponseReturnValue | None:
    if view.token is None:
        if view.loopback:
            return None
        return _error(
            403, "no-token", "Set OVERGROW_ADMIN_TOKEN to use this listener from elsewhere."
        )
    if is_token(bearer_of(request.headers.get("Authorization")) or "", view.token):
        return None
    cookie = request.cookies.get(SESSION_COOKIE, "")
    if cookie and is_session(cookie, view.token, signing_key(view.state), now()):
        return None
    if request.path == "/":
        return redirect("/login", 303)
    response = _error(
        401,
        "token-needed",
        "Send the token of OVERGROW_ADMIN_TOKEN: Authorization: Bearer TOKEN, or log in at /login.",
    )
    response.headers["WWW-Authenticate"] = 'Bearer realm="overgrow admin"'
    return response


def _told(error: HTTPException) -> ResponseReturnValue:
    """Flask's own errors in our two forms; a 404 says what there is."""
    status = error.code or 500
    text = error.description or error.name
    if status == 404:
        text = f"There is no {request.path} here. There are: / {' '.join(ENDPOINTS)}"
    response = _error(status, error.name.lower().replace(" ", "-"), text)
    response.headers.update(
        (name, value)
        for name, value in error.get_headers()
        if name not in ("Content-Type", "Content-Length")
    )
    return response


def _error(status: int, code: str, text: str) -> Response:
    """JSON under /api, text elsewhere."""
    if request.path.startswith("/api"):
        response = jsonify({"error": {"code": code, "message": text}})
    else:
        response = Response(f"{text}\n", mimetype="text/plain")
    response.status_code = status
    return response


def _hardened(response: Response) -> Response:
    response.headers.update(_HEADERS)
    return response
