"""The addresses of orders. Views read the request and choose the answer."""

from __future__ import annotations

import json

from flask import Blueprint, Response, abort, request
from werkzeug.exceptions import RequestEntityTooLarge

from migrated.answers import json_response
from migrated.orders import queries
from migrated.orders.checks import problems_of
from migrated.products.queries import products

ORDER_LIMIT_BYTES = 65536

blueprint = Blueprint("orders", __name__)


@blueprint.get("/api/orders")
def listing() -> Response:
    """The latest orders."""
    return json_response(200, {"orders": queries.orders()})


@blueprint.get("/api/orders/<int:id>")
def detail(id: int) -> Response:  # noqa: A002 - the rule's own word
    """One order with its lines."""
    return json_response(200, queries.order(id) or abort(404))


@blueprint.post("/api/orders")
def place() -> Response:
    """Place an order: 201 and its address, or 400 and every problem, or 409 when sold out."""
    try:
        asked = json.loads(body_within(ORDER_LIMIT_BYTES).decode())
    except RequestEntityTooLarge:
        return json_response(413, {"error": "the order is too large"})
    except (ValueError, RecursionError):
        asked = None
    catalogue = {product["id"]: product for product in products()}
    if problems := problems_of(asked, catalogue):
        return json_response(400, {"error": "invalid order", "problems": problems})
    ordered = [catalogue[line["product"]] for line in asked["items"]]
    if sold_out := [product["id"] for product in ordered if not product["in_stock"]]:
        return json_response(409, {"error": "sold out", "products": sold_out})
    number = queries.place(asked, catalogue)
    response = json_response(201, queries.order(number))
    response.headers["Location"] = f"/api/orders/{number}"
    return response


def body_within(limit_bytes: int) -> bytes:
    """Return the request's body; raise RequestEntityTooLarge beyond the limit.

    Werkzeug cuts a chunked body at its maximum without a word, so one byte more is asked for.
    """
    request.max_content_length = limit_bytes + 1
    body = request.get_data(cache=False)
    if len(body) > limit_bytes:
        raise RequestEntityTooLarge
    return body
