"""The JSON API: products, orders, users. An order is checked whole: every problem is reported."""

from __future__ import annotations

import json
from typing import Any

from legacy_stub.message import Refused, Request, Response, json_bytes, json_response
from legacy_stub.page import shared_response
from legacy_stub.shop import Shop

ORDER_LIMIT_BYTES = 65536
JSON = "application/json"


def public(product: dict[str, Any]) -> dict[str, Any]:
    """Return a product as the API shows it."""
    return {**product, "in_stock": bool(product["in_stock"])}


def products(request: Request, shop: Shop) -> Response:
    """All products, or those of `?category=`."""
    found = shop.data.products(request.argument("category"))
    return shared_response(
        request, JSON, json_bytes({"products": [public(product) for product in found]})
    )


def product(request: Request, shop: Shop, number: str) -> Response:
    """One product."""
    found = shop.data.product(int(number))
    if found is None:
        return json_response(404, {"error": "not found"})
    return shared_response(request, JSON, json_bytes(public(found)))


def users(_request: Request, shop: Shop) -> Response:
    """The users, without their passwords."""
    return json_response(200, {"users": shop.data.users()})


def orders(_request: Request, shop: Shop) -> Response:
    """The latest orders."""
    return json_response(200, {"orders": shop.data.orders()})


def order(_request: Request, shop: Shop, number: str) -> Response:
    """One order with its lines."""
    found = shop.data.order(int(number))
    if found is None:
        return json_response(404, {"error": "not found"})
    return json_response(200, found)


def order_post(request: Request, shop: Shop) -> Response:
    """Place an order: 201 and its address, or 400 and every problem, or 409 when sold out."""
    try:
        asked = json.loads(request.body.read(ORDER_LIMIT_BYTES).decode())
    except Refused:
        return json_response(413, {"error": "the order is too large"})
    except (ValueError, RecursionError):
        asked = None
    catalogue = {product["id"]: product for product in shop.data.products()}
    if problems := problems_of(asked, catalogue):
        return json_response(400, {"error": "invalid order", "problems": problems})
    sold_out = [
        line["product"] for line in asked["items"] if not catalogue[line["product"]]["in_stock"]
    ]
    if sold_out:
        return json_response(409, {"error": "sold out", "products": sold_out})
    number = shop.data.place(price_order(asked, catalogue, shop))
    return json_response(201, shop.data.order(number), ("Location", f"/api/orders/{number}"))


def price_order(asked: dict[str, Any], catalogue: dict[int, Any], shop: Shop) -> dict[str, Any]:
    """Return an order that is in order, with its prices, reference and time."""
    items = [
        {**line, "price_cents": catalogue[line["product"]]["price_cents"]}
        for line in asked["items"]
    ]
    return {
        "reference": shop.clock.token(4),
        "customer": asked["customer"],
        "placed_at": shop.clock.stamp(),
        "total_cents": sum(line["quantity"] * line["price_cents"] for line in items),
        "items": items,
    }


def problems_of(asked: object, catalogue: dict[int, Any]) -> list[str]:
    """Return what is wrong with an order, in the order of its fields."""
    if not isinstance(asked, dict):
        return ["the body must be a JSON object"]
    problems = []
    if not is_name(asked.get("customer")):
        problems.append("customer must be a text of 1 to 80 printable characters")
    items = asked.get("items")
    if not isinstance(items, list) or not 1 <= len(items) <= 50:
        return [*problems, "items must be a list of 1 to 50 lines"]
    for place, line in enumerate(items):
        problems += [f"items[{place}]{text}" for text in line_problems(line, catalogue)]
    return problems


def is_name(value: object) -> bool:
    """Whether a value can stand as a customer's name."""
    return isinstance(value, str) and value.isprintable() and 1 <= len(value.strip()) <= 80


def line_problems(line: object, catalogue: dict[int, Any]) -> list[str]:
    """Return what is wrong with one line of an order. True is no number here."""
    if not isinstance(line, dict):
        return [" must be an object"]
    problems = []
    product, quantity = line.get("product"), line.get("quantity")
    if type(product) is not int or product not in catalogue:
        problems.append(".product must be the number of a product")
    if type(quantity) is not int or not 1 <= quantity <= 99:
        problems.append(".quantity must be a number from 1 to 99")
    return problems
