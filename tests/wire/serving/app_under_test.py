"""A small ASGI app with one path per behaviour, and a main that serves it with our worker.

Run as a script: `python app_under_test.py '{"workers": 1, "limits": {"head_s": 0.3}}'`; it prints
one line with the listeners' addresses once they are bound.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from overgrow.app import transport_for
from overgrow.exchange import Inbound, Reply
from overgrow.forwarding.forwarder import Forwarder
from overgrow.forwarding.tunnel.tunnel import open_tunnel
from overgrow.forwarding.tunnel.upgrader import Upgrader
from overgrow.routing.facts import head_of
from overgrow.routing.model import Decision, Legacy, RouteTable, Timeouts, TrustedProxies
from overgrow.server.listener import ClientLimits
from overgrow.server.master import FrontServer
from overgrow.server.plan import ServerPlan

EVENTS: list[str] = []
CONTROL: dict[str, Any] = {}


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    ours, path = scope["overgrow"], scope["path"].strip("/") or "hello"
    page = PAGES.get(path, hello)
    await page(scope, receive, send, ours)


async def lifespan(scope, receive, send):
    CONTROL["worker"] = scope["state"]["overgrow"]
    CONTROL["worker"].on_refused(lambda failure: EVENTS.append(f"refused {failure.code}"))
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def without_lifespan(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    await answer(send, b"hello")


async def failing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def lingering(scope, receive, send):
    """Take for ever to shut down."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.sleep(60)
    await answer(send, b"hello")


APPS = {
    "app": app,
    "without-lifespan": without_lifespan,
    "failing": failing,
    "lingering": lingering,
}


def query(scope, name, default=""):
    return parse_qs(scope["query_string"].decode()).get(name, [default])[0]


async def answer(send, body: bytes, *headers, status=200):
    length = (b"content-length", str(len(body)).encode())
    await start(send, length, *headers, status=status)
    await send({"type": "http.response.body", "body": body})


async def start(send, *headers, status=200, **more):
    await send({"type": "http.response.start", "status": status, "headers": list(headers), **more})


async def chunk(send, body: bytes, more_body=True):  # noqa: FBT002 - as in the message
    await send({"type": "http.response.body", "body": body, "more_body": more_body})


async def hello(scope, receive, send, ours):
    await answer(send, b"hello")


async def seen(scope, receive, send, ours):
    told = {key: scope[key] for key in ("method", "path", "scheme", "client", "http_version")}
    told |= {
        "target": ours.target.decode(),
        "raw_path": scope["raw_path"].decode(),
        "query_string": scope["query_string"].decode(),
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
        "listener": ours.listener,
        "peer": ours.peer,
        "can_switch_protocol": ours.can_switch_protocol,
    }
    await answer(send, json.dumps(told).encode())


async def told(scope, receive, send, ours):
    worker = CONTROL["worker"]
    body = {
        "events": EVENTS,
        "pid": os.getpid(),
        "draining": worker.is_draining,
        "is_server_stopping": worker.is_server_stopping,
        "number": worker.number,
        "boot_error": worker.server_boot_error,
    }
    await answer(send, json.dumps(body).encode())


async def echo(scope, receive, send, ours):
    await start(send)
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            EVENTS.append("echo saw " + message["type"])
            return
        more = message["more_body"]
        await chunk(send, message["body"], more)


async def count(scope, receive, send, ours):
    size, more = 0, True
    if idle := query(scope, "idle"):
        ours.idle_s = float(idle)
    while more:
        message = await receive()
        if message["type"] != "http.request":
            EVENTS.append("count saw " + message["type"])
            return
        size, more = size + len(message["body"]), message["more_body"]
    await answer(send, str(size).encode())


async def ignore_body(scope, receive, send, ours):
    await answer(send, b"enough", status=413)


async def head_alone(scope, receive, send, ours):
    await start(send, (b"x-early", b"yes"))
    await receive()
    await receive()


async def fail(scope, receive, send, ours):
    raise ValueError("secret detail")


async def silent(scope, receive, send, ours):
    return


async def midway(scope, receive, send, ours):
    """Send half of an answer, then end it as the query says."""
    headers = [(b"content-length", b"10")] if query(scope, "length") else []
    await start(send, *headers, trailers=bool(query(scope, "trailers")))
    await chunk(send, b"half.")
    await asyncio.sleep(0.01)
    how = query(scope, "how")
    if how == "raise":
        raise ValueError("midway")
    if how == "abort":
        ours.abort()
    if how == "finish":
        await chunk(send, b"", more_body=False)


async def big(scope, receive, send, ours):
    size = int(query(scope, "size"))
    headers = [(b"content-length", str(size).encode())] if query(scope, "length") else []
    await start(send, *headers)
    sent = 0
    while sent < size:
        piece = b"x" * min(200_000, size - sent)
        sent += len(piece)
        await chunk(send, piece, sent < size)


async def endless(scope, receive, send, ours):
    if idle := query(scope, "idle"):
        ours.idle_s = float(idle)
    ours.on_disconnect(lambda: EVENTS.append("callback"))
    await start(send)
    try:
        while True:
            await chunk(send, b"x" * 65_536)
            await asyncio.sleep(0)
    except OSError as error:
        EVENTS.append(type(error).__name__)
        raise


async def wait(scope, receive, send, ours):
    ours.on_disconnect(lambda: EVENTS.append("callback"))
    EVENTS.append("waiting")
    await asyncio.sleep(float(query(scope, "s", "30")))
    await answer(send, b"waited")


async def deaf(scope, receive, send, ours):
    """Take no note of the client."""
    EVENTS.append("waiting")
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        EVENTS.append("cancelled")
        raise


async def trailers(scope, receive, send, ours):
    await start(send, trailers=True)
    await chunk(send, b"body", more_body=False)
    pair = (b"x-checksum", b"42")
    if not query(scope, "none"):
        await send({"type": "http.response.trailers", "headers": [pair], "more_trailers": False})


async def hints(scope, receive, send, ours):
    link = (b"link", b"</style.css>; rel=preload")
    await send({"type": "http.response.informational", "status": 103, "headers": [link]})
    await answer(send, b"hinted")


async def header(scope, receive, send, ours):
    value = query(scope, "value").encode("latin-1")
    await answer(send, b"ok", (b"x-value", value))


async def status(scope, receive, send, ours):
    await start(send, (b"content-length", b"4"), status=int(query(scope, "code")))
    await chunk(send, b"body", more_body=False)


async def own_framing(scope, receive, send, ours):
    await start(send, (b"transfer-encoding", b"chunked"), (b"connection", b"keep-alive"))
    await chunk(send, b"body", more_body=False)


async def stick(scope, receive, send, ours):
    """Leave a thread behind that does not return."""
    threading.Thread(target=time.sleep, args=(60,)).start()
    await answer(send, b"stuck")


async def interrupt(scope, receive, send, ours):
    raise KeyboardInterrupt


async def retire(scope, receive, send, ours):
    CONTROL["worker"].retire("as asked")
    await answer(send, str(os.getpid()).encode())


async def upgrade(scope, receive, send, ours):
    """What the front door does with an upgrade decided for legacy."""
    ours.on_disconnect(asyncio.current_task().cancel)
    legacy = Legacy(query(scope, "legacy"), tls_ca=query(scope, "ca") or None)
    idle_s = float(query(scope, "idle", "60"))
    timeouts = Timeouts(1.0, float(query(scope, "patience", "5")), idle_s, idle_s)
    lines = b"".join(b"%b: %b\r\n" % pair for pair in scope["headers"])
    opened = await open_tunnel(legacy, b"GET /ws HTTP/1.1\r\n" + lines + b"\r\n", timeouts=timeouts)
    if isinstance(opened, tuple):
        await answer(send, f"{opened.code} {opened.stage}".encode(), status=502)
        return
    try:
        if opened.is_switched:
            moved = await opened.relay_both_ways(ours.switch_protocol, opened.headers)
            EVENTS.append(f"moved {moved.sent_bytes} {moved.received_bytes} {moved.ended_by}")
            return
        kept = [
            pair for pair in opened.headers if pair[0] not in (b"connection", b"content-length")
        ]
        await start(send, *kept, status=opened.status)
        async for piece in opened.body:
            await chunk(send, piece)
        await chunk(send, b"", more_body=False)
    finally:
        await opened.close()


class Plain:
    """The side that answers what is no upgrade."""

    async def serve(self, inbound, decision):
        return Reply(200, [(b"content-length", b"5")], b"plain")


async def upgrader(scope, receive, send, ours):
    """The front door's path for one request, as far as an upgrade needs it."""
    legacy = Legacy(query(scope, "legacy"), host=query(scope, "host", "preserve"))
    table = RouteTable("r", legacy)
    head = head_of(
        "GET",
        ours.target,
        scope["headers"],
        peer=ours.peer,
        scheme="http",
        trusted=TrustedProxies(),
    )
    length = any(name == b"content-length" for name, _ in scope["headers"])
    switch_protocol = None if query(scope, "stock") else ours.switch_protocol

    async def inform(status, headers):
        await send({"type": "http.response.informational", "status": status, "headers": headers})

    inbound = Inbound(head, receive if length else None, inform, switch_protocol=switch_protocol)
    side = Upgrader(Plain(), lambda: table, Forwarder(lambda: table, transport_for).reserve_slot)
    reply = await side.serve(inbound, Decision(None, "legacy", "upgrade", "r"))
    try:
        if reply.upgraded is not None:
            await reply.upgraded(reply.headers)
            return
        await start(send, *reply.headers, status=reply.status)
        if isinstance(reply.body, bytes):
            await chunk(send, reply.body)
        else:
            async for piece in reply.body:
                await chunk(send, piece)
        await chunk(send, b"", more_body=False)
    finally:
        await reply.close()


PAGES = {
    "upgrader": upgrader,
    "seen": seen,
    "told": told,
    "echo": echo,
    "count": count,
    "ignore-body": ignore_body,
    "head-alone": head_alone,
    "fail": fail,
    "silent": silent,
    "midway": midway,
    "big": big,
    "endless": endless,
    "wait": wait,
    "deaf": deaf,
    "trailers": trailers,
    "hints": hints,
    "header": header,
    "status": status,
    "own-framing": own_framing,
    "retire": retire,
    "interrupt": interrupt,
    "stick": stick,
    "upgrade": upgrade,
}


def main() -> None:
    asked = json.loads(sys.argv[1])
    served = APPS[asked.pop("app", "app")]
    boot_code = asked.pop("boot_code", None)
    limits = ClientLimits(**asked.pop("limits", {}))
    plan = ServerPlan(
        **{"bind": "127.0.0.1:0", "admin": "127.0.0.1:0"} | asked,
        limits=limits,
    )

    def load():
        if boot_code is not None:  # a file: what the test puts there runs in each worker that boots
            exec(compile(Path(boot_code).read_text(), boot_code, "exec"), {"app": served})
        return served

    FrontServer(plan, load, lambda found: print(json.dumps(found), flush=True)).run()


if __name__ == "__main__":
    main()
