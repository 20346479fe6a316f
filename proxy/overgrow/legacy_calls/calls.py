"""`environ["overgrow.legacy"]`: calls of legacy from a view, for the request that the view answers.

The calls carry the request's own cookies and trusted headers, and keep the route's timeouts. A view runs in a thread;
the calls run on the front door's loop, and the thread waits. An answer is what a browser would have got: a legacy app
that does not answer gives the front door's own error page, with its status and X-Overgrow-Error.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlencode

from overgrow.exchange import BodyBroken, Failure, Inbound, Reply, Server, failure_reply
from overgrow.http import is_own_header
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision

MAX_ANSWER_BYTES = 16 * 1024 * 1024
ENVIRON_KEY = "overgrow.legacy"
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
# Headers of the user's request that are about its own body, representation or connection.
_OF_THE_REQUEST = frozenset(
    {
        *(b"content-length", b"content-type", b"content-encoding", b"content-range"),
        *(b"transfer-encoding", b"trailer", b"te", b"expect", b"connection", b"upgrade"),
        *(b"accept", b"accept-encoding", b"range", b"if-range", b"if-match", b"if-none-match"),
        *(b"if-modified-since", b"if-unmodified-since", b"idempotency-key"),
        *(b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-user"),
    }
)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110 5.6.2: a token, in lower case
_NOT_TO_CHOOSE = frozenset(
    {b"host", b"via", b"content-length", b"transfer-encoding", b"connection"}
)


class LegacyPage(NamedTuple):
    """What legacy answered to a call. Header names are as legacy wrote them; the body is decoded by nobody."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first header of this name, in any case; None without one."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    @property
    def text(self) -> str:
        """The body as text: in the charset that Content-Type names, else UTF-8; what does not fit is replaced."""
        charset = (self.header("content-type") or "").lower().partition("charset=")[2]
        try:
            return self.body.decode(charset.partition(";")[0].strip(" \"'") or "utf-8", "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body, read as JSON; raises ValueError for anything else."""
        return json.loads(self.body)


class Response(Protocol):
    """A response whose headers can be added to, such as Flask's."""

    @property
    def headers(self) -> Any:
        """The headers: an object with `add(name, value)`."""
        ...


class LegacyDoor(NamedTuple):
    """The way to legacy that the calls of many requests share.

    `note` is told the route and the status of each call. `is_copy` says that the requests are copies of a shadow.
    """

    server: Server
    note: Callable[[str, int], None]
    is_copy: bool = False


class LegacyCalls:
    """Calls of legacy for one request; offered to views as `environ["overgrow.legacy"]`."""

    __slots__ = ("_cookies", "_decision", "_door", "_head", "_loop", "count")

    def __init__(
        self,
        door: LegacyDoor,
        loop: asyncio.AbstractEventLoop,
        head: Head,
        decision: Decision,
    ) -> None:
        self._door = door
        self._loop = loop
        self._head = head
        self._decision = decision
        self._cookies: tuple[str, ...] = ()
        self.count = 0

    def get(self, target: str, *, headers: Mapping[str, str] | None = None) -> LegacyPage:
        """GET a path of legacy, with the cookies of the request; `headers` are added.

        Raises:
            ValueError: if `target` is not a path, or a header cannot be sent.

        """
        return self._call("GET", target, headers, None)

    def post(
        self,
        target: str,
        data: bytes | str | Mapping[str, Any] = b"",
        *,
        json_body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> LegacyPage:
        """POST to a path of legacy: a form (a mapping), text, bytes, or JSON.

        Raises:
            ValueError: if `target` is not a path, or a header cannot be sent.
            RuntimeError: in a shadow copy, whose request legacy has served already.

        """
        if self._door.is_copy:
            raise RuntimeError("A copy of a request must not POST to legacy a second time")
        kind, body = _encode_body(data, json_body)
        named = dict(headers or {})
        if kind and not any(name.lower() == "content-type" for name in named):
            named["Content-Type"] = kind
        return self._call("POST", target, named, body)

    def pass_cookies(self, response: Response) -> None:
        """Add the cookies that legacy set in the calls so far to a response, so that the user's browser gets them."""
        for value in self._cookies:
            response.headers.add("Set-Cookie", value)

    def _call(
        self, method: str, target: str, headers: Mapping[str, str] | None, body: bytes | None
    ) -> LegacyPage:
        head = _head_of_call(self._head, method, target, headers, body)
        limit_s = self._limit_s()
        running = asyncio.run_coroutine_threadsafe(
            _fetch(self._door.server, head, body, self._decision, limit_s), self._loop
        )
        page = running.result()
        self.count += 1
        self._door.note(self._decision.route_name, page.status)
        cookies = (value for name, value in page.headers if name.lower() == "set-cookie")
        self._cookies = (*self._cookies, *cookies)
        return page

    def _limit_s(self) -> float:
        """Return how long a whole call may take: connecting, waiting, and the body."""
        route = self._decision.route
        if route is None:
            return 60.0
        return route.timeouts.connect_s + 2 * route.timeouts.response_s


def _head_of_call(
    head: Head, method: str, target: str, headers: Mapping[str, str] | None, body: bytes | None
) -> Head:
    """Return the head of a call: the user's own, with another method and target."""
    if not target.startswith("/") or target.startswith("//"):
        raise ValueError(f"{target!r} is not a path of legacy. Write it as in /cart?page=2.")
    chosen = [_header_pair(name, value) for name, value in (headers or {}).items()]
    names = {name for name, _ in chosen}
    kept = [
        pair for pair in head.headers if pair[0] not in _OF_THE_REQUEST and pair[0] not in names
    ]
    kept += chosen
    if body is not None:
        kept.append((b"content-length", str(len(body)).encode()))
    encoded = quote(target.partition("#")[0], safe=_PRINTABLE).encode()
    return head._replace(method=method, target=encoded, headers=kept, upgrade=False)


def _header_pair(name: str, value: str) -> tuple[bytes, bytes]:
    low, text = name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace")
    if low in _NOT_TO_CHOOSE or is_own_header(low):
        raise ValueError(f"The header {name!r} is set by the front door. Leave it out.")
    if not _NAME.fullmatch(low):
        raise ValueError(f"{name!r} is not the name of a header. Write it as in Accept-Language.")
    if any(each in text for each in b"\r\n\0"):
        raise ValueError(f"The header {name!r} contains a line end. Remove it.")
    return low, text


def _encode_body(data: bytes | str | Mapping[str, Any], json_body: Any) -> tuple[str, bytes]:
    """Return (content type, bytes)."""
    if json_body is not None:
        return "application/json", json.dumps(json_body).encode()
    if isinstance(data, Mapping):
        return "application/x-www-form-urlencoded", urlencode(data, doseq=True).encode()
    return ("text/plain; charset=utf-8", data.encode()) if isinstance(data, str) else ("", data)


async def _fetch(
    server: Server, head: Head, body: bytes | None, decision: Decision, limit_s: float
) -> LegacyPage:
    """Send one request to legacy and read its answer; a failure is the answer that a user would get."""
    inbound = Inbound(head, None if body is None else _chunks([body] if body else []))
    try:
        async with asyncio.timeout(limit_s):
            reply = await server.serve(inbound, decision._replace(side="legacy"))
            try:
                return await _read_page(reply)
            finally:
                await reply.close()
    except TimeoutError:
        return await _read_page(failure_reply(Failure("legacy-timeout", "body", "legacy")))
    except BodyBroken as broken:
        return await _read_page(failure_reply(broken.failure))


async def _chunks(chunks: Iterable[bytes]) -> Any:
    for chunk in chunks:
        yield chunk


async def _read_page(reply: Reply) -> LegacyPage:
    body = bytearray()
    if isinstance(reply.body, bytes):
        body += reply.body
    else:
        async for chunk in reply.body:
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                too_large = Failure("legacy-protocol", "body", "legacy", "too large for a call")
                raise BodyBroken(too_large)
    headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in reply.headers
    )
    return LegacyPage(reply.status, headers, bytes(body))
