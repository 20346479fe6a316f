"""The public pages: home, products, one product, the stylesheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from legacy_stub.message import Request, Response, redirect
from legacy_stub.page import error_page, escape, html, page, price, shared_response
from legacy_stub.shop import Shop

HTML = "text/html; charset=utf-8"
STYLES = Path(__file__).parent / "static"


def home(_request: Request, shop: Shop) -> Response:
    """The first page."""
    count = len(shop.data.products())
    content = (
        f"<p>Seeds, tools and {count} good reasons to go outside.</p>\n"
        '<p><a class="button" href="/products">See the products</a></p>\n'
        f"<p>Today is {shop.clock.stamp()[:10]}. We ship on Mondays.</p>"
    )
    return page(200, "Welcome", content)


def products(request: Request, shop: Shop) -> Response:
    """All products, or those of `?category=`."""
    found = shop.data.products(request.argument("category"))
    return shared_response(request, HTML, listing(found))


def listing(found: list[dict[str, Any]]) -> bytes:
    """Return the page of a list of products."""
    cards = "\n".join(card(product) for product in found)
    content = f'<ul class="cards">\n{cards}\n</ul>' if found else "<p>Nothing of that kind.</p>"
    return html("Products", content)


def card(product: dict[str, Any]) -> str:
    """Return one product in a list."""
    return (
        '<li class="card">\n'
        f'<h2><a href="/products/{product["id"]}">{escape(product["name"])}</a></h2>\n'
        f"<p>{escape(product['category'])}</p>\n"
        f'<p class="price">{price(product["price_cents"])}</p>\n'
        "</li>"
    )


def product(request: Request, shop: Shop, number: str) -> Response:
    """One product."""
    found = shop.data.product(int(number))
    if found is None:
        return error_page(404, "Not found", "There is no such page in this shop.")
    return shared_response(request, HTML, html(found["name"], detail(found)))


def detail(product: dict[str, Any]) -> str:
    """Return the content of a product's page."""
    order = f'<p><a class="button" href="/cart?product={product["id"]}">Put in the cart</a></p>'
    return (
        f"<p>{escape(product['description'])}</p>\n"
        f'<p class="price">{price(product["price_cents"])}</p>\n'
        + (order if product["in_stock"] else '<p class="sold-out">Sold out</p>')
        + f'\n<p><a href="/products?category={product["category"]}">More {product["category"]}</a></p>'
    )


def stylesheet(request: Request, _shop: Shop, name: str) -> Response:
    """A file of the shop's own."""
    if name not in {entry.name for entry in STYLES.iterdir()}:
        return error_page(404, "Not found", "There is no such page in this shop.")
    return shared_response(request, "text/css; charset=utf-8", (STYLES / name).read_bytes())


def old_catalogue(request: Request, _shop: Shop) -> Response:
    """An address of the shop before this one."""
    return redirect(request, 301, "/products")


def sale(request: Request, _shop: Shop) -> Response:
    """What is on sale changes, so the redirect does not last."""
    return redirect(request, 302, "/products?category=supplies")
