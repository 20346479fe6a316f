"""Every address of the legacy shop, asked in every way that changes its answer.

For a frozen shop: the forms carry the cookie and the token that it gives every visitor. REFLECTS,
ENDLESS, BREAKS and UPGRADES name the paths that a comparison through a front door treats apart.
"""

from __future__ import annotations

import json
from typing import NamedTuple
from urllib.parse import urlencode

from legacy_stub.session import Session, csrf_token, encode_session


class Endpoint(NamedTuple):
    """One request: header pairs as sent; no body at all when it is None."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None

    def __str__(self) -> str:
        told = [f"{name}: {value[:30]}" for name, value in self.headers]
        sent = [repr(self.body[:40])] if self.body else []
        return ", ".join([f"{self.method} {self.path}", *told, *sent])


REFLECTS = frozenset({"/echo", "/whoami"})  # show the request as it arrived: hops differ
ENDLESS = frozenset({"/events"})  # without ?count=
BREAKS = frozenset({"/broken"})  # hangs up in the middle of its body
UPGRADES = frozenset({"/ws"})

SECRET = b"frozen"
VISITOR = Session("00" * 16)
FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")
GZIP = ("Accept-Encoding", "gzip, deflate")
ORDER = {"customer": "Grace Hopper", "items": [{"product": 3, "quantity": 2}]}


def cookie(session: Session) -> tuple[str, str]:
    return "Cookie", f"shop_session={encode_session(session, SECRET)}"


def form(path: str, session: Session = VISITOR, **fields: str) -> Endpoint:
    """Return a form as the visitor's browser posts it."""
    token = csrf_token(session, SECRET)
    body = urlencode({"csrf_token": token, **fields}).encode()
    return Endpoint("POST", path, (cookie(session), FORM), body)


def order(value: object) -> Endpoint:
    """Return an order as a client of the API sends it."""
    return Endpoint("POST", "/api/orders", (JSON,), json.dumps(value).encode())


def file_form(content: bytes) -> Endpoint:
    """Return the form of the upload page with one file."""
    head = b'Content-Disposition: form-data; name="file"; filename="garden.jpg"\r\n\r\n'
    body = b"--edge\r\n" + head + content + b"\r\n--edge--\r\n"
    kind = ("Content-Type", "multipart/form-data; boundary=edge")
    return Endpoint("POST", "/upload", (kind,), body)


PAGES = [
    Endpoint("GET", "/"),
    Endpoint("GET", "/products"),
    Endpoint("GET", "/products", (GZIP,)),
    Endpoint("GET", "/products", (("If-None-Match", "*"),)),
    Endpoint("GET", "/products?category=tools"),
    Endpoint("GET", "/products?category=nothing"),
    Endpoint("GET", "/products/7"),
    Endpoint("GET", "/products/8"),
    Endpoint("GET", "/products/99"),
    Endpoint("HEAD", "/products/7", (GZIP,)),
    Endpoint("GET", "/static/shop.css"),
    Endpoint("GET", "/static/none.css"),
    Endpoint("GET", "/old-catalogue"),
    Endpoint("GET", "/sale"),
    Endpoint("GET", "/nowhere"),
]
VISITS = [
    Endpoint("GET", "/cart"),
    Endpoint("GET", "/cart?product=5", (cookie(Session("00" * 16, cart={"5": 2})),)),
    form("/cart", product="5", quantity="2"),
    form("/cart", product="4", quantity="0"),
    Endpoint("POST", "/cart", (FORM,), b"product=5&quantity=2"),
    Endpoint("GET", "/login"),
    form("/login", name="ada", password="engine"),
    form("/login", name="ada", password="wrong"),
    Endpoint("POST", "/login", (FORM,), b""),
    Endpoint("GET", "/account"),
    Endpoint("GET", "/account", (cookie(Session("00" * 16, "ada")),)),
    form("/logout", Session("00" * 16, "ada")),
    Endpoint("GET", "/logout"),
    form("/cart/empty", Session("00" * 16, cart={"5": 2})),
    Endpoint("POST", "/cart/empty", (FORM,), b"csrf_token=0"),
    form("/password", Session("00" * 16, "ada"), old="wrong", new="difference"),
    Endpoint("POST", "/password", (FORM,), b"old=engine&new=difference"),
    Endpoint("GET", "/api/session"),
    Endpoint("GET", "/api/session", (cookie(Session("00" * 16, "linus", {"5": 2})),)),
    Endpoint("GET", "/api/session", (cookie(Session("00" * 16)),)),
]
API = [
    Endpoint("GET", "/api/products"),
    Endpoint("GET", "/api/products", (GZIP,)),
    Endpoint("GET", "/api/products?category=seeds"),
    Endpoint("GET", "/api/products/3"),
    Endpoint("GET", "/api/products/99"),
    Endpoint("GET", "/api/users"),
    Endpoint("GET", "/api/orders"),
    Endpoint("GET", "/api/orders/1"),
    Endpoint("GET", "/api/orders/99"),
    order(ORDER),
    order({"customer": "", "items": []}),
    order({"customer": "Grace", "items": [{"product": 4, "quantity": 1}]}),
    Endpoint("POST", "/api/orders", (JSON,), b"{"),
    Endpoint("GET", "/api/orders"),
    Endpoint("GET", "/api/orders/4"),
    Endpoint("DELETE", "/api/orders/1"),
    Endpoint("OPTIONS", "/api/orders"),
    Endpoint("OPTIONS", "/products"),
    Endpoint("GET", "/api/nowhere"),
]
FILES = [
    Endpoint("GET", "/upload"),
    file_form(b"leaf" * 50_000),
    Endpoint("POST", "/upload", (("Accept", "application/json"),), b"plain bytes"),
    Endpoint("POST", "/upload", (("Content-Type", "multipart/form-data; boundary=e"),), b"--e--"),
    Endpoint("GET", "/downloads/catalogue.bin"),
    Endpoint("HEAD", "/downloads/catalogue.bin"),
    Endpoint("GET", "/downloads/catalogue.bin", (("Range", "bytes=262140-262150"),)),
    Endpoint("GET", "/downloads/catalogue.bin", (("Range", "bytes=-5"),)),
    Endpoint("GET", "/downloads/catalogue.bin", (("Range", "bytes=9999999-"),)),
    Endpoint("GET", "/downloads/catalogue.bin", (("If-None-Match", '"catalogue.bin-3145745"'),)),
    Endpoint("GET", "/downloads/none.bin"),
]
PROBES = [
    Endpoint("GET", "/echo?a=1&a=2"),
    Endpoint("POST", "/echo", (), b"hello"),
    Endpoint("PROPFIND", "/echo"),
    Endpoint("GET", "/whoami"),
    Endpoint("GET", "/slow?ms=20"),
    Endpoint("POST", "/slow?ms=1", (), b"a body nobody reads"),
    Endpoint("GET", "/fail"),
    Endpoint("GET", "/fail?status=503"),
    Endpoint("GET", "/fail?status=404"),
    Endpoint("GET", "/fail?status=204"),
    Endpoint("POST", "/fail?status=500", (), b"a body nobody reads"),
    Endpoint("GET", "/broken"),
    Endpoint("GET", "/chunked"),
    Endpoint("HEAD", "/chunked"),
    Endpoint("GET", "/events?count=3&every_ms=10"),
    Endpoint("GET", "/ws"),
]
ENDPOINTS = [*PAGES, *VISITS, *API, *FILES, *PROBES]
