"""The body of a request as a WSGI server has it: to its last byte, and never beyond."""

from __future__ import annotations

import io

import pytest

from overgrow.embedded.relay import MountExtension
from overgrow.embedded.request_body import (
    BLOCK_BYTES,
    DISCONNECT,
    EnvironBody,
    environ_length,
    wrap_input,
)


def environ(data, **keys):
    return {"wsgi.input": io.BytesIO(data), **keys}


def bodies(body):
    """The pieces of a body until it ends, or the word of its breaking off."""
    found, more = [], True
    while more:
        message = body.next_message()
        if message is DISCONNECT:
            return [*found, "broke off"]
        found.append(message["body"])
        more = message["more_body"]
    return found


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        pytest.param("3", [b"abc"], id="what stands behind it is the next request's"),
        pytest.param("6", [b"abcdef"], id="all of it"),
        pytest.param("7", [b"abcdef", "broke off"], id="less than was declared"),
        pytest.param("0", [b""], id="none"),
        pytest.param("x", [b""], id="no number"),
    ],
)
def test_legacy_is_sent_as_much_as_was_declared(length, expected):
    assert bodies(EnvironBody(environ(b"abcdef", CONTENT_LENGTH=length))) == expected


def test_a_large_body_is_read_piece_by_piece():
    size = BLOCK_BYTES + 5

    found = bodies(EnvironBody(environ(b"x" * size, CONTENT_LENGTH=str(size))))

    assert [len(piece) for piece in found] == [BLOCK_BYTES, 5]


@pytest.mark.parametrize(
    ("ends_itself", "expected"), [(True, [b"abc", b""]), (False, ["broke off"])]
)
def test_a_chunked_body_is_read_where_the_server_ends_it(ends_itself, expected):
    keys = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": ends_itself}

    assert bodies(EnvironBody(environ(b"abc", **keys))) == expected


def test_an_app_reads_as_much_as_was_declared_and_not_the_next_request():
    keys = environ(b"abcGET / HTTP/1.1", CONTENT_LENGTH="3")
    wrap_input(keys)

    assert keys["wsgi.input"].read() == b"abc"


def test_an_app_is_told_where_less_came_than_was_declared():
    keys = environ(b"ab", CONTENT_LENGTH="3")
    wrap_input(keys)

    with pytest.raises(ConnectionAbortedError):
        keys["wsgi.input"].read()


@pytest.mark.parametrize(("text", "length"), [("12", 12), ("", 0), ("-1", 0), ("1x", 0), (None, 0)])
def test_a_length_that_is_no_number_is_none(text, length):
    assert environ_length({"CONTENT_LENGTH": text}) == length


def test_a_clients_leaving_is_told_once():
    told = []
    extension = MountExtension(b"/", "192.0.2.1")
    extension.on_disconnect(lambda: told.append(True))

    assert (extension.handle_disconnect(), extension.handle_disconnect(), told) == (
        True,
        False,
        [True],
    )


def test_who_asks_after_the_client_left_is_told_at_once():
    told = []
    extension = MountExtension(b"/", "192.0.2.1")
    extension.handle_disconnect()
    extension.on_disconnect(lambda: told.append(True))

    assert told == [True]
