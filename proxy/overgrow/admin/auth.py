"""Access to the admin listener: applies the rules of auth_rules.py to Flask's request.

Rule: `refusal` runs before every view and alone decides; no view checks access.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from urllib.parse import urlencode

from flask import g, redirect, request
from flask.typing import ResponseReturnValue

from overgrow.admin.access import Access, current_access, find_access, has_tokens
from overgrow.admin.auth_rules import bearer_of, is_known_host, is_own_origin
from overgrow.admin.error_responses import error_response, is_for_browser, is_of_api
from overgrow.admin.failed_logins import WrongTokens
from overgrow.admin.own_pages import OVERVIEW, own_address, own_path
from overgrow.admin.sessions import form_token, is_valid_form_token, session_key, signing_key
from overgrow.admin.view import AdminView

PROBES = ("/healthz", "/readyz")
BEFORE_LOGIN = ("/login", "/static/admin.css")
READING = ("GET", "HEAD", "OPTIONS")


def refusal(
    view: AdminView,
    now: Callable[[], float],
    wrong: WrongTokens,
    reading_posts: Collection[str],
) -> ResponseReturnValue | None:
    """Return the response that refuses the current request; None if the request may pass.

    Probes pass without a known Host and without a token. `reading_posts` are the endpoints that accept a POST
    with a read-only token: every endpoint whose POST changes nothing, and `/logout`.
    """
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
    access = find_access(view, now)
    g.access = access
    refused = _auth_refusal(view, access, wrong)
    return refused or (_change_refusal(view, access, reading_posts) if changes else None)


def _is_own_page(host: str) -> bool:
    fetched_from = request.headers.get("Sec-Fetch-Site", "same-origin")
    return is_own_origin(request.headers.get("Origin"), host) and fetched_from in (
        "same-origin",
        "none",
    )


def _auth_refusal(
    view: AdminView, access: Access | None, wrong: WrongTokens
) -> ResponseReturnValue | None:
    is_bearer_wrong = bearer_of(request.headers.get("Authorization")) is not None and not (
        access and access.is_bearer
    )
    if is_bearer_wrong and has_tokens(view):
        wrong.record(request.remote_addr)
    if access is not None:
        return None
    if not has_tokens(view):
        return error_response(
            403, "no-token", "Set OVERGROW_ADMIN_TOKEN to use this listener from another machine."
        )
    is_page = is_for_browser() and not is_of_api()  # a link from a ticket may lead to any page
    if request.path == "/" or is_page:
        return redirect(_login_address(), 303)
    response = error_response(
        401,
        "token-needed",
        "Send the token of OVERGROW_ADMIN_TOKEN as Authorization: Bearer TOKEN, or log in at /login.",
    )
    response.headers["WWW-Authenticate"] = 'Bearer realm="overgrow admin"'
    return response


def _login_address() -> str:
    """Return the address of the login page.

    Its query names the page to return to: the requested page, or the page of the form.
    """
    if request.method in READING:
        page = own_address(request.full_path.removesuffix("?"))
    else:
        page = own_path(request.form.get("page", ""))
    return "/login" if page == OVERVIEW else f"/login?{urlencode({'page': page})}"


def _change_refusal(
    view: AdminView, access: Access | None, reading_posts: Collection[str]
) -> ResponseReturnValue | None:
    """Refuse a POST whose token only reads, or whose form comes from another site; return None if the POST may pass."""
    if request.routing_exception or access is None:  # such a request gets 404 or 405
        return None
    if not access.may_change and request.endpoint not in reading_posts:
        what = "This token only reads (OVERGROW_ADMIN_READ_TOKEN). Nothing was changed."
        fix = "Send the token of OVERGROW_ADMIN_TOKEN, or use the command line."
        return error_response(403, "token-reads-only", what, fix)
    # Browsers ask before they send JSON to another site, and this listener does not agree.
    is_json_of_api = is_of_api() and request.mimetype == "application/json"
    if access.is_bearer or is_json_of_api or _has_valid_form_token(view, access):
        return None
    what = "This form is out of date, or from another site. Nothing was changed: reload the page and try again."
    return error_response(403, "form-token", what)


def _has_valid_form_token(view: AdminView, access: Access) -> bool:
    given = request.form.get("csrf", "")
    return is_valid_form_token(given, _key_of(view), access.session or "")


def form_token_of(view: AdminView) -> str | None:
    """Return the CSRF token of the forms; None if its key cannot be made (on a full disk, for instance)."""
    try:
        return form_token(_key_of(view), current_access().session or "")
    except OSError:
        return None


def _key_of(view: AdminView) -> bytes:
    return session_key(view.state, view.token) if view.token else signing_key(view.state)
