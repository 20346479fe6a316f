"""One request and one response, as values, without sockets, pages or data.

A Response's body is bytes (sent whole, with Content-Length) or a generator of bytes: chunked,
unless its headers declare a Content-Length. `takeover` gets the connection after the head.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

Headers = list[tuple[str, str]]


class Refused(Exception):
    """The request cannot be served: the server answers `status` in plain text and closes."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class RequestBody(Protocol):
    """A request's body: a stream that can be read once."""

    waiting: bool

    def __iter__(self) -> Iterator[bytes]: ...

    def read(self, limit_bytes: int) -> bytes:
        """Return the whole body; raise Refused(413) when it is longer than the limit."""
        ...

    def is_done(self) -> bool:
        """Whether nothing of the body is left on the wire."""
        ...


@dataclass(slots=True)
class Request:
    """A request whose head has arrived; `target` and the header pairs are as sent."""

    method: str
    target: str
    version: str
    headers: Headers
    body: RequestBody
    peer: str
    values: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.headers:
            key = name.lower()
            known = self.values.get(key)
            self.values[key] = value if known is None else f"{known},{value}"

    def header(self, name: str, default: str = "") -> str:
        """Return the header's values joined by commas; `name` is in lower case."""
        return self.values.get(name, default)

    @property
    def path(self) -> str:
        """The decoded path, of an absolute target too."""
        raw = self.target.partition("?")[0]
        if not raw.startswith("/"):
            raw = "/" + raw.partition("://")[2].partition("/")[2]
        return unquote(raw, errors="replace") if "%" in raw else raw

    @property
    def query(self) -> list[tuple[str, str]]:
        """The pairs of the query, in order."""
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    def argument(self, name: str) -> str | None:
        """Return the first value of the query's key `name`."""
        return next((value for key, value in self.query if key == name), None)

    def url(self, path: str) -> str:
        """Return `path` as an absolute URL at the host the client asked for."""
        scheme = "https" if self.header("x-forwarded-proto") == "https" else "http"
        return f"{scheme}://{self.header('host', 'localhost')}{path}"


Takeover = Callable[[Any], None]
Pieces = Generator[bytes, None, None]


@dataclass(slots=True)
class Response:
    """A response; the server adds Date, Server, and the framing of the body."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes | Pieces = b""
    trailers: Callable[[], Headers] | None = None
    takeover: Takeover | None = None


def json_bytes(value: object) -> bytes:
    """Return compact JSON with sorted keys and a line end: one spelling for each value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def json_response(status: int, value: object, *headers: tuple[str, str]) -> Response:
    """Return a JSON response that nobody may store."""
    fixed = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    return Response(status, [*fixed, *headers], json_bytes(value))


def redirect(request: Request, status: int, path: str, *headers: tuple[str, str]) -> Response:
    """Return a redirect to an absolute URL on this shop, as old shops do."""
    location = request.url(path)
    text = f"Moved to {location}\n".encode()
    kind = ("Content-Type", "text/plain; charset=utf-8")
    return Response(status, [("Location", location), kind, *headers], text)
