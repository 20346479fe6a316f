"""A bounded load: N connections to 127.0.0.1, each asking in turn, keep-alive, nothing retried."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

Request = bytes
Event = asyncio.Future[object]
QueueOf = Callable[[Sequence[Event]], Iterator[Request]]


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
    outlasting: bool = False,
) -> Outcome:
    """Send every request once over a number of connections; `at` names what happens before the Nth.

    `outlasting` sends the last request again while that is under way, and AFTERWARDS times more:
    on a fast machine a load would be over before a command has started.
    """
    queue = partial(_prolonged if outlasting else _as_given, requests)
    return asyncio.run(_load(port, queue, connections, at or {}))


AFTERWARDS = 200


async def _load(
    port: int, queue_of: QueueOf, connections: int, at: dict[int, Callable[[], object]]
) -> Outcome:
    outcome = Outcome()
    events: list[Event] = []
    queue = iter(enumerate(queue_of(events)))

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


def _prolonged(requests: Sequence[Request], events: Sequence[Event]) -> Iterator[Request]:
    yield from requests
    while not all(event.done() for event in events):
        yield requests[-1]
    yield from [requests[-1]] * AFTERWARDS


def _as_given(requests: Sequence[Request], _: Sequence[Event]) -> Iterator[Request]:
    yield from requests


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
