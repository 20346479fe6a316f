"""Access to the admin listener: applies the rules of auth_rules.py to Flask's request.

Rule: `refusal` runs before every view and alone decides; no view checks access.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import redirect, request
from flask.typing import ResponseReturnValue

from overgrow.admin.auth_rules import bearer_of, is_known_host, is_own_origin, is_right_token
from overgrow.admin.error_responses import error_response, is_for_browser, is_of_api
from overgrow.admin.failed_logins import WrongTokens
from overgrow.admin.sessions import (
    SESSION_COOKIE,
    find_session,
    form_token,
    is_valid_form_token,
    session_key,
    signing_key,
)
from overgrow.admin.view import AdminView

PROBES = ("/healthz", "/readyz")
BEFORE_LOGIN = ("/login", "/static/admin.css")
READING = ("GET", "HEAD", "OPTIONS")


def refusal(
    view: AdminView, now: Callable[[], float], wrong: WrongTokens
) -> ResponseReturnValue | None:
    """Return the response that refuses the current request; None if the request may pass. Probes need no Host and no token."""
    if request.path in PROBES:
        return None
    wrong.log_pending()
    host = request.headers.get("Host", "")
    if not is_known_host(host, view.hosts):
        return error_response(
            421,
            "unknown-host",
            "The admin listener does not accept this Host. Use an IP address or localhost, or add the name to OVERGROW_ADMIN_HOSTS.",
        )
    changes = request.method not in READING
    if changes and not _is_own_page(host):
        return error_response(
            403, "foreign-origin", "This request comes from a page of another site."
        )
    if request.path in BEFORE_LOGIN:
        return None
    return _auth_refusal(view, now, wrong) or (_form_refusal(view, now) if changes else None)


def _is_own_page(host: str) -> bool:
    fetched_from = request.headers.get("Sec-Fetch-Site", "same-origin")
    return is_own_origin(request.headers.get("Origin"), host) and fetched_from in (
        "same-origin",
        "none",
    )


def has_right_bearer_token(view: AdminView) -> bool:
    """Whether the request has the right bearer token. Pages of other sites cannot set this header."""
    given = bearer_of(request.headers.get("Authorization"))
    return view.token is not None and given is not None and is_right_token(given, view.token)


def _auth_refusal(
    view: AdminView, now: Callable[[], float], wrong: WrongTokens
) -> ResponseReturnValue | None:
    if view.token is None:
        if view.is_loopback_only:
            return None
        return error_response(
            403, "no-token", "Set OVERGROW_ADMIN_TOKEN to use this listener from another machine."
        )
    if has_right_bearer_token(view):
        return None
    if bearer_of(request.headers.get("Authorization")) is not None:
        wrong.record(request.remote_addr)
    if session_of(view, now) is not None:
        return None
    is_page = request.method == "POST" and is_for_browser() and not is_of_api()
    if request.path == "/" or is_page:
        return redirect("/login", 303)
    response = error_response(
        401,
        "token-needed",
        "Send the token of OVERGROW_ADMIN_TOKEN as Authorization: Bearer TOKEN, or log in at /login.",
    )
    response.headers["WWW-Authenticate"] = 'Bearer realm="overgrow admin"'
    return response


def _form_refusal(view: AdminView, now: Callable[[], float]) -> ResponseReturnValue | None:
    if has_right_bearer_token(view) or request.routing_exception:  # such a request gets 404 or 405
        return None
    if is_valid_form_token(
        request.form.get("csrf", ""), _key_of(view), session_of(view, now) or ""
    ):
        return None
    what = "This form is out of date, or from another site. Nothing was changed: reload the page and try again."
    return error_response(403, "form-token", what)


def form_token_of(view: AdminView, now: Callable[[], float]) -> str | None:
    """Return the CSRF token of the forms; None if its key cannot be made (on a full disk, for instance)."""
    try:
        return form_token(_key_of(view), session_of(view, now) or "")
    except OSError:
        return None


def _key_of(view: AdminView) -> bytes:
    return session_key(view.state, view.token) if view.token else signing_key(view.state)


def session_of(view: AdminView, now: Callable[[], float]) -> str | None:
    """Return the cookie of a valid session; without a token there are no sessions."""
    if not view.token:
        return None
    cookies = request.cookies.getlist(SESSION_COOKIE)
    return find_session(cookies, view.token, view.state, now())
