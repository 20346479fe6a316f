"""Which view serves which path. A GET view serves HEAD too; OPTIONS is answered for every path."""

from __future__ import annotations

import re
from collections.abc import Callable

from legacy_stub import api, files, pages, probes, visitor, websocket
from legacy_stub.message import Request, Response, json_response
from legacy_stub.page import error_page
from legacy_stub.shop import Shop

View = Callable[..., Response]
Methods = dict[str, View]

EXACT: dict[str, Methods] = {
    "/": {"GET": pages.home},
    "/products": {"GET": pages.products},
    "/old-catalogue": {"GET": pages.old_catalogue},
    "/sale": {"GET": pages.sale},
    "/cart": {"GET": visitor.cart, "POST": visitor.cart_post},
    "/login": {"GET": visitor.login, "POST": visitor.login_post},
    "/cart/empty": {"POST": visitor.cart_empty_post},
    "/logout": {"POST": visitor.logout_post},
    "/password": {"POST": visitor.password_post},
    "/account": {"GET": visitor.account},
    "/upload": {"GET": files.upload, "POST": files.upload_post},
    "/api/products": {"GET": api.products},
    "/api/orders": {"GET": api.orders, "POST": api.order_post},
    "/api/users": {"GET": api.users},
    "/api/session": {"GET": visitor.session_api},
    "/events": {"GET": probes.events},
    "/ws": {"GET": websocket.upgrade},
    "/slow": {"GET": probes.slow, "POST": probes.slow},
    "/fail": {"GET": probes.fail, "POST": probes.fail},
    "/broken": {"GET": probes.short_body},
    "/chunked": {"GET": probes.chunked_body},
    "/whoami": {"GET": probes.whoami},
}
TEMPLATES: list[tuple[re.Pattern[str], Methods]] = [
    (re.compile(r"/products/(\d{1,4000})"), {"GET": pages.product}),
    (re.compile(r"/api/products/(\d{1,4000})"), {"GET": api.product}),
    (re.compile(r"/api/orders/(\d{1,4000})"), {"GET": api.order}),
    (re.compile(r"/downloads/([^/]+)"), {"GET": files.download}),
    (re.compile(r"/static/([^/]+)"), {"GET": pages.stylesheet}),
]


def answer(request: Request, shop: Shop) -> Response:
    """Return the shop's response to a request."""
    path = request.path
    if path == "/echo":
        return probes.echo(request, shop)
    methods, arguments = find_methods(path)
    if methods is None:
        return problem(path, 404, "Not found", "There is no such page in this shop.")
    view = methods.get("GET" if request.method == "HEAD" else request.method)
    if view is not None:
        return view(request, shop, *arguments)
    allow = (
        "Allow",
        ", ".join(sorted({*methods, "OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))),
    )
    if request.method == "OPTIONS":
        return Response(204, [allow])
    return problem(path, 405, "Not allowed", "This page does not take that method.", allow)


def find_methods(path: str) -> tuple[Methods | None, tuple[str, ...]]:
    """Return the methods of an address and the values in it."""
    if exact := EXACT.get(path):
        return exact, ()
    for pattern, methods in TEMPLATES:
        if match := pattern.fullmatch(path):
            return methods, match.groups()
    return None, ()


def problem(path: str, status: int, title: str, text: str, *headers: tuple[str, str]) -> Response:
    """Return an error as the address's readers expect it: JSON below /api/, else a page."""
    if path.startswith("/api/"):
        return json_response(status, {"error": title.lower()}, *headers)
    return error_page(status, title, text, *headers)
