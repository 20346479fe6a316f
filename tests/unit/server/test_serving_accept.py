"""How workers share what arrives."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from overgrow.server.accepting import (
    BATCH,
    BATCHES,
    MAX_PAUSES,
    PAUSE_S,
    Acceptor,
    ConnectionCounts,
)
from overgrow.server.listener import ListenerState


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def crowd_of(*connections: int, clock: FakeClock | None = None) -> ConnectionCounts:
    """A crowd whose workers told these numbers."""
    crowd, taken = ConnectionCounts(clock or FakeClock()), set()
    for count in connections:
        taken.add(crowd.assign_index(taken))
        crowd.set_count(max(taken), count)
    return crowd


@pytest.mark.parametrize(
    ("others", "own", "is_above_mean"),
    [
        pytest.param((0, 0, 0), 2, False, id="hardly any"),
        pytest.param((0, 0, 0), 3, True, id="a few more than nobody"),
        pytest.param((10, 10, 10), 12, False, id="about as many"),
        pytest.param((10, 10, 10), 14, True, id="more"),
        pytest.param((1000, 1000, 1000), 1100, False, id="a tenth more of many"),
        pytest.param((1000, 1000, 0), 1000, True, id="one has just started"),
        pytest.param((), 1000, False, id="alone"),
    ],
)
def test_a_worker_is_ahead_when_it_has_clearly_more_than_the_mean(others, own, is_above_mean):
    crowd = crowd_of(own, *others)

    assert crowd.is_above_mean(own) is is_above_mean


def test_a_worker_that_left_or_has_not_accepted_yet_does_not_count():
    crowd = crowd_of(9, 0)
    crowd.remove_worker(2)
    crowd.assign_index({1, 2})

    assert not crowd.is_above_mean(9)


def test_nobody_waits_for_a_worker_that_hangs():
    clock = FakeClock()
    crowd = crowd_of(9, 0, clock=clock)
    clock.now_s += 1.5
    crowd.set_count(1, 9)

    assert not crowd.is_above_mean(9)


def test_places_are_the_lowest_free_ones():
    crowd = ConnectionCounts()

    assert [crowd.assign_index(taken) for taken in ((), (1,), (1, 3), (2,))] == [1, 2, 2, 1]


class Seen(asyncio.Protocol):
    """A protocol that tells of its connection."""

    def __init__(self, tell) -> None:
        self.connection_made = tell


class Listening:
    """A socket with clients in its queue, and what accepts them."""

    def __init__(self, clients: int, should_defer=lambda _: False) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.clients = [socket.create_connection(self.sock.getsockname()) for _ in range(clients)]
        listener_state = ListenerState("public", None, asyncio.get_running_loop())
        self.seen = []
        self.acceptor = Acceptor(self.sock, listener_state, self._protocol, should_defer)

    def _protocol(self) -> asyncio.Protocol:
        return Seen(self.seen.append)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.seen) < count:  # noqa: ASYNC110 - a protocol has no event to wait for
                await asyncio.sleep(0.001)

    def close(self) -> None:
        self.acceptor.close()
        for client in self.clients:
            client.close()
        for transport in self.seen:
            transport.close()


@pytest.fixture
def listening():
    made = []

    async def run(test, *arguments):
        made.append(Listening(*arguments))
        await test(made[-1])
        made[-1].close()
        await asyncio.sleep(0.01)

    return lambda test, *arguments: asyncio.run(run(test, *arguments))


def test_a_loop_iteration_accepts_many_where_no_other_worker_is_preferred(listening):
    async def test(it) -> None:
        it.acceptor._accept_batches()
        assert it.acceptor.connection_count == BATCH * BATCHES
        await it.until(BATCH * BATCHES + 3)

    listening(test, BATCH * BATCHES + 3)


def test_a_turn_of_the_loop_accepts_a_few_where_others_should_come_first(listening):
    looks = []

    def should_defer(connections):
        looks.append(connections)
        return len(looks) > 1  # only once these are here

    async def test(it) -> None:
        it.acceptor._accept_batches()
        assert it.acceptor.connection_count == BATCH
        await it.until(3 * BATCH)

    listening(test, 3 * BATCH, should_defer)


def test_a_worker_that_is_ahead_waits_and_then_accepts_all_the_same(listening):
    method = []

    async def test(it) -> None:
        await it.until(1)

    listening(test, 1, lambda connections: method.append(connections) or True)

    assert len(method) == MAX_PAUSES + 1


def test_closed_while_it_waits_it_accepts_no_more(listening):
    async def test(it) -> None:
        complaints = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(context)
        )
        it.acceptor._accept_batches()
        it.acceptor.close()
        await asyncio.sleep(PAUSE_S * 5)
        assert (it.seen, complaints) == ([], [])

    listening(test, 1, lambda _: True)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_open_files_it_tries_again_later(listening, number):
    async def test(it) -> None:
        real, it.acceptor._sock = it.acceptor._sock, Exhausted(it.acceptor._sock, number)
        it.acceptor._accept_batches()
        it.acceptor._sock = real
        await it.until(1)

    listening(test, 1)


class Exhausted:
    """A socket whose process may open no more files."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.fileno, self._number = sock.fileno, number

    def accept(self) -> None:
        raise OSError(self._number, "no")
