"""Who is logged in: Flask-Login over REMOTE_USER, and roles as plain decorators.

The legacy shop owns the login. The server in front knows its session and says who it is, as servers do: in REMOTE_USER,
and in `overgrow.identity` what else is known. So only `load_user` changes on the day this app owns the login itself:
a `user_loader` over its own session takes its place. Roles are a decorator of five lines: Flask-Principal would bring
needs, identities and signals for one comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import Flask, Request, Response, abort
from flask_login import LoginManager, UserMixin, current_user, login_required

from migrated.answers import redirection

View = TypeVar("View", bound=Callable[..., Any])

login_manager = LoginManager()


class User(UserMixin):
    """A user as the login that both shops share says it."""

    def __init__(self, user_id: str, name: str, roles: frozenset[str]) -> None:
        self.id = user_id
        self.name = name
        self.roles = roles


@login_manager.request_loader
def load_user(request: Request) -> User | None:
    """Return the user of a request; None if nobody is logged in."""
    if not request.remote_user:
        return None
    known = request.environ.get("overgrow.identity", {})
    return User(
        request.remote_user,
        known.get("name") or request.remote_user,
        frozenset(known.get("roles", ())),
    )


@login_manager.unauthorized_handler
def ask_to_log_in() -> Response:
    """Send a visitor to the login, which is legacy's."""
    return redirection("/login", 302)


def role_required(role: str) -> Callable[[View], View]:
    """Let only users with a role call a view: others get 403, visitors the login."""

    def decorate(view: View) -> View:
        @wraps(view)
        def call(*args: Any, **kwargs: Any) -> Any:
            return view(*args, **kwargs) if role in current_user.roles else abort(403)

        return login_required(call)  # type: ignore[no-any-return]

    return decorate


def register(app: Flask) -> None:
    """Give the app its login."""
    login_manager.init_app(app)
