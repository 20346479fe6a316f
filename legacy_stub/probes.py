"""Paths that test a front door: echo, streams, delays, failures, broken responses."""

from __future__ import annotations

import hashlib
import json
import re
import time

from legacy_stub.message import Pieces, Request, Response, json_response
from legacy_stub.shop import Shop

TEXT = ("Content-Type", "text/plain; charset=utf-8")
SLOWEST_MS = 60_000


def number_of(request: Request, name: str, default: int, maximum: int) -> int:
    """Return a number from the query; the default when it is absent or not a number."""
    text = request.argument(name) or ""
    return min(maximum, int(text)) if re.fullmatch("[0-9]{1,9}", text) else default


def echo(request: Request, _shop: Shop) -> Response:
    """Return what arrived: method, target, header pairs in order, and the body's length and hash."""
    digest, count = hashlib.sha256(), 0
    for piece in request.body:
        digest.update(piece)
        count += len(piece)
    return json_response(
        200,
        {
            "method": request.method,
            "target": request.target,
            "version": request.version,
            "headers": request.headers,
            "body_bytes": count,
            "body_sha256": digest.hexdigest(),
        },
    )


def whoami(request: Request, _shop: Shop) -> Response:
    """Return the client as the shop sees it: its address and the forwarding headers."""
    headers = {
        name: value
        for name, value in request.values.items()
        if name.startswith("x-forwarded-") or name in {"forwarded", "via", "host"}
    }
    return json_response(200, {"peer": request.peer, **headers})


def slow(request: Request, _shop: Shop) -> Response:
    """Respond after `?ms=` milliseconds."""
    wait_ms = number_of(request, "ms", 1000, SLOWEST_MS)
    time.sleep(wait_ms / 1000)
    return Response(200, [TEXT], f"That took {wait_ms} ms.\n".encode())


def fail(request: Request, _shop: Shop) -> Response:
    """Respond with the status `?status=`, from 200 to 599; 500 if it is absent."""
    status = max(200, number_of(request, "status", 500, 599))
    headers = [TEXT, ("Retry-After", "7")] if status in {429, 503} else [TEXT]
    return Response(status, headers, f"As you asked: {status}.\n".encode())


def short_body(_request: Request, _shop: Shop) -> Response:
    """Respond with a Content-Length of 1000, send 400 bytes and close the connection."""
    return Response(200, [TEXT, ("Content-Length", "1000")], iter_of(b"half " * 80))


def iter_of(*pieces: bytes) -> Pieces:
    """Yield the pieces."""
    yield from pieces


def chunked_body(request: Request, _shop: Shop) -> Response:
    """Respond with ten chunks, or `?count=`, and a trailer with the hash of all of them."""
    digest = hashlib.sha256()

    def pieces() -> Pieces:
        for place in range(number_of(request, "count", 10, 100_000)):
            piece = f"chunk {place}\n".encode()
            digest.update(piece)
            yield piece

    headers = [TEXT, ("Trailer", "X-Content-SHA256")]
    return Response(200, headers, pieces(), lambda: [("X-Content-SHA256", digest.hexdigest())])


def events(request: Request, shop: Shop) -> Response:
    """Respond with a stream of server-sent events, one each `?every_ms=`; `?count=` ends it."""
    count = number_of(request, "count", 10**9, 10**9)
    every_ms = number_of(request, "every_ms", 1000, SLOWEST_MS)
    headers = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")]
    return Response(200, headers, ticks(shop, count, every_ms))


def ticks(shop: Shop, count: int, every_ms: int) -> Pieces:
    """Yield numbered events: the first at once, the others after a pause each."""
    for place in range(count):
        if place:
            time.sleep(every_ms / 1000)
        data = json.dumps({"tick": place, "at": shop.clock.stamp()})
        yield f"id: {place}\nevent: tick\ndata: {data}\n\n".encode()
