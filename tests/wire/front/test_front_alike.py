"""Asked directly or through the front door, the difference is what is documented, and nothing else.

docs/wire.md, "Changed, because an intermediary must"; RFC 9110 7.6 and 7.7: no transformation.
"""

from __future__ import annotations

import socket
import string
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wire.front.ends import End, Message

TOKEN = string.ascii_letters + string.digits + "!#$%&'*+-.^`|~"  # without _: such names stay behind
PATH = string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@/%\\|\"<>^`{}[]?"
ADDED = {"via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"}
# Framing and persistence belong to each hop; Date is added where there was none.
OF_THE_HOP = {"connection", "keep-alive", "transfer-encoding", "date"}
MEANT = {  # names with a meaning to the front door have tests of their own
    *ADDED,
    *OF_THE_HOP,
    *("host", "content-length", "te", "upgrade", "expect", "trailer", "forwarded", "max-forwards"),
    *("proxy-authorization", "proxy-authenticate", "proxy-authentication-info", "proxy-connection"),
    *("cookie", "set-cookie", "location", "content-location", "content-type", "user-agent"),
    *("authorization", "from", "referer", "age", "etag", "expires", "last-modified", "retry-after"),
    *("server", "content-range", "content-encoding", "if-modified-since", "if-unmodified-since"),
    *(
        "max-forwards",
        "origin",
        "allow",
        "accept-ranges",
        "content-disposition",
        "content-language",
    ),
}


def is_plain(name: str) -> bool:
    lower = name.lower()
    return lower not in MEANT and not lower.startswith(("x-forwarded-", "x-overgrow"))


values = st.text(
    st.one_of(
        st.sampled_from(string.printable[:95]), st.characters(min_codepoint=160, max_codepoint=255)
    ),
    max_size=20,
).map(lambda text: text.strip(" "))
fields = st.lists(
    st.tuples(st.text(TOKEN, min_size=1, max_size=12).filter(is_plain), values), max_size=8
)
known = st.lists(
    st.sampled_from(
        [
            *(("Cookie", "a=1; b=2"), ("Accept", "*/*"), ("User-Agent", "x/1 (y)")),
            *(
                ("Content-Type", "text/plain"),
                ("If-None-Match", '"a", W/"b"'),
                ("Range", "bytes=1-"),
            ),
            *(("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2"), ("ETag", 'W/"x"')),
            *(("Content-Encoding", "gzip"), ("Location", "http://else.example/"), ("Vary", "*")),
        ]
    ),
    max_size=4,
    unique_by=lambda pair: pair[0],
)
bodies = st.one_of(
    st.none(), st.binary(max_size=200), st.integers(1, 300_000).map(lambda size: b"\xff\n" * size)
)
framings = st.sampled_from(["length", "chunked"])


class Drawn(NamedTuple):
    """A message to be sent alike both ways."""

    line: str
    fields: list[tuple[str, str]]
    body: bytes | None
    framing: str

    def raw(self) -> bytes:
        """As bytes: Content-Length or chunks of 1,000 bytes where there is a body."""
        lines = [self.line, *(f"{name}: {value}" for name, value in self.fields)]
        if self.body is None:
            return "\r\n".join([*lines, "", ""]).encode("latin-1")
        if self.framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
            return "\r\n".join([*lines, "", ""]).encode("latin-1") + in_chunks(self.body)
        lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


def in_chunks(body: bytes) -> bytes:
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


requests = st.builds(
    lambda method, target, some, more, body, framing: Drawn(
        f"{method} /{target} HTTP/1.1", [("Host", "shop.example"), *some, *more], body, framing
    ),
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "PROPFIND", "OPTIONS"]),
    st.text(PATH, max_size=30).filter(lambda target: not target.startswith(("hasty", "retired"))),
    known,
    fields,
    bodies,
    framings,
)
answers = st.builds(
    lambda status, some, more, body, framing: Drawn(
        f"HTTP/1.1 {status} Whatever", [*some, *more], body if body is not None else b"", framing
    ),
    st.sampled_from([200, 201, 206, 301, 302, 400, 404, 410, 418, 451, 500, 503, 599]),
    known,
    fields,
    bodies,
    framings,
)


def without(names, message: Message):
    """What two readers must agree on."""
    headers = [pair for pair in message.headers if pair[0] not in names]
    return headers, message.body, message.trailers, message.is_whole


def exchanged(client: End, drawn: Drawn) -> Message:
    with client:
        client.send(drawn.raw())
        return client.message(drawn.line.partition(" ")[0])


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(asked=requests, answered=answers)
def test_the_front_door_is_not_noticed(both_ways, asked, answered):
    direct, through = both_ways(asked, answered)

    assert direct.seen.line == through.seen.line
    assert without(OF_THE_HOP, direct.seen) == without(ADDED | OF_THE_HOP, through.seen)
    assert direct.shown.status == through.shown.status
    assert without(OF_THE_HOP, direct.shown) == without({"via"} | OF_THE_HOP, through.shown)


class Both(NamedTuple):
    """One exchange: what legacy saw, and what the client saw."""

    seen: Message
    shown: Message


@pytest.fixture
def both_ways(wire):
    """Ask legacy directly and through the front door; legacy answers both alike."""
    seen: list[Message] = []
    answer_with: list[bytes] = [b""]

    def script(end: End) -> None:
        while True:
            found = end.message()
            seen.append(found)
            method = found.line.partition(" ")[0]
            head, _, _ = answer_with[0].partition(b"\r\n\r\n")
            end.send(head + b"\r\n\r\n" if method == "HEAD" else answer_with[0])

    def ask(asked: Drawn, answered: Drawn) -> tuple[Both, Both]:
        seen.clear()
        answer_with[0] = answered.raw()
        shown = [exchanged(legacy_itself(wire), asked), exchanged(wire.client(), asked)]
        return Both(seen[0], shown[0]), Both(seen[1], shown[1])

    with wire.legacy.scripted(script):
        yield ask


def legacy_itself(wire) -> End:
    return End(socket.create_connection(("127.0.0.1", wire.legacy.port), 60))
