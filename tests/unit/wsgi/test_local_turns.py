"""Whose turn it is among calls that wait for a thread: nobody waits behind a crowd that wants another page."""

from __future__ import annotations

import asyncio
import threading

import pytest

from overgrow.exchange import Inbound
from overgrow.wsgi.server import WsgiServer

CROWD = [("/wanted", False)] * 8


class Client:
    """A client's connection that has taken an answer before, or not."""

    def __init__(self, *, is_known):
        self.has_taken_response = is_known


@pytest.fixture
def order_of(head_with, decided):
    """In which order one thread makes calls that come while it is busy: (target, is known) of each."""

    async def run(asked, queue):
        gate, made = threading.Event(), []

        def app(environ, start_response):
            if environ["PATH_INFO"] == "/busy":
                gate.wait(20)
            made.append(environ["PATH_INFO"] + environ["QUERY_STRING"])
            start_response("200 OK", [])
            return [b"ok"]

        local = WsgiServer(app, threads=1, queue=queue)
        calls = []
        for target, is_known in [("/busy", True), *asked]:
            inbound = Inbound(head_with(target=target.encode()), None)
            inbound.client_connection = Client(is_known=is_known)
            calls.append(asyncio.create_task(local.serve(inbound, decided())))
            await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*calls)
        await local.aclose()
        return made[1:]

    return lambda asked, queue=50: asyncio.run(run(asked, queue))


@pytest.mark.parametrize("is_known", [True, False])
def test_a_call_of_another_page_waits_behind_no_crowd(order_of, is_known):
    made = order_of([*CROWD, ("/other", is_known)])

    assert made.index("/other") <= 1
    assert sorted(made) == ["/other", *["/wanted"] * len(CROWD)]


def test_a_known_client_waits_behind_no_crowd_for_the_same_page(order_of):
    assert order_of([*CROWD, ("/wanted?mine", True)]).index("/wantedmine") <= 1


def test_a_full_queue_has_a_few_places_for_known_clients(order_of):
    """Sixteen calls at most, one of which runs; a seventeenth of a client that has taken an answer before."""
    crowd = [("/wanted", False)] * 15
    asked = [*crowd, ("/refused", False), ("/mine", True), ("/refused", True)]
    made = order_of(asked, queue=15)

    assert sorted(made) == ["/mine", *["/wanted"] * 15]


def test_calls_for_one_page_are_made_in_the_order_in_which_they_came(order_of):
    asked = [(f"/wanted?{at}", False) for at in range(5)]

    assert order_of(asked) == [f"/wanted{at}" for at in range(5)]
