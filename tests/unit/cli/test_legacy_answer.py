"""Legacy asked once, by `overgrow init`: over real sockets, with what may answer there."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager

import pytest

from overgrow.cli.legacy_answer import ask_legacy
from tests.ports import free_port


@contextmanager
def answering(*pieces, family=socket.AF_INET, address=("127.0.0.1", 0), stays=False):
    """A server that sends these pieces to the first client, and then closes or stays silent."""
    done = threading.Event()
    with socket.socket(family) as server:
        server.bind(address)
        server.listen()

        def serve():
            client, _ = server.accept()
            with client:
                client.recv(65536)
                for piece in pieces:
                    client.sendall(piece)
                if stays:
                    done.wait(30)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            done.set()
            thread.join(60)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        pytest.param(
            b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html; charset=utf-8\r\n\r\n",
            "200 OK, text/html, from nginx",
            id="a page",
        ),
        pytest.param(
            b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n",
            "302 Found, to /login",
            id="a redirect",
        ),
        pytest.param(b"HTTP/1.0 500 \r\n\r\n", "500", id="no reason phrase"),
        pytest.param(
            b"SSH-2.0-OpenSSH_9.2\r\n",
            "what answers there does not speak HTTP",
            id="another protocol",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n" + b"A: 1\r\n" * 200 + b"\r\n",
            "the head of its response is too long to be shown",
            id="many fields",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nA: " + b"1" * 70_000 + b"\r\n\r\n",
            "the head of its response is too long to be shown",
            id="a long field",
        ),
        pytest.param(b"", "remote end closed connection without response", id="nothing"),
    ],
)
def test_what_legacy_answers_is_told_in_a_few_words(head, said):
    with answering(head) as (_, port):
        assert said == str(ask_legacy(f"http://127.0.0.1:{port}")).replace("Remote", "remote")


def test_a_port_on_which_nobody_listens_is_told():
    assert "connection refused" == ask_legacy(f"http://127.0.0.1:{free_port()}").error


def test_legacy_that_never_ends_its_head_is_not_waited_for():
    with answering(b"HTTP/1.1 200 OK\r\nX-A: ", stays=True) as (_, port):
        assert "no answer in time" == ask_legacy(f"http://127.0.0.1:{port}", limit_s=1).error


def test_a_server_without_tls_is_named_as_such():
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (_, port):
        assert "it does not speak TLS there" in ask_legacy(f"https://127.0.0.1:{port}").error


def test_legacy_on_a_unix_socket_is_asked(socket_folder):
    path = str(socket_folder / "legacy.sock")
    with answering(b"HTTP/1.1 204 No Content\r\n\r\n", family=socket.AF_UNIX, address=path):
        assert "204 No Content" == str(ask_legacy(f"unix:{path}"))
