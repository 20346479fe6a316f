"""How an attempt to send to Sentry ended, as the log and the counter have it."""

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from overgrow.telemetry.receivers import Receivers
from overgrow.telemetry.sentry.transport import WatchedTransport, describe_error
from tests.story.fake_sentry import KEY, running_sentry


def transport_to(dsn, receivers):
    import sentry_sdk  # noqa: PLC0415 - a client is the only way to a transport's options

    client = sentry_sdk.Client(
        dsn=dsn,
        transport=WatchedTransport,
        default_integrations=False,
        send_client_reports=False,
    )
    client.transport.status = receivers.status_of("sentry")
    return client


def send_one(answer):
    counted = []
    receivers = Receivers(counted.append)
    with running_sentry() as sentry:
        answer(sentry)
        client = transport_to(sentry.dsn, receivers)
        client.capture_event({"message": "x"})
        client.close(timeout=30)
        return sentry, receivers.problems(), counted


def test_an_event_that_is_taken_is_no_failure():
    sentry, problems, counted = send_one(lambda _: None)

    assert len(sentry.events) == 1
    assert (problems, counted) == ({}, [])


def test_a_refused_event_is_counted_with_its_status():
    def refuse(sentry):
        sentry.status = 403

    _, problems, counted = send_one(refuse)

    assert (problems, counted) == ({"sentry": "status 403"}, ["sentry"])


def test_an_answer_that_is_no_http_is_a_failure():
    def answer(sentry):
        sentry.garbage = b"\x00garbage\r\n\r\n"

    _, problems, _ = send_one(answer)

    assert problems == {"sentry": "the answer is not HTTP"}


def test_a_redirect_is_not_followed():
    def redirect(sentry):
        location = f"http://127.0.0.1:{sentry.server.server_port}/elsewhere"
        sentry.garbage = (
            f"HTTP/1.1 307 Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        )

    sentry, problems, _ = send_one(redirect)

    assert len(sentry.envelopes) == 1
    assert problems == {"sentry": "status 307"}


def test_an_answer_without_an_end_is_not_read():
    def answer(sentry):
        sentry.garbage = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nmore to come"

    _, problems, _ = send_one(answer)

    assert problems == {}


def test_no_reason_contains_an_address():
    pool = urllib3.HTTPConnectionPool("sentry.example")
    errors = [
        ReadTimeoutError(pool, f"http://{KEY}@sentry.example", "x"),
        NewConnectionError(None, KEY),
        ConnectTimeoutError(KEY),
        ProtocolError(KEY),
        LocationParseError(KEY),
    ]

    assert [describe_error(each) for each in errors] == [
        "no answer in time",
        "no connection",
        "no connection",
        "the answer is not HTTP",
        "network error",
    ]
