"""A body that is kept while it passes: how much, and what is given back."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest

from overgrow.shadow.tee import MemoryBudget, Tee
from tests.unit.shadow.mirrored import stream


def passed(tee: Tee) -> bytes:
    async def read() -> bytes:
        return b"".join([chunk async for chunk in tee])

    return asyncio.run(read())


def test_a_room_is_used_to_its_last_byte():
    room = MemoryBudget(3)

    assert (room.try_reserve(3), room.try_reserve(1), room.free_bytes) == (True, False, 0)


def test_a_body_of_exactly_the_most_is_kept():
    room = MemoryBudget(9)
    tee = Tee(stream(b"ab", b"cd"), 4, room)

    assert (passed(tee), tee.whole_body, tee.drop_reason, room.free_bytes) == (
        b"abcd",
        b"abcd",
        None,
        5,
    )


def test_a_body_that_has_not_ended_is_no_whole_one():
    tee = Tee(stream(b"ab", b"cd"), 4, MemoryBudget(9))
    first = asyncio.run(anext(tee))

    assert (first, tee.whole_body, tee.fingerprint) == (b"ab", None, None)


@pytest.mark.parametrize(("hashed", "drop_reason"), [(6, None), (5, "too-large")])
def test_a_larger_body_leaves_a_fingerprint_up_to_a_bound(hashed, drop_reason):
    room = MemoryBudget(9)
    tee = Tee(stream(b"ab", b"cd", b"ef"), 3, room, hashed)

    assert (passed(tee), tee.whole_body, tee.drop_reason, room.free_bytes) == (
        b"abcdef",
        None,
        drop_reason,
        9,
    )
    assert tee.fingerprint == (None if drop_reason else (6, sha256(b"abcdef").digest()))


def test_a_body_for_which_there_is_no_room_gives_back_what_it_held():
    room = MemoryBudget(3)
    tee = Tee(stream(b"ab", b"cd"), 9, room)

    assert (passed(tee), tee.whole_body, tee.drop_reason, room.free_bytes) == (
        b"abcd",
        None,
        "memory",
        3,
    )


def test_what_is_let_go_is_given_back_once_and_nothing_more_is_kept():
    room = MemoryBudget(9)
    tee = Tee(stream(b"ab", b"cd"), 9, room)

    async def story() -> list[bytes]:
        first = await anext(tee)
        tee.discard_kept_body()
        tee.discard_kept_body()
        return [first, *[chunk async for chunk in tee]]

    assert asyncio.run(story()) == [b"ab", b"cd"]
    assert (tee.whole_body, tee.held_bytes, room.free_bytes) == (None, 0, 9)
