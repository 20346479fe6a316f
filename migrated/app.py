"""The application factory: settings, then what all features share, then the features.

A plain Flask app that runs by itself (`flask --app migrated run`) and does not know of any proxy before it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from flask import Flask, Response

from migrated import account, cart, database, errors, login, orders, products
from migrated.answers import options_response, request_methods

FEATURES = (
    products.blueprint,
    orders.blueprint,
    account.blueprint,
    cart.blueprint,
)  # the next feature's blueprint goes here


class Shop(Flask):
    """Flask, but it responds to OPTIONS as the legacy shop does."""

    def make_default_options_response(self) -> Response:
        """Return 204 and the methods of the address."""
        return options_response(request_methods())


def create_app(config: Mapping[str, object] | None = None) -> Flask:
    """Return the shop; `config` beats the environment's SHOP_DB, SHOP_DATA and SHOP_FROZEN."""
    app = Shop(__name__)
    app.config["SHOP_DB"] = os.environ.get("SHOP_DB") or None
    app.config["SHOP_DATA"] = os.environ.get("SHOP_DATA") or ".shop/shop.sqlite3"
    app.config["SHOP_FROZEN"] = os.environ.get("SHOP_FROZEN", "") == "1"
    app.config.update(config or {})
    app.url_map.merge_slashes = False  # "//products" is no address of ours, and no redirect
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    app.add_template_filter(price)
    database.register(app)
    errors.register(app)
    login.register(app)
    for feature in FEATURES:
        app.register_blueprint(feature)
    return app


def price(cents: int) -> str:
    """Return a price as people read it; the filter of all templates."""
    return f"€{cents // 100}.{cents % 100:02d}"
