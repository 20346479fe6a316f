"""One attempt to send an event, to receivers that do what they like."""

import json
import socket
import threading
from contextlib import contextmanager

import pytest

from overgrow.notify import delivery
from overgrow.notify.delivery import Delivery, WebhookSender, judge_response
from overgrow.notify.event import WebhookEvent

EVENT = WebhookEvent("evt_1", "kill", "2026-11-30T08:00:00Z", "said.", {"who": "ann"})
SECRET_PATH = "/services/T0/B0/secret"


@contextmanager
def receiver(answer):
    """A receiver that answers each request with the same bytes; yields its address and what came."""
    came = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    data = b""
                    while b"\r\n\r\n" not in data or not data.endswith(b"}"):
                        data += connection.recv(65_536)
                    came.append(data)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{SECRET_PATH}", came
        listener.shutdown(socket.SHUT_RDWR)


def send(url, secret=None):
    sender = WebhookSender(url, secret, "web-1", "overgrow/1")
    try:
        return sender.send(EVENT, 1_000.0)
    finally:
        sender.close()


def test_an_event_is_posted_as_signed_json():
    with receiver(b"HTTP/1.1 204 No Content\r\n\r\n") as (url, came):
        assert send(url, "whsec_c2VjcmV0") == Delivery("sent")
    head, _, body = came[0].partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")

    assert lines[0] == f"post {SECRET_PATH} http/1.1".lower().encode()
    assert b"content-type: application/json" in lines
    assert b"webhook-id: evt_1" in lines
    assert any(line.startswith(b"webhook-signature: v1,") for line in lines)
    assert json.loads(body)["data"] == {"who": "ann"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 503 No\r\nRetry-After: 7\r\n\r\n", Delivery("retry", "status 503", 7.0)),
        (b"HTTP/1.1 404 No\r\n\r\n", Delivery("refused", "status 404")),
        (b"HTTP/1.1 302 Go\r\nLocation: http://x/\r\n\r\n", Delivery("refused", "status 302")),
        (b"\x00\xff garbage\r\n\r\n", Delivery("retry", "the answer is not HTTP")),
        (b"", Delivery("retry", "the answer is not HTTP")),
    ],
)
def test_an_answer_decides_what_happens_to_an_event(answer, expected):
    with receiver(answer) as (url, came):
        assert send(url) == expected
        assert len(came) == 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("ALL_PROXY", "socks5://127.0.0.1:1", id="a proxy that needs another package"),
        pytest.param("HTTP_PROXY", "ftp://user:hidden@h:1", id="a proxy of no known kind"),
        pytest.param("HTTP_PROXY", "http://[::1", id="a proxy that is no address"),
        pytest.param("NO_PROXY", "[::1", id="an exception that is no address"),
        pytest.param("SSL_CERT_FILE", "/nowhere/ca.pem", id="certificates that are not there"),
    ],
)
def test_a_variable_that_cannot_be_used_postpones_an_event(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)

    found = send("http://127.0.0.1:9/hook")

    assert found.outcome == "retry"
    assert "HTTPS_PROXY" in found.why
    assert "hidden" not in found.why


def test_a_host_name_that_no_lookup_takes_postpones_an_event():
    assert send("http://a..b/hook").outcome == "retry"


def test_a_receiver_that_is_away_is_tried_again():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    assert send(f"http://127.0.0.1:{port}{SECRET_PATH}") == Delivery("retry", "no connection")


def test_a_receiver_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(delivery, "TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"

        assert send(url) == Delivery("retry", "no answer in time")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 599])
def test_a_receiver_that_may_recover_is_tried_again(status):
    assert judge_response(status, None).outcome == "retry"


@pytest.mark.parametrize("asked", [None, "", "soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "٣"])
def test_a_wait_that_is_no_number_of_seconds_is_ignored(asked):
    assert judge_response(503, asked).wait_s == 0.0
