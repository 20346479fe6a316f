"""A bounded load: N connections to 127.0.0.1, each asking in turn, keep-alive, nothing retried."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Request = bytes


@dataclass
class Outcome:
    """What a load saw: statuses, requests that failed without an answer, the side of each answer."""

    statuses: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    sides: Counter[str] = field(default_factory=Counter)

    @property
    def answered(self) -> int:
        """How many requests got an answer."""
        return sum(self.statuses.values())


def get(path: str, *headers: str) -> Request:
    """A small GET."""
    lines = [f"GET {path} HTTP/1.1", "Host: shop.example", *headers, "", ""]
    return "\r\n".join(lines).encode()


def run_load(
    port: int,
    requests: Sequence[Request],
    *,
    connections: int,
    at: dict[int, Callable[[], object]] | None = None,
) -> Outcome:
    """Send every request once over a number of connections; `at` names what happens before the Nth."""
    return asyncio.run(_load(port, requests, connections, at or {}))


async def _load(
    port: int, requests: Sequence[Request], connections: int, at: dict[int, Callable[[], object]]
) -> Outcome:
    outcome = Outcome()
    queue = iter(enumerate(requests))
    events: list[asyncio.Future[object]] = []

    async def client() -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for number, request in queue:
            if number in at:
                events.append(asyncio.ensure_future(asyncio.to_thread(at[number])))
            if connection is None:
                connection = await asyncio.open_connection("127.0.0.1", port)
            connection = await _ask(connection, request, outcome)
        if connection is not None:
            connection[1].close()

    await asyncio.wait_for(asyncio.gather(*(client() for _ in range(connections))), 100)
    await asyncio.gather(*events)
    return outcome


async def _ask(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    request: Request,
    outcome: Outcome,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Send one request and read its answer; None when the server ends the connection after it."""
    reader, writer = connection
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        await reader.readexactly(int(fields["content-length"]))
    except (OSError, asyncio.IncompleteReadError, KeyError) as error:
        outcome.broken.append(f"{type(error).__name__}: {error}")
        writer.close()
        return None
    outcome.statuses[int(lines[0].split()[1])] += 1
    outcome.sides[fields.get("x-overgrow", "").partition("side=")[2].partition(";")[0]] += 1
    if fields.get("connection") == "close":
        writer.close()
        return None
    return connection
