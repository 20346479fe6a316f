"""Who the user is: the order of readers, one question for many requests, and a store that is away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from overgrow.identity.generations import Generations
from overgrow.identity.reader import Fetched, Lookup, LookupFailed, StoreAway
from overgrow.identity.renewal import CookieRenewals
from overgrow.identity.resolver import Resolver
from overgrow.routing.facts import cookie_values, head_of
from overgrow.routing.identity import Identity, IdentitySource, Refusal, Unavailable

ANN, BOB = Identity("ann", source="a"), Identity("bob", source="b")


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


class StoreReader:
    """A reader of a store that a test fills; a session's key is the value of its cookie."""

    def __init__(self, cookie="sid", **fields):
        self.source = IdentitySource("express", cookie=cookie, **fields)
        self.users, self.asked, self.touched = {}, [], []
        self.renewed = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.was_asked = asyncio.Event()
        self.is_away = False

    def read(self, head, now_s):
        values = list(cookie_values(head.headers, self.source.cookie.encode()))
        return Lookup(values[0], values[0]) if values else Refusal("no-value")

    async def fetch(self, lookup, now_s):
        self.asked.append(lookup.key)
        self.was_asked.set()
        await self.gate.wait()
        if self.is_away:
            raise StoreAway("the store is away")
        return self.users.get(lookup.key, Refusal("unknown-session"))

    async def touch(self, head, now_s):
        self.touched.append(head.headers[0][1])
        return self.renewed

    async def aclose(self):
        pass


class FixedReader:
    def __init__(self, outcome):
        self.source = IdentitySource("flask", cookie="any")
        self.outcome = outcome

    def read(self, head, now_s):
        return self.outcome

    async def aclose(self):
        pass


def request(cookies=b"sid=1"):
    return head_of("GET", b"/", [(b"cookie", cookies)], peer="::1", scheme="http")


def resolver_of(*readers, generations=None):
    clock, seen = Clock(), []
    made = Resolver(
        readers,
        CookieRenewals(),
        clock=clock,
        stopwatch=clock,
        observe=lambda *what: seen.append(what),
        generations=generations,
    )
    return SimpleNamespace(resolver=made, clock=clock, seen=seen, resolve=made.resolve)


def test_the_first_reader_that_knows_somebody_wins():
    world = resolver_of(FixedReader(Refusal("expired")), FixedReader(ANN), FixedReader(BOB))

    assert asyncio.run(world.resolve(request())) == ANN
    assert world.seen == [("flask", "expired"), ("flask", "known")]


def test_a_reader_without_a_value_is_not_counted():
    world = resolver_of(FixedReader(Refusal("no-value")))

    assert asyncio.run(world.resolve(request())) is None
    assert world.seen == []


def test_a_later_reader_may_know_the_user_while_an_earlier_one_is_away():
    world = resolver_of(Unavailable("django", "no secret"), FixedReader(ANN))

    assert asyncio.run(world.resolve(request())) == ANN


def test_nobody_is_known_while_a_reader_is_away():
    away = Unavailable("django", "no secret")
    world = resolver_of(away, FixedReader(Refusal("expired")))

    assert asyncio.run(world.resolve(request())) == away


def test_concurrent_requests_of_a_user_ask_one_question():
    async def run():
        reader = StoreReader()
        reader.users[b"1"] = ANN
        reader.gate.clear()
        world = resolver_of(reader)
        waiting = [asyncio.create_task(world.resolve(request())) for _ in range(20)]
        await reader.was_asked.wait()
        reader.gate.set()
        return await asyncio.gather(*waiting), reader.asked

    assert asyncio.run(run()) == ([ANN] * 20, [b"1"])


def test_a_client_that_leaves_does_not_take_the_answer_from_others():
    async def run():
        reader = StoreReader()
        reader.users[b"1"] = ANN
        reader.gate.clear()
        world = resolver_of(reader)
        leaving, staying = (asyncio.create_task(world.resolve(request())) for _ in range(2))
        await reader.was_asked.wait()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        reader.gate.set()
        return await staying, reader.asked

    assert asyncio.run(run()) == (ANN, [b"1"])


def test_an_answer_is_used_again_until_its_time_is_over():
    async def run():
        reader = StoreReader(cache_s=30.0)
        reader.users[b"1"] = ANN
        world = resolver_of(reader)
        for _ in range(3):
            await world.resolve(request())
        world.clock.now_s += 30.0
        await world.resolve(request())
        return reader.asked

    assert asyncio.run(run()) == [b"1", b"1"]


def test_a_response_that_sets_the_cookie_ends_what_is_known():
    async def run():
        reader = StoreReader()
        reader.users[b"1"] = ANN
        world = resolver_of(reader)
        first = await world.resolve(request())
        world.resolver.note_cookie(request(), b"other=1; Path=/")
        reader.users.clear()
        kept = await world.resolve(request())
        world.resolver.note_cookie(request(), b"sid=; Max-Age=0")
        return first, kept, await world.resolve(request())

    assert asyncio.run(run()) == (ANN, ANN, None)


def test_an_answer_that_was_under_way_at_a_logout_is_not_kept():
    async def run():
        reader = StoreReader()
        reader.users[b"1"] = ANN
        reader.gate.clear()
        world = resolver_of(reader)
        asking = asyncio.create_task(world.resolve(request()))
        await reader.was_asked.wait()
        world.resolver.note_cookie(request(), b"sid=")
        reader.gate.set()
        await asking
        reader.users.clear()
        return await world.resolve(request())

    assert asyncio.run(run()) is None


def test_a_store_that_is_away_is_asked_again_after_a_second():
    async def run():
        reader = StoreReader()
        reader.users[b"1"] = ANN
        reader.is_away = True
        world = resolver_of(reader)
        found = [await world.resolve(request(b"sid=%d" % at)) for at in range(3)]
        told = [each.why for each in world.resolver.problems]
        reader.is_away = False
        world.clock.now_s += 1.0
        found.append(await world.resolve(request()))
        return found, told, len(reader.asked), world.resolver.problems

    away = Unavailable("express", "the store is away")
    assert asyncio.run(run()) == ([away, away, away, ANN], ["the store is away"], 2, [])


class SickReader(StoreReader):
    """A store in which the session `sick` fails as a test says; all others are Ann's."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    async def fetch(self, lookup, now_s):
        self.asked.append(lookup.key)
        if lookup.key != b"sick":
            return ANN
        self.was_asked.set()
        await self.gate.wait()
        raise self.error


def resolve_each(world, *sessions):
    return [world.resolve(request(b"sid=" + session)) for session in sessions]


@pytest.mark.parametrize("error", [LookupFailed("legacy holds the lock"), KeyError("x")])
def test_a_session_that_cannot_be_read_holds_back_no_other(error):
    async def run():
        reader = SickReader(error)
        world = resolver_of(reader)
        found = [await each for each in resolve_each(world, b"sick", b"1", b"sick")]
        world.clock.now_s += 1.0
        await asyncio.gather(*resolve_each(world, b"sick"))
        return [type(each) for each in found], reader.asked

    kinds = [Unavailable, Identity, Unavailable]
    assert asyncio.run(run()) == (kinds, [b"sick", b"1", b"sick"])


def test_a_store_that_answers_others_meanwhile_is_not_away():
    async def run():
        reader = SickReader(StoreAway("no answer"))
        reader.gate.clear()
        world = resolver_of(reader)
        slow = asyncio.create_task(world.resolve(request(b"sid=sick")))
        await reader.was_asked.wait()
        await world.resolve(request(b"sid=1"))
        reader.gate.set()
        return type(await slow), await world.resolve(request(b"sid=2")), world.resolver.problems

    assert asyncio.run(run()) == (Unavailable, ANN, [])


def test_a_slow_query_after_an_outage_does_not_hold_back_others():
    async def run():
        reader = SickReader(StoreAway("no answer"))
        world = resolver_of(reader)
        await world.resolve(request(b"sid=sick"))
        world.clock.now_s += 1.0
        reader.gate.clear()
        reader.was_asked.clear()
        slow = asyncio.create_task(world.resolve(request(b"sid=sick")))
        await reader.was_asked.wait()
        other = await world.resolve(request(b"sid=1"))
        reader.gate.set()
        await slow
        return other

    assert asyncio.run(run()) == ANN


def test_a_logout_on_one_host_ends_the_answers_of_all_hosts():
    class ByHost(StoreReader):
        def read(self, head, now_s):
            return Lookup(head.host.encode(), None, b"session")

    async def run():
        reader, heads = ByHost(), [request()._replace(host=host) for host in ("a", "b")]
        world = resolver_of(reader)
        for head in [*heads, *heads]:
            await world.resolve(head)
        world.resolver.note_cookie(heads[0], b"sid=")
        await world.resolve(heads[1])
        return reader.asked

    assert asyncio.run(run()) == [b"a", b"b", b"b"]


def test_a_session_is_renewed_at_most_once_per_touch():
    async def run():
        reader = StoreReader(touch_s=60.0)
        world = resolver_of(reader)
        for pause_s in (0.0, 59.0, 1.0):
            world.clock.now_s += pause_s
            await world.resolver.touch(request())
        await world.resolver.aclose()
        return reader.touched

    assert asyncio.run(run()) == [b"sid=1", b"sid=1"]


def test_a_session_is_not_renewed_without_touch():
    async def run():
        reader = StoreReader(touch_s=None)
        world = resolver_of(reader)
        await world.resolver.touch(request())
        await world.resolver.aclose()
        return reader.touched

    assert asyncio.run(run()) == []


def test_the_cookie_is_renewed_as_legacy_renews_it():
    async def run():
        reader = StoreReader()
        world = resolver_of(reader)
        unseen = await world.resolver.touch(request())
        line = b"sid=1; Path=/shop; Domain=shop.example; HttpOnly; Max-Age=60"
        world.resolver.note_cookie(request(), line)
        world.clock.now_s += 60
        return unseen, await world.resolver.touch(request())

    unseen, renewed = asyncio.run(run())
    line = b"sid=1; Path=/shop; Domain=shop.example; HttpOnly; Expires=%s; Max-Age=60"
    assert (unseen, renewed) == ([], [(b"set-cookie", line % b"Thu, 01 Jan 1970 00:03:40 GMT")])


def test_a_cookie_that_keeps_its_own_expiry_gets_its_new_value():
    async def run():
        reader = StoreReader()
        reader.renewed = b"2"
        world = resolver_of(reader)
        world.resolver.note_cookie(request(), b"sid=other; Path=/")
        return await world.resolver.touch(request())

    assert asyncio.run(run()) == [(b"set-cookie", b"sid=2; Path=/")]


@pytest.mark.parametrize(
    ("other", "renewed"),
    [
        pytest.param(b"sid=2; Path=/", 0, id="it ends with the browser"),
        pytest.param(b"sid=2; Path=/; Max-Age=600", 1, id="it lasts longer"),
        pytest.param(b"sid=2; Path=/shop; Max-Age=60", 1, id="it has another path"),
    ],
)
def test_a_cookie_is_not_renewed_like_one_that_differs(other, renewed):
    async def run():
        world = resolver_of(StoreReader())
        world.resolver.note_cookie(request(b"lang=en"), other)
        world.resolver.note_cookie(request(b"sid=3"), b"sid=3; Path=/; Max-Age=60")
        return [await world.resolver.touch(request(b"sid=%d" % each)) for each in (1, 2, 3)]

    unknown, second, third = asyncio.run(run())
    assert (len(unknown), len(second), len(third)) == (0, renewed, 1)
    assert all(set(other.split(b"; ")) <= set(line.split(b"; ")) for _, line in second)


def test_a_flask_session_that_is_not_permanent_is_not_renewed():
    async def run():
        reader = StoreReader()
        reader.source = replace(reader.source, reader="flask")
        world = resolver_of(reader)
        world.resolver.note_cookie(request(b"sid=2"), b"sid=2; Max-Age=60")
        return await world.resolver.touch(request())

    assert asyncio.run(run()) == []


def test_cookies_that_differ_are_not_renewed():
    async def run():
        world = resolver_of(StoreReader())
        world.resolver.note_cookie(request(), b"sid=1; Max-Age=60")
        return await world.resolver.touch(request(b"sid=1; sid=2"))

    assert asyncio.run(run()) == []


def test_a_new_value_is_renewed_as_the_one_before():
    async def run():
        reader = StoreReader()
        world = resolver_of(reader)
        world.resolver.note_cookie(request(b"sid=2"), b"sid=2; Max-Age=60")
        world.resolver.note_cookie(request(b"sid=1"), b"sid=1; Path=/")
        reader.renewed = b"1b"
        await world.resolver.touch(request(b"sid=1"))
        reader.renewed = b"1c"
        return await world.resolver.touch(request(b"sid=1b"))

    assert asyncio.run(run()) == [(b"set-cookie", b"sid=1c; Path=/")]


@pytest.mark.parametrize(
    ("cookies", "line"),
    [
        pytest.param(b"lang=en", b"sid=1; Max-Age=60", id="a login is no renewal"),
        pytest.param(b"sid=1", b"sid=; Max-Age=0", id="a logout"),
        pytest.param(b"sid=1", b"sid=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT", id="a past date"),
        pytest.param(b"sid=1", b"sid=1; Path=/", id="a cookie of the browser's session"),
        pytest.param(b"sid=1", b"sid=1; Max-Age=60; x=" + b"x" * 2000, id="long attributes"),
    ],
)
def test_no_cookie_is_renewed_that_legacy_does_not_renew(cookies, line):
    async def run():
        world = resolver_of(StoreReader())
        world.resolver.note_cookie(request(cookies), line)
        return await world.resolver.touch(request())

    assert asyncio.run(run()) == []


def test_cookies_that_legacy_sent_when_asked_reach_the_user_once():
    async def run():
        reader = StoreReader(touch_s=None)
        reader.users[b"1"] = Fetched(ANN, (b"sid=1; Max-Age=60",))
        world = resolver_of(reader)
        await world.resolve(request())
        return [await world.resolver.touch(request()) for _ in range(2)]

    assert asyncio.run(run()) == [[(b"set-cookie", b"sid=1; Max-Age=60")], []]


@pytest.mark.parametrize("event", ["time", "logout"])
def test_cookies_of_an_earlier_answer_do_not_overwrite_newer_ones(event):
    async def run():
        reader = StoreReader(touch_s=None)
        reader.users[b"1"] = Fetched(ANN, (b"cart=3",))
        world = resolver_of(reader)
        await world.resolve(request())
        if event == "time":
            world.clock.now_s += 5.0
        else:
            world.resolver.note_cookie(request(), b"sid=1")
        return await world.resolver.touch(request())

    assert asyncio.run(run()) == []


def test_a_reader_that_fails_is_as_a_store_that_is_away():
    class Failing(StoreReader):
        async def fetch(self, lookup, now_s):
            raise KeyError("hunter2")

    found = asyncio.run(resolver_of(Failing()).resolve(request()))

    assert found == Unavailable("express", "the reader failed: KeyError")


def test_legacy_that_was_silent_is_asked_again_without_a_user():
    async def run():
        reader = StoreReader(ask="/whoami")
        reader.is_away = True
        world = resolver_of(reader)
        await world.resolver.ask_for_nobody(request(b"lang=en"))
        silent = world.resolver.is_legacy_silent
        reader.is_away = False
        world.clock.now_s += 1.0
        await world.resolver.ask_for_nobody(request(b"lang=en"))
        return silent, world.resolver.is_legacy_silent, world.resolver.problems

    assert asyncio.run(run()) == (True, False, [])


def test_a_logout_that_passes_through_another_worker_is_noticed():
    async def run():
        shared, readers = Generations(), [StoreReader(), StoreReader()]
        for reader in readers:
            reader.users[b"1"] = ANN
        here, there = (resolver_of(reader, generations=shared) for reader in readers)
        known = await here.resolve(request())
        for reader in readers:
            reader.users.clear()
        there.resolver.note_cookie(request(), b"sid=; Max-Age=0")
        return known, await here.resolve(request())

    assert asyncio.run(run()) == (ANN, None)
