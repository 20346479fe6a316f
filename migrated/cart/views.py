"""The addresses of the cart. Its table and its form are parts of the old page, in the new layout."""

from __future__ import annotations

from flask import Blueprint, Response, render_template, request
from flask_login import current_user, login_required
from markupsafe import Markup

from migrated.answers import page, redirection
from migrated.errors import problem
from migrated.legacy import (
    empty_cart,
    is_genuine_form,
    legacy_session,
    old_page,
    pass_cookies,
)
from migrated.orders.queries import place
from migrated.products.queries import products

blueprint = Blueprint("cart", __name__, template_folder="templates")


@blueprint.get("/cart")
def cart() -> Response:
    """What is in the cart, the form to put something into it, which legacy takes, and for users the checkout."""
    part = old_page(request.full_path)
    if part is None:
        return problem(503)
    # Legacy has escaped what visitors wrote.
    token = legacy_session().csrf_token if current_user.is_authenticated else ""
    html = render_template("cart/cart.html", part=Markup(part), csrf_token=token)  # noqa: S704
    return pass_cookies(page(200, html))


@blueprint.post("/checkout")
@login_required
def checkout() -> Response:
    """Order what is in the cart, and empty it."""
    session = legacy_session()
    if not is_genuine_form(session):
        return problem(403)
    catalogue = {product["id"]: product for product in products() if product["in_stock"]}
    items = [
        {"product": int(number), "quantity": quantity}
        for number, quantity in session.cart.items()
        if int(number) in catalogue
    ]
    if not items:
        return problem(400)
    place({"customer": current_user.name, "items": items}, catalogue)
    empty_cart(session)
    return pass_cookies(redirection("/account", 303))
