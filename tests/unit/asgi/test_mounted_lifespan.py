"""The lifespan of mounted apps: told once, optional, and what a failed start means."""

from __future__ import annotations

import asyncio

import pytest

from overgrow.asgi.server import AsgiMounts
from overgrow.exchange import Inbound


def served(app, elsewhere, request_of, decided, read):
    async def run():
        server = AsgiMounts([("/live", app)], elsewhere)
        await server.open()
        found = await read(await server.serve(Inbound(request_of()), decided()))
        await server.aclose(grace_s=1)
        return found

    return asyncio.run(run())


async def page(scope, send):
    """Answer with what the lifespan left."""
    body = repr(scope["state"]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_an_app_is_started_once_and_stopped_and_its_state_reaches_requests(
    elsewhere, request_of, decided, read
):
    heard = []

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await page(scope, send)
            return
        scope["state"]["pool"] = 7
        for _ in range(2):
            heard.append((await receive())["type"])
            await send({"type": f"{heard[-1]}.complete"})

    found = served(app, elsewhere, request_of, decided, read)

    assert heard == ["lifespan.startup", "lifespan.shutdown"]
    assert found.body == b"{'pool': 7}"


@pytest.mark.parametrize("error", [ValueError("unknown scope"), None], ids=["raises", "returns"])
def test_an_app_that_knows_no_lifespan_is_served(elsewhere, request_of, decided, read, error):
    async def app(scope, _receive, send):
        if scope["type"] == "http":
            await page(scope, send)
        elif error:
            raise error

    assert served(app, elsewhere, request_of, decided, read).status == 200


def test_an_app_that_cannot_start_answers_500_and_the_worker_lives(
    elsewhere, request_of, decided, read
):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await page(scope, send)
            return
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    found = served(app, elsewhere, request_of, decided, read)

    assert (found.status, found.failure.code) == (500, "migrated-crash")
    assert "no database" in found.failure.detail
