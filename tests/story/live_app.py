"""A team's Flask app with ASGI apps mounted: what tests/story/test_asgi_mount.py moves to.

It imports nothing of the front door. Which echo answered shows in the subprotocol: the legacy shop
chooses none of these.
"""

from __future__ import annotations

import asyncio

from flask import Flask


def create_app():
    """Flask, a WebSocket echo at the legacy shop's own path, and a set of small behaviours."""
    app = Flask("live", static_folder=None)
    app.add_url_rule("/flask", "flask", lambda: "flask")
    app.extensions["asgi"] = {"/ws": echo, "/live": live}
    return app


async def echo(scope, receive, send):
    """Send every message back, until the client closes."""
    if scope["type"] != "websocket":
        return
    await receive()
    chosen = "migrated" if "migrated" in scope["subprotocols"] else None
    headers = [(b"x-server", b"asgi"), (b"sec-websocket-accept", b"not the app's to say")]
    await send({"type": "websocket.accept", "subprotocol": chosen, "headers": headers})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


async def live(scope, receive, send):
    """One behaviour per path below the prefix."""
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    name = scope["path"].removeprefix(scope["root_path"]).strip("/").partition("/")[0]
    await BEHAVIOURS[name](scope, receive, send)


async def lifespan(scope, receive, send):
    """Start with something for the requests to see."""
    scope["state"]["started"] = "yes"
    for _ in range(2):
        message = await receive()
        await send({"type": f"{message['type']}.complete"})


async def answer(send, body, status=200, kind=b"text/plain"):
    """One whole HTTP answer."""
    headers = [(b"content-type", kind)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def told(scope, _receive, send):
    """What the scope says, one thing a line."""
    names = ("method", "scheme", "path", "raw_path", "query_string", "root_path", "client")
    lines = [f"{name}={scope[name]}" for name in names]
    lines += [f"{name.decode()}: {value.decode()}" for name, value in scope["headers"]]
    await answer(send, "\n".join([*lines, scope["state"]["started"]]).encode())


async def length(_scope, receive, send):
    """How long the request's body is."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await answer(send, str(size).encode())


async def events(_scope, _receive, send):
    """An event stream whose second event comes later."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(3):
        await send(
            {"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True}
        )
        await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": b""})


async def crashing(scope, receive, send):
    """Raise: at once over HTTP, at the first message of a WebSocket."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
    raise ZeroDivisionError("as asked")


async def refusing(_scope, receive, send):
    """Close before accepting."""
    await receive()
    await send({"type": "websocket.close"})


async def explaining(_scope, receive, send):
    """Refuse with an answer of its own."""
    await receive()
    headers = [(b"x-why", b"no room")]
    await send({"type": "websocket.http.response.start", "status": 409, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"come ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"later"})


async def closing(_scope, receive, send):
    """Accept, and close with a code of its own."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 4002, "reason": "enough"})


LEFT: list[int] = []


async def leaving(_scope, receive, send):
    """Note the code of the disconnect."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        pass
    LEFT.append(message["code"])


async def left(_scope, _receive, send):
    """The codes that `leaving` noted."""
    await answer(send, repr(LEFT).encode())


BEHAVIOURS = {
    "echo": echo,
    "told": told,
    "length": length,
    "events": events,
    "crashing": crashing,
    "refusing": refusing,
    "explaining": explaining,
    "closing": closing,
    "leaving": leaving,
    "left": left,
}
