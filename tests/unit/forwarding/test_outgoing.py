"""A request as it goes to the wire: how it is framed, and which may not go at all."""

from __future__ import annotations

import httpx
import pytest

from overgrow.forwarding.client.httpx_messages import RawRequest
from overgrow.forwarding.client.request import NO_BODY, build_outgoing_request

URL = httpx.URL("http://legacy.example/")


def request(method, *headers, stream=NO_BODY, target=b"/"):
    pairs = [(b"host", b"a"), *headers]
    return RawRequest(method, URL, pairs, stream, {"target": target})


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([(b"content-length", b"3")] * 2, id="two lengths"),
        pytest.param(
            [(b"content-length", b"3"), (b"transfer-encoding", b"chunked")], id="length and chunked"
        ),
        pytest.param([(b"transfer-encoding", b"chunked")] * 2, id="chunked twice"),
        pytest.param([(b"transfer-encoding", b"gzip")], id="another coding"),
        pytest.param([(b"content-length", b"3x")], id="no number"),
        pytest.param([(b"x", b"1\r\ny: 2")], id="a value that ends its line"),
        pytest.param([(b"x y", b"1")], id="a name that is none"),
    ],
)
def test_a_request_that_could_be_read_in_two_ways_is_not_sent(headers):
    """RFC 9112 6.3 and 5."""
    with pytest.raises(httpx.LocalProtocolError):
        build_outgoing_request(request("POST", *headers, stream=httpx.ByteStream(b"abc")))
