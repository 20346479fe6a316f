"""A proxy written by hand with aiohttp: server and client of one library, bodies streamed.

python -m benchmarks.peers.aiohttp_proxy PORT UPSTREAM_PORT
"""

from __future__ import annotations

import sys

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict
from yarl import URL

HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


def kept(headers):
    pairs = CIMultiDict()
    for name, value in headers.items():
        if name.lower() not in HOP_BY_HOP:
            pairs.add(name, value)
    return pairs


class Proxy:
    def __init__(self, upstream):
        self.upstream = upstream

    async def open(self, _app):
        self.session = ClientSession(
            connector=TCPConnector(limit=256),
            auto_decompress=False,
            timeout=ClientTimeout(total=None),
        )

    async def close(self, _app):
        await self.session.close()

    async def forward(self, request):
        headers = kept(request.headers)
        headers["X-Forwarded-For"] = request.remote or ""
        headers["X-Forwarded-Proto"] = request.scheme
        url = URL(self.upstream + request.raw_path, encoded=True)
        body = request.content if request.can_read_body else None
        async with self.session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            if answer.content_length is not None and answer.content_length < 65_536:
                return web.Response(
                    status=answer.status, headers=kept(answer.headers), body=await answer.read()
                )
            response = web.StreamResponse(status=answer.status, headers=kept(answer.headers))
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response


def create_app(upstream):
    proxy = Proxy(upstream)
    app = web.Application(client_max_size=0)
    app.on_startup.append(proxy.open)
    app.on_cleanup.append(proxy.close)
    app.router.add_route("*", "/{rest:.*}", proxy.forward)
    return app


if __name__ == "__main__":
    uvloop.install()
    web.run_app(
        create_app(f"http://127.0.0.1:{sys.argv[2]}"),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        backlog=4096,
    )
