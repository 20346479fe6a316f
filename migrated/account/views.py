"""The addresses of a user who is logged in. Login, logout and password stay legacy's own addresses."""

from __future__ import annotations

from flask import Blueprint, Response, render_template
from flask_login import current_user, login_required

from migrated.answers import page
from migrated.legacy import legacy_session
from migrated.login import role_required
from migrated.products import queries

blueprint = Blueprint("account", __name__, template_folder="templates")


@blueprint.get("/account")
@login_required
def account() -> Response:
    """The page of a user who has logged in, with the form to log out, which legacy takes."""
    token = legacy_session().csrf_token
    return page(200, render_template("account/account.html", user=current_user, csrf_token=token))


@blueprint.get("/stock")
@role_required("staff")
def stock() -> Response:
    """What is sold out, for the staff."""
    missing = [product for product in queries.products() if not product["in_stock"]]
    return page(200, render_template("account/stock.html", products=missing))
