"""The count of a pool's places, without a network: what is taken is given back once."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from overgrow.forwarding.client.connection import UpstreamConnection
from overgrow.forwarding.client.pool import ConnectionLifetime, ConnectionPool
from overgrow.forwarding.client.timeouts import UpstreamTimeouts

LIMITS = UpstreamTimeouts(connect_s=5.0)


def pool_of(most):
    """A pool that dials nowhere."""
    return ConnectionPool(
        None,
        max_connections=most,
        kept_for=ConnectionLifetime(30.0, 300.0),
        leniencies=frozenset(),
    )


def test_a_place_of_the_callers_own_is_freed_once():
    async def scenario():
        pool = pool_of(2)
        first, _second = await pool.reserve_slot(LIMITS), await pool.reserve_slot(LIMITS)
        first.free()
        first.free()
        return pool.counted

    assert asyncio.run(scenario()) == 1


def test_a_connection_that_left_the_count_leaves_it_once():
    async def scenario():
        pool = pool_of(2)
        await pool.reserve_slot(LIMITS)
        pool.counted += 1
        connection = UpstreamConnection(pool.loop, pool, frozenset())
        pool.stop_counting(connection)
        pool.remove_connection(connection)
        return pool.counted

    assert asyncio.run(scenario()) == 1


def test_all_places_can_be_taken_and_not_one_more():
    async def scenario():
        pool = pool_of(2)
        await pool.reserve_slot(LIMITS)
        await pool.reserve_slot(LIMITS)
        with pytest.raises(httpx.PoolTimeout):
            await pool.reserve_slot(UpstreamTimeouts(pool_s=0.01))
        return pool.counted, pool.waiting_requests

    assert asyncio.run(scenario()) == (2, 0)


def test_closing_lets_those_go_who_wait_for_a_place():
    async def scenario():
        pool = pool_of(1)
        await pool.reserve_slot(LIMITS)
        waiting = asyncio.create_task(pool.acquire_connection(UpstreamTimeouts(pool_s=60.0)))
        await asyncio.sleep(0)
        await pool.aclose()
        async with asyncio.timeout(60):
            await waiting

    with pytest.raises(httpx.PoolTimeout, match="closed"):
        asyncio.run(scenario())


@pytest.mark.parametrize(("taken", "are_connections_scarce"), [(14, False), (15, True), (16, True)])
def test_connections_are_scarce_when_fewer_than_an_eighth_is_free(taken, are_connections_scarce):
    async def scenario():
        pool = pool_of(16)
        told = []
        pool.on_scarce = lambda: told.append(True)
        for _ in range(taken):
            await pool.reserve_slot(LIMITS)
        return pool.are_connections_scarce, bool(told)

    assert asyncio.run(scenario()) == (are_connections_scarce, are_connections_scarce)


def test_as_many_client_only_logins_stay_open_as_other_connections_may():
    async def scenario():
        pool = pool_of(2)
        made = [UpstreamConnection(pool.loop, pool, frozenset()) for _ in range(3)]
        admitted = [pool.try_admit_login(connection) for connection in made]
        pool.on_socket_closed(made[0])
        return [*admitted, pool.try_admit_login(made[2])]

    assert asyncio.run(scenario()) == [True, True, False, True]
