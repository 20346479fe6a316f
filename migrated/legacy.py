"""What still belongs to the legacy shop: the cart in its session, and the token of its forms.

The server in front offers `overgrow.legacy` to call the legacy shop for the request at hand. Where this app runs
alone there is none: then there is no cart and no form is genuine. When the cart moves into this app's own session,
this module goes.
"""

from __future__ import annotations

import hmac
from typing import Any, NamedTuple

from flask import Response, request


class LegacySession(NamedTuple):
    """The visitor's session at the legacy shop: product number -> quantity, and the token of the forms."""

    cart: dict[str, int]
    csrf_token: str


def legacy_session() -> LegacySession:
    """Return the visitor's session."""
    page = calls().get("/api/session") if calls() is not None else None
    if page is None or page.status != 200:
        return LegacySession({}, "")
    told = page.json()
    return LegacySession(told["cart"], told["csrf_token"])


def is_genuine_form(session: LegacySession) -> bool:
    """Whether the posted form was made for this visitor, by either shop."""
    sent, known = request.form.get("csrf_token", ""), session.csrf_token
    return bool(known) and hmac.compare_digest(sent.encode(), known.encode())


def old_page(path: str) -> str | None:
    """Return the part of an old page below its title; None if legacy does not answer as usual."""
    legacy = calls()
    page = legacy.get(path) if legacy is not None else None
    if page is None or page.status != 200:
        return None
    return str(page.text.partition("</h1>\n")[2].partition("</main>")[0])


def pass_cookies(response: Response) -> Response:
    """Give the visitor the cookies that legacy set while this request was answered."""
    if calls() is not None:
        calls().pass_cookies(response)
    return response


def empty_cart(session: LegacySession) -> None:
    """Take everything out of the cart."""
    if calls() is not None:
        calls().post("/cart/empty", {"csrf_token": session.csrf_token})


def calls() -> Any:
    """Return the way to the legacy shop; None where this app runs alone."""
    return request.environ.get("overgrow.legacy")
