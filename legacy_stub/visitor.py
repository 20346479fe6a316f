"""The pages of one visitor: cart, login, logout, account. Forms carry a CSRF token."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl

from legacy_stub.message import Headers, Request, Response, json_response, redirect
from legacy_stub.page import error_page, escape, page, price
from legacy_stub.session import Session, cookie, csrf_token, is_genuine, session_of
from legacy_stub.shop import Shop

FORM_LIMIT_BYTES = 65536
STAFF = ("linus",)
SHORTEST = 6  # characters of a password
STALE = "This form has gone stale. Go back, reload the page and try again."


def visit(request: Request, shop: Shop) -> tuple[Session, Headers]:
    """Return the visitor's session, and the cookie to set when it has just begun."""
    session = session_of(request, shop.secret)
    if session is not None:
        return session, []
    session = Session(shop.clock.token(16))
    return session, [cookie(session, shop.secret)]


def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a posted form; of repeated ones the last."""
    text = request.body.read(FORM_LIMIT_BYTES).decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True))


def token_field(session: Session, shop: Shop) -> str:
    """Return the hidden field that proves where a form came from."""
    token = csrf_token(session, shop.secret)
    return f'<input type="hidden" name="csrf_token" value="{token}">'


def cart(request: Request, shop: Shop) -> Response:
    """The cart, and a form to put something into it."""
    session, cookies = visit(request, shop)
    return page(
        200, "Cart", cart_table(session, shop) + cart_form(request, session, shop), *cookies
    )


def cart_table(session: Session, shop: Shop) -> str:
    """Return what is in the cart."""
    known = {str(product["id"]): product for product in shop.data.products()}
    rows = [(known[key], count) for key, count in session.cart.items() if key in known]
    if not rows:
        return "<p>Your cart is empty.</p>\n"
    lines = "".join(
        f"<tr><td>{escape(product['name'])}</td><td>{count}</td>"
        f"<td>{price(count * product['price_cents'])}</td></tr>\n"
        for product, count in rows
    )
    total = price(sum(count * product["price_cents"] for product, count in rows))
    head = '<tr><th scope="col">Product</th><th scope="col">Quantity</th><th scope="col">Price</th></tr>'
    return f'<table>\n{head}\n{lines}</table>\n<p class="price">Together {total}</p>\n'


def cart_form(request: Request, session: Session, shop: Shop) -> str:
    """Return the form of the cart, with the product of `?product=` chosen."""
    wanted = request.argument("product")
    options = "".join(
        f'<option value="{product["id"]}"{" selected" if str(product["id"]) == wanted else ""}>'
        f"{escape(product['name'])}</option>\n"
        for product in shop.data.products()
        if product["in_stock"]
    )
    return (
        f'<form method="post" action="/cart">\n{token_field(session, shop)}\n'
        f'<p><label for="product">Product</label>\n<select id="product" name="product">\n{options}</select></p>\n'
        '<p><label for="quantity">Quantity</label>\n'
        '<input id="quantity" name="quantity" type="number" min="1" max="99" value="1" required></p>\n'
        "<p><button>Put in the cart</button></p>\n</form>"
    )


def cart_post(request: Request, shop: Shop) -> Response:
    """Put a product into the cart, then show the cart."""
    form, session = form_of(request), session_of(request, shop.secret)
    if session is None or not is_genuine(form, session, shop.secret):
        return error_page(403, "Not accepted", STALE)
    key, quantity = form.get("product", ""), form.get("quantity", "")
    on_sale = {str(product["id"]) for product in shop.data.products() if product["in_stock"]}
    if key not in on_sale or quantity not in map(str, range(1, 100)):
        return error_page(400, "Not accepted", "Choose a product and a quantity from 1 to 99.")
    filled = replace(session, cart={**session.cart, key: int(quantity)})
    return redirect(request, 303, "/cart", cookie(filled, shop.secret))


def cart_empty_post(request: Request, shop: Shop) -> Response:
    """Take everything out of the cart, then show the cart."""
    form, session = form_of(request), session_of(request, shop.secret)
    if session is None or not is_genuine(form, session, shop.secret):
        return error_page(403, "Not accepted", STALE)
    return redirect(request, 303, "/cart", cookie(replace(session, cart={}), shop.secret))


def session_api(request: Request, shop: Shop) -> Response:
    """Who is asking, for apps that share this login: the user, the cart, and the token of the forms."""
    session = session_of(request, shop.secret)
    if session is None:
        return json_response(200, {"id": None, "cart": {}, "csrf_token": ""})
    user = shop.data.user(session.user) if session.user else None
    known = {} if user is None else {"name": user["full_name"], "roles": roles_of(user["name"])}
    return json_response(
        200,
        {
            "id": None if user is None else user["name"],
            **known,
            "cart": session.cart,
            "csrf_token": csrf_token(session, shop.secret),
        },
    )


def roles_of(name: str) -> list[str]:
    """Return what a user may do beside buying."""
    return ["staff"] if name in STAFF else []


def login(request: Request, shop: Shop) -> Response:
    """The form to log in with."""
    session, cookies = visit(request, shop)
    return page(200, "Log in", login_form(session, shop), *cookies)


def login_form(session: Session, shop: Shop) -> str:
    """Return the form of the login page."""
    return (
        f'<form method="post" action="/login">\n{token_field(session, shop)}\n'
        '<p><label for="name">Name</label>\n<input id="name" name="name" autocomplete="username" required></p>\n'
        '<p><label for="password">Password</label>\n'
        '<input id="password" name="password" type="password" autocomplete="current-password" required></p>\n'
        "<p><button>Log in</button></p>\n</form>\n"
        "<p>To look around, log in as <b>ada</b> with the password <b>engine</b>.</p>"
    )


def login_post(request: Request, shop: Shop) -> Response:
    """Log in: two cookies, the session and the date of this visit."""
    form, session = form_of(request), session_of(request, shop.secret)
    if session is None or not is_genuine(form, session, shop.secret):
        return error_page(403, "Not accepted", STALE)
    user = shop.data.user_with_password(form.get("name", ""), form.get("password", ""))
    if user is None:
        notice = '<p class="notice" role="alert">The name or the password is wrong.</p>\n'
        return page(401, "Log in", notice + login_form(session, shop))
    entered = Session(shop.clock.token(16), user["name"], session.cart)
    seen = ("Set-Cookie", f"shop_seen={shop.clock.now_s()}; Path=/; Max-Age=31536000; SameSite=Lax")
    return redirect(request, 303, "/account", cookie(entered, shop.secret), seen)


def logout_post(request: Request, shop: Shop) -> Response:
    """Log out and forget the visitor."""
    form, session = form_of(request), session_of(request, shop.secret)
    if not is_genuine(form, session, shop.secret):
        return error_page(403, "Not accepted", STALE)
    gone = [("Set-Cookie", f"{name}=; Path=/; Max-Age=0") for name in ("shop_session", "shop_seen")]
    return redirect(request, 303, "/", *gone)


def password_post(request: Request, shop: Shop) -> Response:
    """Change the password of the user who has logged in."""
    form, session = form_of(request), session_of(request, shop.secret)
    if session is None or not is_genuine(form, session, shop.secret):
        return error_page(403, "Not accepted", STALE)
    name, new = session.user or "", form.get("new", "")
    if shop.data.user_with_password(name, form.get("old", "")) is None or len(new) < SHORTEST:
        return error_page(
            400, "Not accepted", "The old password is wrong, or the new one too short."
        )
    shop.data.set_password(name, new)
    return redirect(request, 303, "/account")


def account(request: Request, shop: Shop) -> Response:
    """The page of a user who has logged in."""
    session = session_of(request, shop.secret)
    if session is None or session.user is None:
        return redirect(request, 302, "/login")
    return page(
        200,
        "Account",
        f"<p>You are logged in as {escape(session.user)}.</p>\n"
        f'<form method="post" action="/logout">\n{token_field(session, shop)}\n'
        "<p><button>Log out</button></p>\n</form>",
    )
