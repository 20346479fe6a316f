"""Who makes the current request, and what they may do.

Rule: a token determines what its holder may do: one token allows changes, the read-only token allows reading.
If no token is set, everybody who reaches the listener may send clients back to legacy. Only a caller with a
proven identity may take clients away from legacy: the proof is a token, or a unix socket that only the owner of
the front door can use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import g, request

from overgrow.admin.auth_rules import bearer_of, is_right_token
from overgrow.admin.sessions import SESSION_COOKIE, find_session, name_in_session
from overgrow.admin.view import AdminView
from overgrow.text import printable

MOST_NAME = 64


@dataclass(frozen=True, slots=True)
class Access:
    """What the client of a request may do, and who they say they are.

    `session` is the cookie of a login. `is_proven` is False if there is no token and anybody on this machine
    could be the client.
    """

    may_change: bool
    is_proven: bool
    is_bearer: bool = False
    session: str | None = None

    @property
    def name(self) -> str:
        """The name that the person gave at the login; empty if none is known."""
        return name_in_session(self.session) if self.session else ""


def find_access(view: AdminView, now: Callable[[], float]) -> Access | None:
    """Return what the current request may do; None if it needs a token and has none."""
    if not has_tokens(view):
        is_owner = view.is_owners_socket and not request.remote_addr
        return Access(may_change=True, is_proven=is_owner) if view.is_loopback_only else None
    return _access_by_bearer(view) or _access_by_session(view, now)


def has_tokens(view: AdminView) -> bool:
    """Whether a request needs a token."""
    return view.token is not None or view.read_token is not None


def _access_by_bearer(view: AdminView) -> Access | None:
    given = bearer_of(request.headers.get("Authorization"))
    if given is None:
        return None
    if view.token is not None and is_right_token(given, view.token):
        return Access(may_change=True, is_proven=True, is_bearer=True)
    if view.read_token is not None and is_right_token(given, view.read_token):
        return Access(may_change=False, is_proven=True, is_bearer=True)
    return None


def _access_by_session(view: AdminView, now: Callable[[], float]) -> Access | None:
    cookies = request.cookies.getlist(SESSION_COOKIE)
    for token in filter(None, (view.token, view.read_token)):
        session = find_session(cookies, token, view.state, now())
        if session is not None:
            return Access(may_change=token == view.token, is_proven=True, session=session)
    return None


def current_access() -> Access:
    """Return the access that `refusal` found for the current request before the view was called."""
    found: Access = g.access
    return found


def clean_name(text: str) -> str:
    """Return a person's name for the history: one line, without characters that control a terminal."""
    return printable(" ".join(text.split()), keep="")[:MOST_NAME].encode(errors="replace").decode()


def author(face: str, name: str = "") -> str:
    """Return the author of a change for the history: a name if one is known, `face`, and where the request came from.

    `face` says whether the page or the API was used. The name of a login beats the name in the request, because anybody
    with the token can write any name into a request.
    """
    where = f"{face}, from {request.remote_addr or 'a unix socket'}"
    who = current_access().name or clean_name(name)
    return f"{who} ({where})" if who else where
