"""Of many large answers a few are read in one turn of the loop, in the order in which they ask."""

from __future__ import annotations

import asyncio

import pytest

from overgrow.forwarding.client.connection import UpstreamConnection
from overgrow.forwarding.client.pool import ConnectionLifetime, ConnectionPool
from overgrow.forwarding.client.request import OutgoingRequest
from overgrow.forwarding.client.timeouts import DEFAULT_TIMEOUTS
from overgrow.slow_clients.read_scheduler import SMALL_BYTES, ReadScheduler

KB = 1024
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n"
LONG_BYTES = 10_000 * KB
FOR_EVER = ConnectionLifetime(float("inf"), float("inf"))


class Reader:
    """Notes when it is read."""

    def __init__(self, read, name):
        self.read, self.name = read, name

    def on_read_turn(self):
        self.read.append(self.name)


class LoopOfTurns:
    """Runs what was scheduled only when told to."""

    def __init__(self):
        self.due = []

    def call_soon(self, act):
        self.due.append(act)

    def turn(self):
        due, self.due = self.due, []
        for act in due:
            act()


class Socket(asyncio.Transport):
    """Knows whether it is read from."""

    def __init__(self):
        self.is_read, self.closing = True, False

    def set_write_buffer_limits(self, high=None, low=None): ...
    def write(self, data): ...

    def pause_reading(self):
        self.is_read = False

    def resume_reading(self):
        self.is_read = True

    def is_closing(self):
        return self.closing

    def abort(self):
        self.closing = True


@pytest.fixture
def turns():
    return LoopOfTurns()


def asked(read_scheduler, count):
    """So many readers ask at once; what was admitted, and whom they tell when it is their turn."""
    read = []
    admitted = [read_scheduler.may_read_now(Reader(read, at)) for at in range(count)]
    return admitted, read


def test_so_many_are_read_in_one_turn_and_no_more(turns):
    admitted, read = asked(ReadScheduler(turns, 2), 5)

    assert admitted == [True, True, False, False, False]
    assert read == []


def test_the_others_are_read_in_the_order_in_which_they_asked(turns):
    _, read = asked(ReadScheduler(turns, 2), 5)
    seen = []
    for _ in range(3):
        turns.turn()
        seen.append(list(read))

    assert seen == [[2, 3], [2, 3, 4], [2, 3, 4]]


def test_whoever_asks_anew_goes_behind_those_that_wait(turns):
    read_scheduler = ReadScheduler(turns, 1)
    _, read = asked(read_scheduler, 3)
    turns.turn()

    assert not read_scheduler.may_read_now(Reader(read, "again"))
    for _ in range(3):
        turns.turn()
    assert read == [1, 2, "again"]


def test_a_reader_that_leaves_is_told_nothing(turns):
    read_scheduler, read = ReadScheduler(turns, 1), []
    readers = [Reader(read, at) for at in range(3)]
    for reader in readers:
        read_scheduler.may_read_now(reader)
    read_scheduler.forget(readers[1])
    turns.turn()

    assert read == [2]


def test_an_intake_at_rest_schedules_nothing(turns):
    asked(ReadScheduler(turns, 2), 3)
    for _ in range(3):
        turns.turn()

    assert turns.due == []


async def never(connection, within_s):
    raise AssertionError("nothing is dialled here")


async def streaming(pool, count, *, headers=b""):
    """So many connections in the middle of a large answer each, and their sockets."""
    made = []
    for _ in range(count):
        connection, socket = UpstreamConnection(pool.loop, pool, frozenset()), Socket()
        pool.counted += 1
        connection.connection_made(socket)
        connection.start_exchange(
            OutgoingRequest("GET", b"", None, None, DEFAULT_TIMEOUTS, informs=False)
        )
        connection.data_received(HEAD % (LONG_BYTES, headers) + b"x")
        made.append((connection, socket))
    return made


def with_pool(act):
    async def run():
        pool = ConnectionPool(never, max_connections=100, kept_for=FOR_EVER, leniencies=frozenset())
        pool.read_scheduler = ReadScheduler(pool.loop, 2)
        try:
            return await act(pool)
        finally:
            await pool.aclose()

    return asyncio.run(run())


def test_many_large_answers_are_read_a_few_at_a_time():
    async def act(pool):
        made = await streaming(pool, 6)
        for connection, _ in made:
            connection.data_received(b"x" * SMALL_BYTES)
        at_once = [socket.is_read for _, socket in made]
        await asyncio.sleep(0)
        later = [socket.is_read for _, socket in made]
        return at_once, later

    at_once, later = with_pool(act)

    assert at_once == [True, True, False, False, False, False]
    assert later == [True, True, True, True, False, False]


def test_all_of_them_are_read_in_the_end():
    async def act(pool):
        made = await streaming(pool, 9)
        for connection, _ in made:
            connection.data_received(b"x" * SMALL_BYTES)
        for _ in range(6):
            await asyncio.sleep(0)
        return [socket.is_read for _, socket in made]

    assert all(with_pool(act))


def test_small_pieces_wait_for_no_turn():
    async def act(pool):
        made = await streaming(pool, 6)
        for connection, _ in made:
            connection.data_received(b"x" * (SMALL_BYTES - 1))
        return [socket.is_read for _, socket in made]

    assert all(with_pool(act))


def test_event_streams_wait_for_no_turn():
    async def act(pool):
        made = await streaming(pool, 6, headers=b"Content-Type: text/event-stream\r\n")
        for connection, _ in made:
            connection.data_received(b"x" * SMALL_BYTES)
        return [socket.is_read for _, socket in made]

    assert all(with_pool(act))


def test_a_reader_that_has_enough_is_not_read_in_its_turn():
    async def act(pool):
        made = await streaming(pool, 4)
        for connection, _ in made:
            connection.data_received(b"x" * SMALL_BYTES)
        made[3][0].pause()
        for _ in range(4):
            await asyncio.sleep(0)
        before = [socket.is_read for _, socket in made]
        made[3][0].resume()
        return before, made[3][1].is_read

    before, after = with_pool(act)

    assert before == [True, True, True, False]
    assert after


def test_readers_that_go_on_at_once_do_so_a_few_at_a_time():
    async def act(pool):
        made = await streaming(pool, 6)
        for connection, _ in made:
            connection.pause()
        await asyncio.sleep(0)
        for connection, _ in made:
            connection.resume()
        return sum(socket.is_read for _, socket in made)

    assert with_pool(act) == 2


def test_an_answer_that_ends_while_it_waits_frees_its_connection():
    async def act(pool):
        made = await streaming(pool, 3)
        for connection, _ in made:
            connection.data_received(b"x" * SMALL_BYTES)
        waits, socket = made[2]
        waits.data_received(b"x" * (LONG_BYTES - SMALL_BYTES - 1))  # read before it was paused
        return waits.exchange is None, socket.is_read, len(pool.read_scheduler._waiting)

    assert with_pool(act) == (True, True, 0)


def test_a_connection_that_closes_while_it_waits_is_forgotten():
    async def act(pool):
        made = await streaming(pool, 3)
        for connection, _ in made:
            connection.data_received(b"x" * SMALL_BYTES)
        made[2][0].close()
        await asyncio.sleep(0)
        return len(pool.read_scheduler._waiting), made[2][1].is_read

    assert with_pool(act) == (0, False)
