"""Login and logout at the admin pages.

A login takes one of the two tokens and the person's name, and the history keeps this name with each change that
the person makes. The name is not checked: whoever has the token may write any name.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Response, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from overgrow.admin.access import clean_name, current_access, has_tokens
from overgrow.admin.auth_rules import is_right_token
from overgrow.admin.error_responses import error_response
from overgrow.admin.failed_logins import WrongTokens
from overgrow.admin.own_pages import own_address
from overgrow.admin.sessions import (
    SESSION_COOKIE,
    SESSION_S,
    end_session,
    new_session,
    session_key,
)
from overgrow.admin.view import AdminView


def add_login(app: Flask, view: AdminView, now: Callable[[], float], wrong: WrongTokens) -> None:
    """Add /login and /logout to the admin app."""

    @app.get("/login")
    def login_form() -> ResponseReturnValue:
        if not has_tokens(view):
            return redirect("/", 303)
        return render_template("login.html", wrong=False, page=request.args.get("page", ""))

    @app.post("/login")
    def login() -> ResponseReturnValue:
        if not has_tokens(view):
            return redirect("/", 303)
        page = request.form.get("page", "")
        token = _token_that_matches(view, request.form.get("token", ""))
        if token is None:
            wrong.record(request.remote_addr)
            return render_template("login.html", wrong=True, page=page), 401
        response = make_response(redirect(own_address(page), 303))
        name = clean_name(request.form.get("name", ""))
        key = session_key(view.state, token)
        _set_session_cookie(response, new_session(token, key, int(now()) + SESSION_S, name))
        return response

    @app.post("/logout")
    def logout() -> ResponseReturnValue:
        response = make_response(redirect("/login", 303))
        session = current_access().session
        try:
            if session is not None:
                end_session(view.state, session, now())
        except OSError as failure:
            response = _logout_error(failure)
        response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="Strict")
        return response


def _set_session_cookie(response: Response, cookie: str) -> None:
    response.set_cookie(
        SESSION_COOKIE,
        cookie,
        max_age=SESSION_S,
        httponly=True,
        samesite="Strict",
        secure=request.is_secure,
    )


def _token_that_matches(view: AdminView, given: str) -> str | None:
    tokens = [token for token in (view.token, view.read_token) if token is not None]
    return next((token for token in tokens if is_right_token(given, token)), None)


def _logout_error(failure: OSError) -> Response:
    what = "This browser is logged out, but a copy of its cookie is valid until it expires"
    why = f"{failure.filename or 'the state folder'}: {failure.strerror or failure}"
    fix = (
        "Free disk space, then delete the file secret in the state folder: that ends all sessions."
    )
    return error_response(503, "not-logged-out", f"{what} ({why}).", fix)
