"""HTML of the shop: the layout, escaping, and how a page is answered (ETag, gzip). Pure."""

from __future__ import annotations

import gzip
import hashlib

from legacy_stub.message import Headers, Request, Response

GZIP_FROM_BYTES = 512
ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"})

LAYOUT = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - Hedgerow Supply</title>
<link rel="stylesheet" href="/static/shop.css">
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header class="site">
<a class="brand" href="/">Hedgerow Supply</a>
<nav aria-label="Shop">
<ul>
<li><a href="/products">Products</a></li>
<li><a href="/cart">Cart</a></li>
<li><a href="/account">Account</a></li>
<li><a href="/upload">Send us a picture</a></li>
</ul>
</nav>
</header>
<main id="main">
<h1>{title}</h1>
{content}
</main>
<footer class="foot">
<p>Hedgerow Supply, for gardens that were here before us.</p>
</footer>
</body>
</html>
"""


def escape(text: object) -> str:
    """Return a text as it stands in HTML, in quotes too."""
    return str(text).translate(ESCAPES)


def price(cents: int) -> str:
    """Return a price as people read it."""
    return f"€{cents // 100}.{cents % 100:02d}"


def html(title: str, content: str) -> bytes:
    """Return a whole page."""
    return LAYOUT.format(title=escape(title), content=content).encode()


def page(status: int, title: str, content: str, *headers: tuple[str, str]) -> Response:
    """Return a page that belongs to one visitor or one moment."""
    fixed = [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store")]
    return Response(status, [*fixed, *headers], html(title, content))


def error_page(status: int, title: str, text: str, *headers: tuple[str, str]) -> Response:
    """Return a page that says what went wrong."""
    return page(status, title, f'<p class="notice">{escape(text)}</p>', *headers)


def shared_response(request: Request, content_type: str, body: bytes) -> Response:
    """Return a document that everybody sees alike: with an ETag, 304 and gzip."""
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:20]}"'
    headers: Headers = [("ETag", etag), ("Cache-Control", "no-cache"), ("Vary", "Accept-Encoding")]
    if is_known(request.header("if-none-match"), etag):
        return Response(304, headers)
    headers.append(("Content-Type", content_type))
    if len(body) >= GZIP_FROM_BYTES and takes_gzip(request.header("accept-encoding")):
        headers.append(("Content-Encoding", "gzip"))
        body = gzip.compress(body, 6, mtime=0)
    return Response(200, headers, body)


def is_known(if_none_match: str, etag: str) -> bool:
    """Whether a client's If-None-Match names the tag, weakly, or any tag at all."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag.removeprefix("W/") in tags


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client named gzip and did not give it the weight 0."""
    for choice in accept_encoding.lower().split(","):
        name, _, weight = choice.replace(" ", "").partition(";")
        if name == "gzip":
            return weight.rstrip("0") not in {"q=", "q=0."}
    return False
