"""Which requests are copied, when the copy goes out, what is dropped, and that the user pays for none."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import randbytes
from types import SimpleNamespace
from typing import get_args

import pytest

from overgrow.exchange import BodyBroken, Failure, FellBack, Reply, close_nothing, failure_reply
from overgrow.routing.model import Timeouts
from overgrow.shadow.compare.findings import MAX_JUDGED
from overgrow.shadow.mirror import CopyLimits
from overgrow.shadow.recording import DropReason
from overgrow.shadow.rules.comparators import Ignore
from overgrow.shadow.rules.rules import Rule, Rules
from overgrow.shadow.shadowing_server import ShadowingServer
from tests.unit.shadow.mirrored import (
    GONE,
    ROUTE,
    Environment,
    Notes,
    Now,
    Side,
    Stage,
    decided,
    inbound_of,
    read,
    stream,
)

JSON = [(b"content-type", b"application/json")]
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")


def hanging():
    """A side that never answers, and the event that says it was asked."""
    asked = asyncio.Event()

    async def hang(_inbound):
        asked.set()
        await asyncio.Event().wait()

    return Side([hang]), asked


def streamed(*chunks, headers=(), status=200):
    async def answer(_inbound):
        return Reply(status, [*headers], stream(*chunks))

    return answer


def raised(error):
    async def answer(_inbound):
        raise error

    return answer


def test_the_user_gets_the_answer_of_the_side_that_was_chosen():
    stage = Stage(legacy=Side([Reply(200, [], b"old")]), migrated=Side([Reply(200, [], b"new")]))

    assert stage.play()[1] == b"old"


def test_the_other_side_is_asked_afterwards_and_the_answers_are_compared():
    stage = Stage()

    stage.play()

    assert [len(stage.legacy.asked), len(stage.migrated.asked)] == [1, 1]
    assert stage.notes.verdicts == ["matched"]


def test_nothing_is_asked_before_the_user_is_answered():
    stage = Stage(legacy=Side([streamed(b"one", b"two")]))

    async def scene():
        reply = await ShadowingServer(stage.legacy, stage.mirror).serve(inbound_of(), decided())
        await asyncio.sleep(0)
        await read(reply)
        await asyncio.sleep(0)
        before = len(stage.migrated.asked)
        await reply.close()
        await stage.settled()
        return before, len(stage.migrated.asked)

    assert asyncio.run(scene()) == (0, 1)


def test_the_candidate_is_told_that_it_answers_for_the_other_side():
    stage = Stage()

    stage.play()

    ((_, decision),) = stage.migrated.asked
    assert (decision.side, decision.route_name, decision.revision) == ("migrated", "orders", "rev")


def test_after_a_flip_legacy_is_asked_and_is_still_the_control():
    stage = Stage(
        legacy=Side([Reply(200, JSON, b'{"a": 1, "b": 2}')]),
        migrated=Side([Reply(200, JSON, b'{"a": 1}')]),
    )

    stage.play(decision=decided("migrated"))

    (compared,) = stage.notes.comparisons
    assert (compared.control, compared.verdict) == ("migrated", "mismatched")
    assert compared.group.title == "missing at $.b (int, absent)"


@pytest.mark.parametrize("answer", [Reply(200, JSON, b"{}"), streamed(b"{}", headers=JSON)])
def test_what_the_front_door_adds_to_an_answer_is_not_compared(answer):
    stage = Stage(legacy=Side([answer]), migrated=Side([Reply(200, JSON, b"{}")]))

    async def scene():
        reply = await ShadowingServer(stage.legacy, stage.mirror).serve(inbound_of(), decided())
        reply.headers = [*reply.headers, (b"set-cookie", b"overgrow_id=1")]
        await read(reply)
        await reply.close()
        await stage.settled()

    asyncio.run(scene())

    assert stage.notes.verdicts == ["matched"]


@pytest.mark.parametrize("answer", [Reply(200, [], b"ok"), streamed(b"ok")])
def test_an_answer_that_was_watched_leaves_no_circle(answer):
    stage = Stage(legacy=Side([answer]), limits=CopyLimits(at_once=0))

    async def scene():
        reply = await ShadowingServer(stage.legacy, stage.mirror).serve(inbound_of(), decided())
        await read(reply)
        await reply.close()
        return reply.close

    assert asyncio.run(scene()) is close_nothing


def test_no_value_of_an_answer_is_handed_over():
    secret = b"tok-4711-do-not-keep"
    stage = Stage(
        legacy=Side([Reply(200, JSON, b'{"token": "' + secret + b'"}')]),
        migrated=Side([Reply(200, [*JSON, (b"set-cookie", b"s=" + secret)], b'{"token": "x"}')]),
    )

    stage.play(target=b"/a?token=" + secret)

    (compared,) = stage.notes.comparisons
    assert compared.verdict == "mismatched"
    assert secret.decode() not in repr(compared)


@pytest.mark.parametrize(
    ("decision", "head"),
    [
        pytest.param(decided(shadow=0), {}, id="no shadow"),
        pytest.param(decided(route=None), {}, id="no route"),
        pytest.param(decided(reason="killed"), {}, id="killed"),
        pytest.param(decided(reason="override"), {}, id="a tester's request"),
        pytest.param(decided(reason="breaker"), {}, id="turned by a breaker"),
        pytest.param(decided(reason="upgrade"), {}, id="an upgrade turned to legacy"),
        pytest.param(decided(), {"upgrade": True}, id="an upgrade"),
        pytest.param(decided(), {"is_copy": True}, id="a copy itself"),
        pytest.param(decided(), {"method": "POST"}, id="unsafe method"),
        pytest.param(decided(servable=False), {}, id="migrated has no such page"),
        pytest.param(decided(asgi=True), {}, id="a mounted ASGI app"),
        pytest.param(decided("migrated", reversible=False), {}, id="irreversible"),
    ],
)
def test_what_is_never_copied(decision, head):
    stage = Stage()

    stage.play(decision=decision, **head)

    assert len(stage.legacy.asked) + len(stage.migrated.asked) == 1
    assert stage.notes == Notes()


def test_an_unsafe_method_is_copied_where_the_route_allows_it():
    stage = Stage()

    stage.play(b"n=", b"1", method="POST", decision=decided(shadow_unsafe=True))

    assert stage.migrated.bodies == [b"n=1"]


@pytest.mark.parametrize(("chance", "expected"), [(0.0499, 1), (0.05, 0)])
def test_chance_draws_the_share_that_the_route_names(chance, expected):
    stage = Stage(outside=Environment([chance]))

    stage.play(decision=decided(shadow=500))

    assert len(stage.migrated.asked) == expected


def test_the_copy_is_marked_and_asks_for_the_whole_answer():
    stage = Stage()
    headers = [
        (b"host", b"shop.test"),
        (b"cookie", b"s=1"),
        (b"expect", b"100-continue"),
        (b"if-none-match", b'"1"'),
        (b"range", b"bytes=0-1"),
    ]

    stage.play(headers=headers)

    ((head, _),) = stage.migrated.asked
    assert head.headers == [
        (b"host", b"shop.test"),
        (b"cookie", b"s=1"),
        (b"x-overgrow-shadow", b"1"),
    ]
    assert (head.client, head.host, head.target) == ("192.0.2.9", "shop.test", b"/a?b=1")


@pytest.mark.parametrize("status", [304, 206, 416])
def test_an_answer_that_is_less_than_whole_is_asked_for_again(status):
    stage = Stage(legacy=Side([Reply(status, [], b""), Reply(200, [], b"ok")]))

    stage.play(headers=[(b"if-none-match", b'"1"')])

    assert [len(stage.legacy.asked), len(stage.migrated.asked)] == [2, 1]
    assert stage.notes.verdicts == ["matched"]
    assert stage.notes.comparisons[0].shape.status == status


def test_a_whole_answer_to_a_condition_is_the_control():
    stage = Stage()

    stage.play(headers=[(b"if-none-match", b'"1"')])

    assert len(stage.legacy.asked) == 1
    assert stage.notes.verdicts == ["matched"]


def test_an_unsafe_request_is_not_asked_again_for_its_whole_answer():
    stage = Stage(legacy=Side([Reply(206, [], b"")]))
    decision = decided(shadow_unsafe=True)

    stage.play(b"x", method="POST", headers=[(b"range", b"bytes=0-1")], decision=decision)

    assert stage.notes.drops == ["conditional"]
    assert stage.mirror.held_bytes == 0


def test_for_noise_both_sides_are_asked_again_in_turn():
    order = []

    def noted(name, body):
        async def answer(_inbound):
            order.append(name)
            return Reply(200, JSON, body)

        return answer

    stage = Stage(
        legacy=Side([noted("legacy", b'{"n": 1}'), noted("again", b'{"n": 2}')]),
        migrated=Side([noted("migrated", b'{"n": 1}'), noted("migrated again", b'{"n": 1}')]),
    )

    stage.play(decision=decided(shadow_noise=10_000))

    (compared,) = stage.notes.comparisons
    assert order == ["legacy", "migrated", "again", "migrated again"]
    (noise,) = stage.notes.noises
    assert (compared.verdict, noise.pairs) == ("matched", 1)
    assert noise.shapes["$.n"].different == 1


def test_after_a_flip_noise_is_still_legacys():
    stage = Stage()

    stage.play(decision=decided("migrated", shadow_noise=10_000))

    assert [len(stage.legacy.asked), len(stage.migrated.asked)] == [2, 2]


@pytest.mark.parametrize(
    ("draws", "method"), [([0.0, 0.5], "GET"), ([0.0, 0.0], "POST")], ids=["not drawn", "unsafe"]
)
def test_legacy_is_not_asked_twice_otherwise(draws, method):
    stage = Stage(outside=Environment(draws))
    decision = decided(shadow_noise=5_000, shadow_unsafe=True)

    stage.play(method=method, decision=decision)

    assert [len(stage.legacy.asked), len(stage.migrated.asked)] == [1, 1]


def test_the_rules_of_the_route_judge():
    stage = Stage()

    stage.play()

    assert stage.outside.asked_rules == ["orders"]


# What the user asks and is answered, kept within bounds.


def test_chunks_pass_one_by_one_and_whole():
    stage = Stage(
        legacy=Side([streamed(b"a", b"b", b"c")]), migrated=Side([Reply(200, [], b"abc")])
    )

    assert stage.play()[1] == b"abc"
    assert stage.notes.verdicts == ["matched"]


def test_a_chunk_goes_on_before_the_next_one_is_there():
    gate = asyncio.Event()

    async def slowly(_inbound):
        async def body():
            yield b"first"
            await gate.wait()
            yield b"second"

        return Reply(200, [], body())

    stage = Stage(legacy=Side([slowly]))

    async def scene():
        reply = await ShadowingServer(stage.legacy, stage.mirror).serve(inbound_of(), decided())
        chunks = aiter(reply.body)
        first = await anext(chunks)
        gate.set()
        rest = [chunk async for chunk in chunks]
        await reply.close()
        return first, rest

    assert asyncio.run(scene()) == (b"first", [b"second"])


LIMITS = CopyLimits(request_bytes=8, response_bytes=16, hashed_bytes=16, held_bytes=64)


@pytest.mark.parametrize(
    ("chunks", "headers", "answer", "reason"),
    [
        pytest.param((b"12345678", b"9"), (), streamed(b"ok"), "request-too-large", id="request"),
        pytest.param(
            (b"1",),
            [(b"content-length", b"9")],
            streamed(b"ok"),
            "request-too-large",
            id="declared",
        ),
        pytest.param((), (), streamed(b"x" * 10, b"x" * 7), "answer-too-large", id="answer"),
        pytest.param(
            (),
            (),
            streamed(b"x", headers=[(b"content-length", b"17")]),
            "answer-too-large",
            id="declared answer",
        ),
        pytest.param((), (), Reply(200, [], b"x" * 17), "answer-too-large", id="whole answer"),
        pytest.param(
            (),
            (),
            streamed(b"data: 1", headers=[EVENTS]),
            "stream",
            id="events",
        ),
        pytest.param(
            (),
            (),
            failure_reply(Failure("legacy-timeout", "head", "legacy")),
            "no-answer",
            id="a failure",
        ),
    ],
)
def test_what_is_too_much_or_no_answer_goes_to_the_user_alone(chunks, headers, answer, reason):
    stage = Stage(legacy=Side([answer]), limits=LIMITS)
    decision = decided(shadow_unsafe=True)

    stage.play(*chunks, headers=headers, decision=decision)

    assert stage.migrated.asked == []
    assert stage.notes.drops == [reason]
    assert stage.mirror.held_bytes == 0


def test_a_body_of_just_the_limit_is_copied():
    stage = Stage(legacy=Side([streamed(b"x" * 16)]), limits=LIMITS)

    stage.play(b"12345678", decision=decided(shadow_unsafe=True))

    assert stage.migrated.bodies == [b"12345678"]
    assert stage.notes.drops == []


def test_an_answer_that_fell_back_is_not_migrateds():
    async def fallen(_inbound):
        return Reply(200, [], b"", fallback=FellBack("500", 500))

    stage = Stage(migrated=Side([fallen]))

    stage.play(decision=decided("migrated"))

    assert stage.notes.drops == ["no-answer"]


def test_a_request_that_the_side_did_not_read_is_not_copied():
    stage = Stage(legacy=Side(reads=False))

    stage.play(b"x", decision=decided(shadow_unsafe=True))

    assert stage.notes.drops == ["unfinished"]


def test_a_user_who_leaves_is_not_copied():
    stage = Stage(legacy=Side([streamed(b"one", b"two")]))

    stage.play(leaves=True)

    assert stage.notes.drops == ["unfinished"]
    assert stage.mirror.held_bytes == 0


def test_a_user_who_breaks_off_an_upload_leaves_nothing_behind():
    stage = Stage()

    with pytest.raises(type(GONE)):
        stage.play(b"one", GONE, decision=decided(shadow_unsafe=True))

    assert stage.notes.drops == ["unfinished"]
    assert stage.mirror.held_bytes == 0


def test_what_all_copies_hold_is_bounded():
    stage = Stage(legacy=Side([streamed(b"x" * 10)]), limits=CopyLimits(held_bytes=25, at_once=0))

    async def scene():
        for _ in range(4):
            await stage.ask()

    asyncio.run(scene())

    assert stage.notes.drops == ["memory", "memory"]
    assert (stage.mirror.waiting_copies, stage.mirror.held_bytes) == (2, 20)


def test_an_upload_that_goes_on_after_its_answer_is_kept_no_longer():
    stage = Stage(legacy=Side([streamed(b"x", headers=[EVENTS])], reads=False))

    async def scene():
        inbound = inbound_of(b"one", b"two", b"three")
        upload = inbound.body
        shadowed = ShadowingServer(stage.legacy, stage.mirror)
        reply = await shadowed.serve(inbound, decided(shadow_unsafe=True))
        rest = [chunk async for chunk in inbound.body]
        await reply.close()
        return inbound.body is upload, rest

    assert asyncio.run(scene()) == (False, [b"one", b"two", b"three"])
    assert stage.mirror.held_bytes == 0


def test_a_whole_answer_counts_while_it_waits():
    stage = Stage(
        legacy=Side([Reply(200, [], b"x" * 10)]), limits=CopyLimits(held_bytes=15, at_once=0)
    )

    async def scene():
        await stage.ask()
        await stage.ask()

    asyncio.run(scene())

    assert stage.notes.drops == ["memory"]
    assert stage.mirror.held_bytes == 10


def test_what_was_held_is_given_back_when_the_copy_is_done():
    stage = Stage(legacy=Side([streamed(b"x" * 10)]))

    stage.play(b"body", decision=decided(shadow_unsafe=True))

    assert stage.mirror.held_bytes == 0


# The queue.


def test_a_side_that_hangs_costs_the_user_nothing_and_the_queue_is_bounded():
    migrated, _ = hanging()
    stage = Stage(migrated=migrated, limits=CopyLimits(waiting=3, at_once=2))

    async def scene():
        answers = []
        for _ in range(10):
            answers.append((await stage.ask())[1])
            await asyncio.sleep(0)
        waiting = stage.mirror.waiting_copies
        await stage.mirror.aclose(grace_s=0.01)
        return answers, waiting

    answers, waiting = asyncio.run(scene())
    assert answers == [b"ok"] * 10
    assert waiting == 3
    assert len(migrated.asked) == 2
    assert stage.notes.drops == ["queue-full"] * 5 + ["closing"] * 5
    assert stage.mirror.held_bytes == 0


def test_while_the_queue_is_full_nothing_is_kept_of_a_request():
    body = stream(b"ok")
    stage = Stage(legacy=Side([Reply(200, [], body)]), limits=CopyLimits(waiting=0))

    async def scene():
        reply = await ShadowingServer(stage.legacy, stage.mirror).serve(inbound_of(), decided())
        return reply.body, reply.close

    assert asyncio.run(scene()) == (body, stage.legacy._close)
    assert stage.notes.drops == ["queue-full"]


def test_a_request_without_a_body_is_drawn_after_its_whole_response():
    stage = Stage(outside=Environment([0.0, 0.0]))

    async def scene():
        reply = await ShadowingServer(stage.legacy, stage.mirror).serve(inbound_of(), decided())
        before = len(stage.outside.draws)
        await reply.close()
        await stage.settled()
        return before

    assert asyncio.run(scene()) == 2
    assert (len(stage.outside.draws), stage.notes.verdicts) == (1, ["matched"])


def test_a_whole_answer_that_cannot_be_closed_is_still_copied():
    async def fails():
        raise ValueError("as asked")

    async def answer(_inbound):
        return Reply(200, [], b"ok", close=fails)

    stage = Stage(legacy=Side([answer]))

    async def scene():
        with pytest.raises(ValueError, match="as asked"):
            await stage.ask()
        await stage.settled()

    asyncio.run(scene())

    assert len(stage.migrated.asked) == 1


def test_answers_that_end_together_do_not_overfill_the_queue():
    stage = Stage(legacy=Side([streamed(b"x")]), limits=CopyLimits(waiting=1, at_once=0))

    async def scene():
        shadowed = ShadowingServer(stage.legacy, stage.mirror)
        replies = [await shadowed.serve(inbound_of(), decided()) for _ in range(2)]
        for reply in replies:
            await read(reply)
            await reply.close()

    asyncio.run(scene())

    assert (stage.mirror.waiting_copies, stage.notes.drops) == (1, ["queue-full"])
    assert stage.mirror.held_bytes == 1


def test_a_copy_that_waited_too_long_is_not_sent():
    stage = Stage()

    async def scene():
        await stage.ask()
        stage.outside.now.forward(10.01)
        await stage.settled()

    asyncio.run(scene())

    assert stage.migrated.asked == []
    assert stage.notes.drops == ["stale"]


def test_a_copy_that_waited_as_long_as_it_may_is_sent():
    stage = Stage(outside=Environment(now=Now(0.0)))

    async def scene():
        await stage.ask()
        stage.outside.now.forward(10.0)
        await stage.settled()

    asyncio.run(scene())

    assert (stage.notes.verdicts, stage.notes.drops) == (["matched"], [])


def test_comparisons_over_their_share_of_the_processor_are_dropped():
    stage = Stage(outside=Environment(work_s=1.0))

    stage.play()
    stage.play()

    assert stage.notes.verdicts == ["matched"]
    assert stage.notes.drops == ["budget"]


def test_time_refills_the_budget():
    stage = Stage(outside=Environment(work_s=1.0))

    stage.play()
    stage.play()
    stage.outside.now.forward(9)
    stage.play()

    assert stage.notes.verdicts == ["matched", "matched"]


def test_nothing_waiting_is_sent_once_a_kill_file_exists():
    stage = Stage()

    async def scene():
        await stage.ask()
        stage.outside.killed = True
        await stage.settled()

    asyncio.run(scene())

    assert stage.migrated.asked == []
    assert stage.notes.drops == ["killed"]


def test_a_kill_breaks_off_what_is_under_way_and_later_copies_go_out_again():
    migrated, asked = hanging()
    stage = Stage(migrated=migrated, limits=CopyLimits(at_once=1))

    async def scene():
        await stage.ask()
        await asked.wait()
        await stage.ask()
        stage.mirror.cancel_copies_on_kill()
        await stage.settled()
        migrated.answers = [Reply(200, [], b"ok")]
        await stage.ask()
        await stage.settled()

    asyncio.run(scene())

    assert sorted(stage.notes.drops) == ["killed", "killed"]
    assert stage.notes.verdicts == ["matched"]


def test_closing_waits_for_what_is_under_way():
    stage = Stage()

    async def scene():
        await stage.ask()
        await asyncio.sleep(0)
        await stage.mirror.aclose(grace_s=5)
        await stage.ask()

    asyncio.run(scene())

    assert stage.notes.verdicts == ["matched"]
    assert stage.notes.drops == ["closing"]


def test_closing_without_a_copy_does_nothing():
    stage = Stage()

    asyncio.run(stage.mirror.aclose())

    assert stage.notes == Notes()


def test_a_new_event_loop_begins_anew():
    migrated, asked = hanging()
    stage = Stage(migrated=migrated, limits=CopyLimits(at_once=1))

    async def first():
        await stage.ask()
        await asked.wait()

    asyncio.run(first())
    migrated.answers = [Reply(200, [], b"ok")]
    stage.play()

    assert stage.notes.verdicts == ["matched"]


def test_copies_of_a_loop_that_is_gone_keep_no_others_from_being_sent():
    migrated, _ = hanging()
    stage = Stage(migrated=migrated, limits=CopyLimits(at_once=1))
    former = asyncio.new_event_loop()  # as that of a parent, after a fork
    former.run_until_complete(stage.ask())
    left = [*stage.mirror._tasks]
    migrated.answers = [Reply(200, [], b"ok")]

    async def scene():
        await stage.ask()
        async with asyncio.timeout(30):
            while not stage.notes.verdicts:  # noqa: ASYNC110 - what is left of a loop never ends
                await asyncio.sleep(0.005)

    asyncio.run(scene())
    for task in left:
        task.cancel()
    former.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    former.close()

    assert len(left) == 1
    assert stage.notes.verdicts == ["matched"]


@pytest.mark.parametrize("reason", ["target", "canary"])
def test_a_request_that_its_route_sent_to_migrated_is_copied_to_legacy(reason):
    stage = Stage()
    stage.play(decision=decided("migrated", reason))

    assert stage.notes.verdicts == ["matched"]


@pytest.mark.parametrize("scheme", [b"Negotiate YII=", b"NTLM TlRM"])
def test_a_request_with_a_login_of_its_connection_is_not_copied(scheme):
    stage = Stage()
    stage.play(headers=[(b"authorization", scheme)])

    assert (stage.migrated.asked, stage.notes.verdicts) == ([], [])


def test_a_request_on_a_connection_that_a_login_holds_is_not_copied():
    stage = Stage()
    inbound = inbound_of()
    inbound.client_connection = SimpleNamespace(attached_login=object())

    assert stage.mirror.start_recording_if_sampled(inbound, decided(), ROUTE) is None


@pytest.mark.parametrize(("length", "drops"), [(3, []), (4, ["request-too-large"])])
def test_a_declared_body_of_exactly_the_most_is_copied(length, drops):
    stage = Stage(limits=CopyLimits(request_bytes=3))
    declared = [(b"content-length", b"%d" % length)]
    unsafe = decided(shadow_unsafe=True)
    stage.play(b"abcd"[:length], method="POST", headers=declared, decision=unsafe)

    assert stage.notes.drops == drops
    assert stage.migrated.bodies == ([] if drops else [b"abc"])


def test_a_second_answer_of_migrated_that_fails_costs_its_noise_alone():
    busy = failure_reply(Failure("local-busy", "head", "migrated"))
    stage = Stage(migrated=Side([Reply(200, [], b"ok"), busy]))
    stage.play(decision=decided(shadow_noise=10_000))

    assert (stage.notes.verdicts, stage.notes.silences) == (["matched"], [])
    assert stage.notes.noises[0] is not None


# What a side may do.


@pytest.mark.parametrize("code", ["migrated-crash", "migrated-timeout"])
def test_a_crash_or_timeout_of_the_candidate_is_a_mismatch(code):
    stage = Stage(migrated=Side([failure_reply(Failure(code, "head", "migrated"))]))

    stage.play()

    assert stage.notes.verdicts == ["mismatched"]
    assert "status" in [part.path for part in stage.notes.comparisons[0].group.parts]


def test_a_candidate_that_breaks_off_its_body_is_a_mismatch():
    broken = BodyBroken(Failure("migrated-crash", "body", "migrated"))
    stage = Stage(migrated=Side([streamed(b"ok", broken)]))

    stage.play()

    assert "status" in [part.path for part in stage.notes.comparisons[0].group.parts]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(failure_reply(Failure("local-busy", "queue", "migrated")), id="our own limit"),
        pytest.param(
            streamed(b"o", BodyBroken(Failure("legacy-closed", "body", "legacy"))), id="cut"
        ),
        pytest.param(raised(TimeoutError()), id="not done in time"),
    ],
)
def test_where_a_side_gave_no_answer_nothing_is_concluded(answer):
    stage = Stage(migrated=Side([answer]))

    stage.play()

    assert (stage.notes.silences, stage.notes.comparisons) == (["orders"], [])


def test_a_copy_has_the_time_of_its_route_and_a_little_more():
    migrated, _ = hanging()
    stage = Stage(migrated=migrated, limits=CopyLimits(body_s=0.01))

    stage.play(decision=decided(timeouts=Timeouts(response_s=0.01)))

    assert stage.notes.silences == ["orders"]


@pytest.mark.parametrize(
    "answer", [Reply(200, [], b"x" * 17), streamed(b"x" * 10, b"x" * 7)], ids=["whole", "streamed"]
)
def test_a_candidate_that_says_too_much_is_not_compared(answer):
    stage = Stage(migrated=Side([answer]), limits=LIMITS)

    stage.play()

    assert stage.notes.drops == ["answer-too-large"]


def test_answers_to_copies_are_closed():
    stage = Stage()

    stage.play(decision=decided(shadow_noise=10_000))

    assert (stage.legacy.closed, stage.migrated.closed) == (2, 2)


def test_a_fault_of_ours_is_counted_and_the_next_copy_goes_out(caplog):
    stage = Stage(migrated=Side([raised(KeyError("x")), Reply(200, [], b"ok")]))

    stage.play()
    stage.play()

    assert (stage.notes.drops, stage.notes.verdicts) == (["fault"], ["matched"])
    assert "a copy of a request of route orders failed" in caplog.text


def test_a_fault_on_the_users_path_is_not_the_users(caplog):
    outside = Environment()
    outside.clock = None
    stage = Stage(outside=outside)

    assert stage.play()[1] == b"ok"
    assert (stage.notes.drops, stage.mirror.held_bytes) == (["fault"], 0)
    assert "could not be copied" in caplog.text


def test_large_answers_are_compared_in_a_thread():
    threads = []
    outside = Environment()
    outside.cpu_s = lambda: threads.append(threading.current_thread().name) or 0.0
    large = Reply(200, [], b"x" * 9000)
    stage = Stage(Side([large]), Side([large]), outside)

    async def scene():
        await stage.ask()
        await stage.settled()
        await stage.mirror.aclose()

    asyncio.run(scene())

    assert stage.notes.verdicts == ["matched"]
    assert {name.partition("_")[0] for name in threads} == {"overgrow-compare"}


def test_every_reason_for_a_drop_is_documented():
    page = (Path(__file__).parents[3] / "docs/shadowing.md").read_text("utf-8")

    assert [reason for reason in get_args(DropReason) if f"`{reason}`" not in page] == []


def test_a_route_without_a_shadow_costs_a_look_at_one_attribute():
    stage = Stage()
    shadowed = ShadowingServer(stage.legacy, None)  # a mirror that cannot be asked

    reply = asyncio.run(shadowed.serve(inbound_of(), decided(route=replace(ROUTE, shadow=0))))

    assert reply.body == b"ok"


def test_values_at_a_path_that_may_be_shown_are_kept_and_others_hidden():
    kind = [(b"content-type", b"application/json")]
    stage = Stage(
        legacy=Side([Reply(200, kind, b'{"state": "paid", "to": "jane"}')]),
        migrated=Side([Reply(200, kind, b'{"state": "open", "to": "john"}')]),
        outside=Environment(rules=Rules((), frozenset({"$.state"}))),
    )

    stage.play()

    [comparison] = stage.notes.comparisons
    pair = comparison.group.example.pair
    assert [("$.state", '"paid"', '"open"'), ("$.to", "<str 4>", "<str 4>")] == [
        (each["path"], each["control"], each["candidate"]) for each in pair["differences"]
    ]
    assert pair["control"]["body"] == '{"state": "paid", "to": "<str 4>"}'


LARGE = CopyLimits(response_bytes=16, held_bytes=64)
WHOLE = Reply(200, [], b"x" * 17)
CHUNKS = streamed(b"x" * 10, b"x" * 7)
RULED = Rules((Rule("$.token", Ignore(), "ada", "why", date(2030, 1, 1)),))


@pytest.mark.parametrize("legacy", [WHOLE, CHUNKS], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("candidate", "verdict", "found"),
    [
        pytest.param(WHOLE, "matched", [], id="equal"),
        pytest.param(CHUNKS, "matched", [], id="equal in other pieces"),
        pytest.param(
            streamed(b"x" * 10, b"x" * 6 + b"y"), "mismatched", [("bytes", "bytes")], id="a byte"
        ),
        pytest.param(Reply(200, [], b"x" * 18), "mismatched", [("length", "bytes")], id="longer"),
        pytest.param(Reply(200, [], b"x" * 9), "mismatched", [("length", "bytes")], id="shorter"),
    ],
)
def test_answers_too_large_to_keep_are_compared_by_length_and_hash(
    legacy, candidate, verdict, found
):
    stage = Stage(legacy=Side([legacy]), migrated=Side([candidate]), limits=LARGE)

    stage.play()

    (compared,) = stage.notes.comparisons
    parts = compared.group.parts if compared.group else ()
    assert (compared.verdict, [(each.kind, each.path) for each in parts]) == (verdict, found)
    assert all("too_large_to_show" in part.control for part in parts)
    assert stage.mirror.held_bytes == 0


def test_of_large_answers_the_noise_of_their_heads_is_learned():
    answers = [Reply(200, [*JSON, (b"x-request-id", each)], b"x" * 17) for each in (b"1", b"2")]
    stage = Stage(legacy=Side([*answers]), migrated=Side([answers[0]]), limits=LARGE)

    stage.play(decision=decided(shadow_noise=10_000))

    (noise,) = stage.notes.noises
    differing = [shape for shape, each in noise.shapes.items() if each.different]
    assert ["header:x-request-id"] == differing


def test_unequal_large_responses_with_noise_rules_are_not_compared():
    migrated = Side([Reply(200, [], b"y" * 17)])
    stage = Stage(
        legacy=Side([WHOLE]), migrated=migrated, limits=LARGE, outside=Environment(rules=RULED)
    )

    stage.play()

    assert (stage.notes.comparisons, stage.notes.drops) == ([], ["answer-too-large"])


def test_different_heads_of_large_responses_are_a_mismatch():
    migrated = Side([Reply(500, [], b"y" * 17)])
    stage = Stage(
        legacy=Side([WHOLE]), migrated=migrated, limits=LARGE, outside=Environment(rules=RULED)
    )

    stage.play()

    assert stage.notes.verdicts == ["mismatched"]


PACKED = ((b"content-encoding", b"gzip"),)


@pytest.mark.parametrize(
    ("legacy", "candidate", "fate"),
    [
        pytest.param(
            Reply(200, PACKED, gzip.compress(b"x" * 400)),
            Reply(200, [], b"x" * 400),
            ["mismatched"],  # at content-encoding alone: low
            id="packed and small on one side",
        ),
        pytest.param(
            Reply(200, PACKED, gzip.compress(randbytes(400))),
            Reply(200, [], b"x" * 400),
            ["mismatched"],  # at content-encoding; nobody knows of the rest
            id="too large both ways",
        ),
        pytest.param(
            Reply(200, PACKED, b"a" * 100),
            Reply(200, PACKED, b"b" * 100),
            ["answer-too-large"],
            id="packed by two writers",
        ),
    ],
)
def test_of_large_packed_answers_only_what_is_known_is_said(legacy, candidate, fate):
    limits = CopyLimits(response_bytes=60)
    stage = Stage(legacy=Side([legacy]), migrated=Side([candidate]), limits=limits)

    stage.play()

    assert [*stage.notes.verdicts, *stage.notes.drops] == fate


def test_a_route_says_how_much_of_an_answer_is_kept():
    stage = Stage(legacy=Side([WHOLE]), migrated=Side([Reply(200, [], b"y" * 17)]), limits=LARGE)

    stage.play(decision=decided(shadow_max_answer=17))

    (compared,) = stage.notes.comparisons
    assert [part.path for part in compared.group.parts] == ["bytes[*]"]


def test_what_is_left_out_is_told_with_what_was_asked():
    stage = Stage(outside=Environment(work_s=1.0))

    stage.play()
    stage.play()

    ((reason, served),) = stage.notes.left_out
    assert (reason, served.route, served.shape.status) == ("budget", "orders", 200)


def test_a_full_queue_takes_a_quiet_route_instead_of_a_busy_one():
    migrated, asked = hanging()
    stage = Stage(migrated=migrated, limits=CopyLimits(at_once=1, waiting=2))

    async def scene():
        await stage.ask()
        await asked.wait()
        for _ in range(2):
            await stage.ask()
        await stage.ask(decision=decided(name="quiet"))
        await stage.ask()
        return stage.mirror.waiting_copies

    waiting = asyncio.run(scene())

    assert waiting == 2
    assert [(reason, served.route) for reason, served in stage.notes.left_out] == [
        ("queue-full", "orders"),
        ("queue-full", "orders"),
    ]


def test_routes_of_which_least_is_known_go_first():
    stage = Stage(limits=CopyLimits(at_once=1))

    async def scene():
        for name in ("known", "known", "new"):
            await stage.ask(decision=decided(name=name))
        await stage.settled()
        for name in ("known", "new", "newest"):
            await stage.ask(decision=decided(name=name))
        await stage.settled()

    asyncio.run(scene())

    names = [each.route for each in stage.notes.comparisons]
    assert names[3:] == ["newest", "new", "known"]


def test_a_route_whose_comparisons_cost_much_is_named(caplog):
    stage = Stage(outside=Environment(work_s=1.0))

    for _ in range(3):
        stage.play()

    (line,) = [each.getMessage() for each in caplog.records]
    assert "route orders" in line
    assert "a comparison of it takes" in line


BROTLI = ((b"content-encoding", b"br"),)


def test_responses_in_an_unknown_coding_are_requested_again_without_it():
    legacy = Side([Reply(200, BROTLI, b"packed"), Reply(200, [], b"ok")])
    stage = Stage(legacy=legacy)

    stage.play(headers=[(b"accept-encoding", b"gzip;q=1, br, zstd")])

    asked = [dict(head.headers)[b"accept-encoding"] for head, _ in legacy.asked]
    assert asked == [b"gzip;q=1, br, zstd", b"gzip;q=1"]
    assert stage.notes.verdicts == ["matched"]


def test_an_unsafe_request_is_not_sent_again_for_its_coding():
    stage = Stage(legacy=Side([Reply(200, BROTLI, b"packed")]))

    stage.play(b"1", method="POST", decision=decided(shadow_unsafe=True))

    assert (len(stage.legacy.asked), stage.notes.verdicts) == (1, ["mismatched"])


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        pytest.param(b"br", b"identity", id="nothing is left"),
        pytest.param(b"gzip, deflate", b"gzip, deflate", id="all can be read"),
        pytest.param(b"*", b"identity", id="anything"),
        pytest.param(b"", b"", id="nothing was asked"),
    ],
)
def test_a_copy_asks_for_no_coding_that_nobody_can_take_off(asked, sent):
    stage = Stage()

    stage.play(headers=[(b"accept-encoding", asked)])

    assert dict(stage.migrated.asked[0][0].headers)[b"accept-encoding"] == sent


def test_what_would_take_too_much_work_counts_as_not_compared():
    numbers = [Reply(200, JSON, json.dumps([each] * (MAX_JUDGED + 1)).encode()) for each in (1, 2)]
    rules = Rules((Rule("$[*]", Ignore(), "ada", "why", date(2030, 1, 1)),))
    stage = Stage(
        legacy=Side([numbers[0]]), migrated=Side([numbers[1]]), outside=Environment(rules=rules)
    )

    stage.play()

    assert (stage.notes.verdicts, stage.notes.drops) == ([], ["too-much-work"])


@pytest.mark.parametrize(
    ("work_s", "is_learnt"), [(0.0, True), (1.0, False)], ids=["quick", "heavy"]
)
def test_noise_is_learned_from_pairs_that_are_compared_quickly(work_s, is_learnt):
    stage = Stage(outside=Environment(work_s=work_s))

    stage.play(decision=decided(shadow_noise=10_000))

    (noise,) = stage.notes.noises
    assert (noise is not None) is is_learnt


def test_small_answers_that_are_packed_are_compared_in_a_thread():
    threads = []
    outside = Environment()
    outside.cpu_s = lambda: threads.append(threading.current_thread().name) or 0.0
    packed = Reply(200, [*PACKED, *JSON], gzip.compress(b"[" + b"1," * 20_000 + b"1]"))
    stage = Stage(legacy=Side([packed]), migrated=Side([packed]), outside=outside)

    stage.play()

    assert {name[:16] for name in threads} == {"overgrow-compare"}
