"""Ten thousand requests of users whom legacy knows by their connection: nobody is taken for another.

At once: users on connections of their own, who log in by NTLM or Negotiate, leave and come back; users
without a name; a trusted proxy that sends everybody's requests over one connection; a shadow on all of
it. Legacy answers by the login of the connection alone, so any connection that is shared shows.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import asynccontextmanager

from tests.story.front import running_front

REQUESTS = 10_000
PROXY = "127.0.0.2"  # the trusted peer; everybody else comes from 127.0.0.1
TABLE = """\
version: 1
legacy:
  url: ${LEGACY_URL}
  max_connections: 8
trusted_proxies: [127.0.0.2/32]
routes:
  - name: environ
    path: /environ
    methods: [GET]
    target: legacy
    shadow: 100%
  - name: crash
    path: /crash
    methods: [GET]
    target: migrated
    fallback: true
  - name: late
    path: /late
    methods: [GET]
    target: legacy
"""
PATHS = ("/", "/environ", "/crash")


class Strict:
    """The legacy app: a login holds for its connection, whoever asks on it."""

    def __init__(self) -> None:
        self.asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        user = challenged = ""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked += 1
                scheme, leg, name = credentials_in(head)
                status, field = "200 OK", ""
                if scheme == "negotiate":
                    user = name
                elif leg == "first":
                    user, challenged = "", name
                    status, field = "401 Unauthorized", f"WWW-Authenticate: NTLM second:{name}\r\n"
                elif leg == "third" and name == challenged:
                    user, challenged = name, ""
                elif scheme:
                    user = challenged = ""
                    status, field = "401 Unauthorized", "WWW-Authenticate: NTLM\r\n"
                body = f"hello {user or 'nobody'}"
                lines = f"HTTP/1.1 {status}\r\n{field}Content-Length: {len(body)}\r\n\r\n{body}"
                writer.write(lines.encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def credentials_in(head: bytes) -> tuple[str, str, str]:
    """Scheme, leg and user of a request's Authorization; empty if there is none."""
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(": ")
        if name.lower() == "authorization":
            scheme, _, told = value.partition(" ")
            leg, _, user = told.partition(":")
            return scheme.lower(), leg, user
    return "", "", ""


class Client:
    """One connection to the front door; what was asked and answered is counted for all."""

    def __init__(self, streams, tally: Counter[str]) -> None:
        self._reader, self._writer = streams
        self._tally = tally

    async def ask(self, *fields: str, path: str = "/") -> tuple[int, str]:
        """One request: its status and its body."""
        lines = "".join(f"{field}\r\n" for field in fields)
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: shop.example\r\n{lines}\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        body = (await self._reader.readexactly(length)).decode()
        self._tally["asked"] += 1
        return int(head[9:12]), body


class Crowd:
    """Everybody who asks, until so many requests are through."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.tally: Counter[str] = Counter()
        self.wrong: list[object] = []
        self._chance = random.Random(17)

    @property
    def is_over(self) -> bool:
        return self.tally["asked"] >= REQUESTS or len(self.wrong) > 5

    @asynccontextmanager
    async def client(self, source: str = "127.0.0.1"):
        streams = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(source, 0))
        try:
            yield Client(streams, self.tally)
        finally:
            streams[1].close()

    def expect(self, user: str, found: tuple[int, str]) -> None:
        self.tally[user] += 1
        if found != (200, f"hello {user}"):
            self.wrong.append((user, found))

    async def ntlm(self, user: str) -> None:
        """Log in, ask some, leave; again."""
        while not self.is_over:
            async with self.client() as client:
                self.expect("nobody", await client.ask())
                first = await client.ask(f"Authorization: NTLM first:{user}")
                if first[0] != 401:
                    self.wrong.append((user, first))
                self.expect(user, await client.ask(f"Authorization: NTLM third:{user}"))
                for _ in range(self._chance.randrange(1, 40)):
                    self.expect(user, await client.ask(path=self._chance.choice(PATHS)))

    async def negotiate(self, user: str) -> None:
        """As above, in one leg."""
        while not self.is_over:
            async with self.client() as client:
                self.expect(user, await client.ask(f"Authorization: Negotiate x:{user}"))
                for _ in range(self._chance.randrange(1, 40)):
                    self.expect(user, await client.ask(path=self._chance.choice(PATHS)))

    async def nobody(self) -> None:
        """Ask without a name, on connections that come and go."""
        while not self.is_over:
            async with self.client() as client:
                for _ in range(self._chance.randrange(1, 40)):
                    found = await client.ask(path=self._chance.choice(PATHS))
                    self.expect("nobody", found)

    async def proxy(self, *users: str) -> None:
        """Pass everybody's requests on over one connection, as nginx does."""
        async with self.client(PROXY) as client:
            while not self.is_over:
                user = self._chance.choice(users)
                said = f"X-Forwarded-For: 192.0.2.{len(user)}"
                path = self._chance.choice(PATHS)
                if self._chance.random() < 0.5:
                    self.expect("nobody", await client.ask(said, path=path))
                    continue
                field = f"Authorization: Negotiate x:{user}"
                self.expect(user, await client.ask(said, field, path=path))

    async def run(self) -> None:
        await asyncio.gather(
            *(self.ntlm(user) for user in ("alice", "bob", "carla")),
            *(self.negotiate(user) for user in ("dora", "emil")),
            *(self.nobody() for _ in range(3)),
            self.proxy("frida", "gustav", "alice"),
        )


def test_no_user_is_ever_answered_as_another(tmp_path):
    async def scenario() -> tuple[Crowd, Strict]:
        strict = Strict()
        server = await asyncio.start_server(strict.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        given = {"OVERGROW_APP": "tests.wire.front.echo_app:create_app"}
        data = tmp_path / "unused.sqlite3"
        front = running_front(TABLE, tmp_path, port, data=data, **given)
        running = await asyncio.to_thread(front.__enter__)
        try:
            crowd = Crowd(running.port)
            await crowd.run()
        finally:
            await asyncio.to_thread(front.__exit__, None, None, None)
            server.close()
        return crowd, strict

    crowd, strict = asyncio.run(scenario())
    assert crowd.wrong == []
    assert crowd.tally["asked"] >= REQUESTS
    assert strict.asked > crowd.tally["asked"]  # copies to learn noise from came too
