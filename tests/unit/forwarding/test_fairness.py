"""Who goes on first among requests that wait for a connection to legacy."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import httpx
import pytest

from overgrow.forwarding.client.pool import (
    DEFAULT_REQUEST,
    ConnectionLifetime,
    ConnectionPool,
    QueueingTerms,
)
from overgrow.forwarding.client.timeouts import UpstreamTimeouts
from overgrow.slow_clients.fair_queue import FairQueue

CROWD = QueueingTerms(b"/large", is_known=False)
STRANGER = QueueingTerms(b"/small", is_known=False)
REGULAR = QueueingTerms(b"/small", is_known=True)


def queue_of(*waiters):
    queue = FairQueue()
    for name, target, is_known in waiters:
        queue.add(name, target, is_known=is_known)
    return queue


def order_of(queue, **kind):
    order = []
    while (waiter := queue.pop(**kind)) is not None:
        order.append(waiter)
    return order


def test_those_who_ask_for_something_else_do_not_wait_for_a_crowd():
    queue = queue_of(*((n, b"/large", False) for n in range(3)), ("x", b"/small", False))
    assert order_of(queue) == [0, "x", 1, 2]


def test_known_clients_and_others_take_turns():
    queue = queue_of(*((n, b"/a", False) for n in range(3)), *((k, b"/a", True) for k in "xy"))
    assert order_of(queue) == ["x", 0, "y", 1, 2]


def test_others_stay_where_known_clients_alone_may_go_on():
    queue = queue_of((1, b"/a", False), ("x", b"/a", True))
    assert (order_of(queue, only_known=True), len(queue)) == (["x"], 1)


def test_one_that_waits_no_more_leaves_once():
    queue = queue_of((1, b"/a", False), (2, b"/a", False))
    queue.remove(1, b"/a", is_known=False)
    queue.remove(1, b"/a", is_known=False)
    queue.remove(3, b"/b", is_known=True)
    assert (len(queue), order_of(queue), len(queue)) == (1, [2], 0)


class Connected(SimpleNamespace):
    """What a pool sees of a connection."""

    def close(self):
        self.is_closing = True


def pool_of(most):
    async def dial(connection, _within_s):
        connection.is_closing = False

    pool = ConnectionPool(
        dial,
        max_connections=most,
        kept_for=ConnectionLifetime(30.0, 300.0),
        leniencies=frozenset(),
    )
    pool._connect_in_acquired_slot = lambda limits: asyncio.sleep(0, result=object())
    return pool


def connection_of():
    return Connected(is_closing=False, counted=True, use_by=float("inf"), deadline=0.0)


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_last_places_are_kept_for_clients_that_have_taken_an_answer():
    async def run():
        pool, limits = pool_of(32), UpstreamTimeouts(pool_s=5)
        for _ in range(30):
            await pool.acquire_connection(limits, CROWD)
        waits = asyncio.create_task(pool.acquire_connection(limits, STRANGER))
        await settle()
        await pool.acquire_connection(limits, REGULAR)
        was_waiting = not waits.done()
        pool.release(connection_of())  # the regular's: what was kept stays so
        await settle()
        still_waiting = not waits.done()
        pool.release(connection_of())
        await waits
        return was_waiting, still_waiting, pool.counted, len(pool._idle)

    assert asyncio.run(run()) == (True, True, 31, 1)


def test_a_few_places_are_for_all():
    async def run():
        pool, limits = pool_of(2), UpstreamTimeouts(pool_s=0.01)
        await pool.acquire_connection(limits, CROWD)
        await pool.acquire_connection(limits, CROWD)
        with pytest.raises(httpx.PoolTimeout):
            await pool.acquire_connection(limits, DEFAULT_REQUEST)
        return pool.counted, pool.waiting_requests

    assert asyncio.run(run()) == (2, 0)
