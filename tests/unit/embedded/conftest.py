"""A front door to mount: paths under /m are migrated, an ASGI callable answers the others."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from overgrow.embedded.mount import WsgiMount
from overgrow.routing.facts import head_of
from overgrow.routing.model import Decision, Route, TrustedProxies

ROUTE = Route("m", prefix="/m", target="migrated", asks_identity=True)


class FakeDoor:
    def __init__(self, asgi=None, trusted=TrustedProxies()):  # noqa: B008 - frozen
        self._asgi = asgi
        self._trusted = trusted
        self.recorded = []
        self.start_lifespan = []
        self.user = None

    def head_of(self, scope):
        self.scope = scope
        return head_of(
            scope["method"],
            scope["overgrow"].target,
            scope["headers"],
            peer=scope["overgrow"].peer,
            scheme=scope["scheme"],
            trusted=self._trusted,
        )

    def decide(self, head):
        side = "migrated" if head.target.startswith(b"/m") else "legacy"
        decision = Decision(ROUTE, side, "target", "rev")
        if not head.target.startswith(b"/m/user"):
            return decision
        return decision._replace(
            side="undecided", resume=lambda user: decision._replace(identity=user)
        )

    async def identify(self, head, decision):
        return decision.resume(self.user), [(b"set-cookie", b"sid=renewed")]

    def legacy_calls(self, head, decision, loop):
        return SimpleNamespace(count=2 if head.target.endswith(b"/calls") else 0)

    def response_headers(self, head, decision, headers):
        return [*headers, (b"x-overgrow", decision.side.encode())]

    def record(self, exchange):
        self.recorded.append(exchange)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                message = await receive()
                assert message["type"] == f"lifespan.{kind}"
                self.start_lifespan.append(kind)
                await send({"type": f"lifespan.{kind}.complete"})
        else:
            await self._asgi(scope, receive, send)


class Caller:
    """A WSGI server of one request, in this thread: `with` closes the answer as servers do."""

    def __init__(self, app, environ):
        self.status = self.headers = None
        self.answer = app(environ, self.start_response)

    def start_response(self, status, headers, exc_info=None):
        self.status, self.headers = status, headers

    def body(self):
        return b"".join(self.answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answer.close()


@pytest.fixture
def door():
    return FakeDoor


@pytest.fixture
def environ():
    """Build an environ: `environ("/path?query", body=..., KEY=value)`."""

    def build(target="/", *, body=b"", method="GET", **more):
        path, _, query = target.partition("?")
        return {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "RAW_URI": target,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.9",
            "REMOTE_PORT": "4711",
            "HTTP_HOST": "shop.test",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            **({"CONTENT_LENGTH": str(len(body))} if body else {}),
            **more,
        }

    return build


@pytest.fixture
def mounted():
    """Mount a WSGI app and an ASGI callable: returns the mount and its door."""
    mounts = []

    def build(wsgi_app=None, asgi=None, **more):
        door = FakeDoor(asgi, **more)
        mounts.append(WsgiMount(wsgi_app, door))
        return mounts[-1], door

    yield build
    for mount in mounts:
        mount.close()


@pytest.fixture
def call():
    return Caller
