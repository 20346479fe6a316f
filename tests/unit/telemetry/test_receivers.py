"""What is known of the receivers of telemetry in one process."""

from overgrow.telemetry.receivers import MAX_REASON, Receivers


def test_every_failed_attempt_is_counted_under_its_receiver():
    counted = []
    receivers = Receivers(counted.append)

    receivers.status_of("sentry").note_failure("no answer in time")
    receivers.status_of("sentry").note_failure("no answer in time")
    receivers.status_of("otel").note_failure("status 500")

    assert counted == ["sentry", "sentry", "otel"]
    assert receivers.problems() == {"sentry": "no answer in time", "otel": "status 500"}


def test_a_receiver_that_takes_something_fails_no_more():
    receivers = Receivers(lambda _name: None)
    receivers.status_of("sentry").note_failure("status 500")

    receivers.status_of("sentry").note_success()

    assert receivers.problems() == {}


def test_a_reason_is_one_short_line():
    receivers = Receivers(lambda _name: None)

    receivers.status_of("otel").note_failure("a\nb" + "x" * 1000)

    assert receivers.problems()["otel"].startswith("a bx")
    assert len(receivers.problems()["otel"]) == MAX_REASON
