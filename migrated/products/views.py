"""The addresses of products. Views read the request and choose the answer; queries.py has the data."""

from __future__ import annotations

from flask import Blueprint, Response, abort, render_template, request

from migrated.answers import json_bytes, shared_response
from migrated.products import queries

HTML = "text/html; charset=utf-8"
JSON = "application/json"

blueprint = Blueprint("products", __name__, template_folder="templates")


@blueprint.get("/products")
def listing() -> Response:
    """All products, or those of `?category=`."""
    found = queries.products(request.args.get("category"))
    return shared_response(HTML, render_template("products/list.html", products=found).encode())


@blueprint.get("/products/<int:id>")
def detail(id: int) -> Response:  # noqa: A002 - the rule's own word
    """One product."""
    found = queries.product(id) or abort(404)
    return shared_response(HTML, render_template("products/detail.html", product=found).encode())


@blueprint.get("/api/products")
def api_listing() -> Response:
    """All products as JSON, or those of `?category=`."""
    return shared_response(
        JSON, json_bytes({"products": queries.products(request.args.get("category"))})
    )


@blueprint.get("/api/products/<int:id>")
def api_detail(id: int) -> Response:  # noqa: A002 - the rule's own word
    """One product as JSON."""
    return shared_response(JSON, json_bytes(queries.product(id) or abort(404)))
