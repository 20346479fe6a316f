"""Each change of a receiver's state is logged once for all workers."""

import logging

import pytest

from overgrow.process.receiver_watch import ReceiverWatch


@pytest.fixture
def logged(caplog):
    caplog.set_level(logging.INFO, "overgrow")
    return lambda: [record.getMessage() for record in caplog.records]


def workers(*problems):
    return [{"slot": slot, "receivers": each} for slot, each in enumerate(problems)]


def test_a_receiver_that_fails_and_works_again_is_logged_once_each(logged):
    watch = ReceiverWatch()
    for problems in ({}, {"sentry": "no answer"}, {"sentry": "status 500"}, {}, {}):
        watch.follow(workers(problems), is_speaker=True)

    assert logged() == ["sentry-fails why='no answer'", "sentry-works-again"]


def test_a_receiver_that_fails_for_more_workers_is_no_change(logged):
    watch, failing = ReceiverWatch(), {"otel": "no connection"}
    watch.follow(workers({}, {}), is_speaker=True)
    watch.follow(workers({}, failing), is_speaker=True)
    watch.follow(workers(failing, failing), is_speaker=True)
    watch.follow(workers(failing, {}), is_speaker=True)

    assert logged() == ["otel-fails why='no connection'"]


def test_a_worker_that_does_not_speak_follows_in_silence(logged):
    watch = ReceiverWatch()
    watch.follow(workers({}, {}), is_speaker=False)
    watch.follow(workers({"otel": "x"}, {}), is_speaker=False)
    assert logged() == []

    watch.follow(workers({}, {}), is_speaker=True)
    assert logged() == ["otel-works-again"]


def test_a_new_worker_does_not_log_what_the_others_have_logged(logged):
    older = {"slot": 1, "receivers": {"otel": "x"}, "receivers_logged": ["otel"]}
    watch = ReceiverWatch()

    assert watch.follow([{"slot": 0}, older], is_speaker=True)
    assert not watch.follow([{"slot": 0}, older], is_speaker=True)
    assert logged() == []
    assert watch.logged == {"otel"}


def test_a_failure_that_nobody_has_logged_yet_is_logged_at_a_first_look(logged):
    ReceiverWatch().follow(workers({}, {"otel": "x"}), is_speaker=True)

    assert logged() == ["otel-fails why='x'"]


def test_what_is_logged_is_published_until_the_receiver_works(logged):
    watch = ReceiverWatch()

    assert watch.follow(workers({"otel": "x"}), is_speaker=True)
    assert watch.logged == {"otel"}
    assert watch.follow(workers({}), is_speaker=True)
    assert watch.logged == frozenset()


def test_a_worker_that_did_not_log_does_not_say_that_it_was_logged(logged):
    watch = ReceiverWatch()
    watch.follow(workers({}, {}), is_speaker=False)

    assert not watch.follow(workers({}, {"otel": "x"}), is_speaker=False)
    assert watch.logged == frozenset()


def test_the_only_worker_logs_a_failure_before_its_first_look(logged):
    ReceiverWatch().follow(workers({"webhook": "status 404"}), is_speaker=True)

    assert logged() == ["webhook-fails why='status 404'"]


def test_a_worker_of_an_earlier_version_publishes_nothing(logged):
    ReceiverWatch().follow([{"slot": 0}], is_speaker=True)

    assert logged() == []
