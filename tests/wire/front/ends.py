"""Both ends of the front door's wire, by hand: a client's socket, legacy's socket, whole messages.

Rule: a message is read by the letter of RFC 9112 6, independently of every parser of the product, and
says whether it arrived whole; only then can a test tell a short body from a broken connection.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, Self

PATIENCE_S = 25.0  # less than idle connections to legacy are kept (30 s): their end is not taken for a prompt one
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HOST = "shop.example"
Pairs = list[tuple[str, str]]


class Ended(Exception):
    """The other end closed or reset the connection before what was waited for."""


class Message(NamedTuple):
    """A request or an answer as it stood on the wire; header names in lower case."""

    line: str
    headers: Pairs
    body: bytes
    trailers: Pairs
    is_whole: bool
    raw: bytes
    interim: tuple[Message, ...] = ()

    @property
    def status(self) -> int:
        return int(self.line.split(" ")[1])

    @property
    def code(self) -> str:
        """The front door's error code, if this answer is its own."""
        return self["x-overgrow-error"] or ""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def __getitem__(self, name: str) -> str | None:  # type: ignore[override]
        found = self.all(name)
        assert len(found) < 2, (name, found)
        return found[0] if found else None


class End:
    """One end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE_S)
        self.socket = sock
        self.buffer = b""
        self.ended = ""  # "fin" or "reset" once the other side has

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_until_stuck(self, most: int) -> int:
        """Send until nobody takes more for a while, or so much went out; how much did."""
        self.socket.settimeout(0.3)
        sent = 0
        with suppress(TimeoutError):
            while sent < most:
                sent += self.socket.send(b"x" * 1_000_000)
        self.socket.settimeout(PATIENCE_S)
        return sent

    def finish(self) -> None:
        """Send FIN, and go on reading."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def more(self) -> bool:
        """Read once; False when the connection is over."""
        try:
            data = self.socket.recv(65_536)
        except (ConnectionResetError, BrokenPipeError):
            self.ended = "reset"
            return False
        self.ended = "" if data else "fin"
        self.buffer += data
        return bool(data)

    def is_unused(self) -> bool:
        """Whether the connection ends before its first byte; waits until that is known."""
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except ConnectionResetError:
            return True

    def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            if not self.more():
                raise Ended(self.ended, self.buffer)
        return self._taken(self.buffer.index(mark) + len(mark))

    def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            if not self.more():
                raise Ended(self.ended, self.buffer[-200:])
        return self._taken(size)

    def to_end(self) -> bytes:
        while self.more():
            pass
        return self._taken(len(self.buffer))

    def ends(self) -> bool:
        """Whether the other side ends the connection; what it sends before is passed over."""
        try:
            self.to_end()
        except TimeoutError:
            return False
        return True

    def is_quiet(self, seconds: float = 0.1) -> bool:
        """Whether nothing comes, not even an end."""
        return not self.buffer and not select.select([self.socket], [], [], seconds)[0]

    def _taken(self, size: int) -> bytes:
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def head(self) -> Message:
        """One message's head."""
        raw = self.until(b"\r\n\r\n")
        line, headers = _head_in(raw)
        return Message(line, headers, b"", [], is_whole=True, raw=raw)

    def message(self, asked: str = "GET") -> Message:
        """One message, with the 1xx before it; `asked` is the method an answer belongs to."""
        interim = []
        while (head := self.head()).line.startswith("HTTP/1.1 1"):
            interim.append(head)
        body, trailers, is_whole, raw = self._body_of(head, asked)
        return Message(
            head.line, head.headers, body, trailers, is_whole, head.raw + raw, tuple(interim)
        )

    def _body_of(self, head: Message, asked: str) -> tuple[bytes, Pairs, bool, bytes]:
        """RFC 9112 6.3."""
        is_answer = head.line.startswith("HTTP/")
        if is_answer and (asked == "HEAD" or head.status in {204, 304}):
            return b"", [], True, b""
        if head["transfer-encoding"]:
            return self._chunks()
        length = head["content-length"]
        if length is None and not is_answer:
            return b"", [], True, b""
        if length is None:
            body = self.to_end()
            return body, [], self.ended == "fin", body
        try:
            body = self.exactly(int(length))
        except Ended:
            return (rest := self._taken(len(self.buffer))), [], False, rest
        return body, [], True, body

    def _chunks(self) -> tuple[bytes, Pairs, bool, bytes]:
        body = raw = b""
        try:
            while True:
                raw += (line := self.until(b"\r\n"))
                size = int(line.partition(b";")[0], 16)
                if size == 0:
                    break
                raw += (chunk := self.exactly(size + 2))
                assert chunk.endswith(b"\r\n")
                body += chunk[:-2]
            tail = b""
            while not tail.endswith(b"\r\n\r\n") and tail != b"\r\n":
                tail += self.until(b"\r\n")
        except Ended:
            return body, [], False, raw
        return body, _head_in(b"\r\n" + tail)[1], True, raw + tail


def _head_in(raw: bytes) -> tuple[str, Pairs]:
    line, *fields = raw.decode("latin-1").removesuffix("\r\n").removesuffix("\r\n").split("\r\n")
    split = [field.partition(":") for field in fields if field]
    return line, [(name.lower(), value.strip(" \t")) for name, _, value in split]


def request(method: str, target: str, *fields: str, body: bytes | None = None) -> bytes:
    """A request with Host and these header lines, and Content-Length where there is a body."""
    lines = [f"{method} {target} HTTP/1.1", *fields]
    if not any(field.lower().startswith("host:") for field in fields):
        lines.insert(1, f"Host: {HOST}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def answer(*fields: str, status: str = "200 OK", body: bytes | None = b"ok") -> bytes:
    """An answer with these header lines, and Content-Length unless `body` is None."""
    lines = [f"HTTP/1.1 {status}", *fields]
    lines += [] if body is None else [f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class Legacy:
    """Legacy's listening socket: each connection is accepted and answered by the test's own hand.

    A client that leaves while a connection is dialled for it takes that along: it ends without a byte.
    Such ones, of clients of the test before, are passed over.
    """

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE_S)
        self.port: int = self.listener.getsockname()[1]
        self._ends: list[End] = []
        self._come: list[End] = []  # accepted, and not taken by the test yet
        self.tls: ssl.SSLContext | None = None

    def close(self) -> None:
        """Let nothing be left open, whoever had it."""
        self.listener.close()
        for end in self._ends:
            end.close()

    def accept(self) -> End:
        while not self._come:
            self._accept()
        return self._come.pop()

    def _accept(self) -> None:
        end = End(self.listener.accept()[0])
        if end.is_unused():
            end.close()
            return
        self._ends.append(end)
        if self.tls is not None:
            with end.socket as plain:  # detached by the wrapping; closed where that fails
                try:
                    wrapped = self.tls.wrap_socket(
                        plain, server_side=True, do_handshake_on_connect=False
                    )
                except OSError:  # the front door has reset it
                    return
            end.socket = wrapped
            wrapped.settimeout(PATIENCE_S)
        self._come.append(end)

    def answers(self, data: bytes) -> Message:
        """Take a connection and a request on it, and answer; the request."""
        end = self.accept()
        found = end.message()
        end.send(data)
        return found

    def last(self) -> End:
        """The connection accepted last."""
        return self._ends[-1]

    def nobody_came(self, seconds: float = 0.1) -> bool:
        """Whether no connection is made on which something comes."""
        while not self._come and select.select([self.listener], [], [], seconds)[0]:
            self._accept()
        return not self._come

    def hang_up(self) -> None:
        """End every connection in order and wait until the front door did too: none stays pooled."""
        while not self.nobody_came(0):
            self.accept()
        ends, self._ends = self._ends, []
        for end in ends:
            end.finish()
        for end in ends:
            if end.socket.fileno() >= 0:
                assert end.ends(), "the front door kept a connection that legacy ended"
                end.close()

    @contextmanager
    def scripted(self, script: Callable[[End], None]) -> Iterator[None]:
        """Run a script, in a thread, for each connection made meanwhile."""
        over = threading.Event()
        errors: list[BaseException] = []
        threads = [threading.Thread(target=self._run, args=(script, over, errors))]
        threads[0].start()
        try:
            yield
        finally:
            over.set()
            threads[0].join(PATIENCE_S)
        assert errors == []

    def _run(self, script, over: threading.Event, errors: list[BaseException]) -> None:
        threads: list[tuple[threading.Thread, End]] = []
        while not over.is_set():
            if not self.nobody_came(0.01):
                end = self.accept()
                thread = threading.Thread(target=_scripted, args=(script, end, errors))
                threads.append((thread, end))
                thread.start()
        for thread, end in threads:
            with suppress(OSError):
                end.socket.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE_S)


def _scripted(script: Callable[[End], None], end: End, errors: list[BaseException]) -> None:
    try:
        script(end)
    except (Ended, ConnectionError):
        pass  # the front door, or the end of the test, closed it
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the test's
        errors.append(error)
    finally:
        with suppress(OSError):  # the next test must not find this connection pooled
            end.finish()
            end.to_end()
        end.close()


class Wire:
    """A front door between clients and a legacy socket, for one test."""

    def __init__(self, port: int, legacy: Legacy) -> None:
        self.port = port
        self.legacy = legacy
        self._clients: list[End] = []

    def client(self) -> End:
        self._clients.append(End(socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)))
        return self._clients[-1]

    def exchange(self, asked: bytes, answered: bytes = OK) -> tuple[Message, Message]:
        """One request through: what legacy saw, what the client saw."""
        client = self.client()
        client.send(asked)
        seen = self.legacy.answers(answered)
        return seen, client.message(asked.partition(b" ")[0].decode())

    def seen(self, *asked: str, body: bytes | None = None) -> Message:
        """What legacy saw of a request: method, target, header lines."""
        return self.exchange(request(*asked, body=body))[0]

    def shown(self, answered: bytes, *fields: str, method: str = "GET") -> Message:
        """What a client saw of an answer."""
        return self.exchange(request(method, "/", *fields), answered)[1]

    def refused(self, asked: bytes) -> Message:
        """The answer to a request that legacy must not see."""
        client = self.client()
        client.send(asked)
        found = client.message(asked.partition(b" ")[0].decode())
        assert self.legacy.nobody_came(0)
        return found

    def end(self) -> None:
        for client in self._clients:
            client.close()
        self.legacy.hang_up()
