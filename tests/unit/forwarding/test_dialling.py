"""Attempts to connect, where no network need be slow for it: what wins, what is dropped."""

from __future__ import annotations

import asyncio

import pytest

from overgrow.forwarding.client.dialling import Dialler


class Transport(asyncio.Transport):
    """A connection that remembers its end."""

    def __init__(self):
        super().__init__()
        self.is_aborted = False

    def abort(self):
        self.is_aborted = True


class Racing(Dialler):
    """A way with two addresses: the first takes until it is cancelled, the second is there at once."""

    def __init__(self, *, connects_all_the_same):
        super().__init__("http://legacy.test")
        self.late = Transport()
        self.was_cancelled = asyncio.Event()
        self._connects_all_the_same = connects_all_the_same

    async def _connect_to_host(self, host, factory):
        if host == "second":
            return Transport(), factory()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled.set()
            if not self._connects_all_the_same:
                raise
        return self.late, factory()


@pytest.mark.parametrize("comes_too_late", [False, True])
def test_an_attempt_that_lost_is_ended(comes_too_late):
    """RFC 8305 5: also where it is connected in the very moment in which it is given up."""

    async def scenario():
        racing = Racing(connects_all_the_same=comes_too_late)
        await racing._connect_first_of(["first", "second"], 0.001)
        async with asyncio.timeout(60):
            await racing.was_cancelled.wait()
        for _ in range(3):  # the task ends, then those are told who wait for it
            await asyncio.sleep(0)
        return racing.late.is_aborted

    assert asyncio.run(scenario()) is comes_too_late


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://legacy.test", 80),
        ("https://legacy.test", 443),
        ("http://legacy.test:8080", 8080),
        ("https://legacy.test:8443", 8443),
    ],
)
def test_the_port_is_the_one_given_or_the_schemes_own(url, port):
    assert Dialler(url)._port == port


@pytest.mark.parametrize("error", [UnicodeError("label too long"), OSError("no such name")])
def test_a_name_that_cannot_be_looked_up_is_an_error_at_once(error):
    def resolve(_host, _port):
        raise error

    async def scenario():
        async with asyncio.timeout(60):
            await Dialler("http://legacy.test", resolve=resolve)._lookup.resolve_hosts(1.0)

    with pytest.raises(type(error), match=str(error)):
        asyncio.run(scenario())
