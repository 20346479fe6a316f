"""The events that wait to be sent."""

import json

import pytest

from overgrow.notify.event import WebhookEvent
from overgrow.notify.outbox import FILE, MAX_AGE_S, MAX_WAITING, Outbox

KNOWN = {"history": "abc", "is_legacy_up": True}


def event(number):
    return WebhookEvent(f"evt_{number}", "kill", "2026-11-30T08:00:00Z", "said.", {})


@pytest.fixture
def outbox():
    return Outbox(KNOWN)


def test_what_waits_survives_its_worker(tmp_path, outbox):
    outbox.add([event(1), event(2)], 100.0)
    outbox.write(tmp_path)
    found = Outbox.read(tmp_path)

    assert (found.known, found.due(100.0)) == (KNOWN, event(1))
    assert [each.id for _, each in found.waiting] == ["evt_1", "evt_2"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"known": {}}',
        '{"known": {}, "waiting": [1]}',
        '{"known": 1, "waiting": []}',
        '{"known": {}, "waiting": [[1, {}]]}',
    ],
)
def test_an_unreadable_file_is_as_good_as_none(tmp_path, text):
    (tmp_path / FILE).write_text(text)

    assert Outbox.read(tmp_path) == Outbox()


def test_the_file_is_for_its_owner_alone(tmp_path, outbox):
    outbox.write(tmp_path)

    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    assert json.loads((tmp_path / FILE).read_text())["known"] == KNOWN


def test_the_oldest_events_are_dropped_if_too_many_wait(outbox):
    dropped = outbox.add([event(number) for number in range(MAX_WAITING + 3)], 0.0)

    assert (dropped, outbox.due(0.0), len(outbox.waiting)) == (3, event(3), MAX_WAITING)


def test_old_news_is_dropped(outbox):
    outbox.add([event(1)], 0.0)
    dropped = outbox.add([event(2)], MAX_AGE_S + 1)

    assert (dropped, outbox.due(MAX_AGE_S + 1)) == (1, event(2))


def test_each_failure_waits_longer_up_to_a_minute(outbox):
    outbox.add([event(1)], 0.0)
    waits = []
    for _ in range(8):
        outbox.postpone(0.0, 0.0)
        waits.append(outbox.next_attempt_s)

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert (outbox.due(59.0), outbox.due(60.0)) == (None, event(1))


def test_a_receiver_may_ask_for_time_but_not_for_more_than_a_minute(outbox):
    outbox.add([event(1)], 0.0)
    outbox.postpone(0.0, 30.0)
    assert outbox.next_attempt_s == 30
    outbox.postpone(0.0, 1e9)
    assert outbox.next_attempt_s == 60


def test_a_clock_set_back_does_not_stop_the_sending(outbox):
    outbox.add([event(1)], 10_000.0)
    outbox.postpone(10_000.0, 60.0)

    assert outbox.due(5_000.0) == event(1)


def test_after_a_delivery_the_next_event_is_due_at_once(outbox):
    outbox.add([event(1), event(2)], 0.0)
    outbox.postpone(0.0, 60.0)
    outbox.remove(event(1))

    assert (outbox.due(0.0), outbox.failed_attempts) == (event(2), 0)
