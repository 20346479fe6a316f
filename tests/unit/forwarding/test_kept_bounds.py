"""What is kept of headers is bounded by size, not by number alone: others choose the texts."""

import pytest

from overgrow.forwarding import headers
from overgrow.forwarding.client import response_parser as parsing
from overgrow.routing.facts import Head
from overgrow.server.response_head import _layouts, head_layout_of

LONG = "h" * 300 + ".example"
MANY = [(b"x-%d" % number, b"") for number in range(65)]


def head(host="shop.example", fields=()):
    return Head("GET", b"/", list(fields), "192.0.2.7", "192.0.2.7", "http", host)


def headers_for_legacy(asked):
    return headers.headers_for_legacy(
        asked, via="f", upstream_host=None, has_body=False, forwarded=True
    )


@pytest.mark.parametrize(
    ("kept", "use"),
    [
        (headers._own_claims, lambda: headers_for_legacy(head(LONG))),
        (headers._forwarded_elements, lambda: headers_for_legacy(head(LONG))),
        (
            headers._connection_options,
            lambda: headers_for_legacy(head(fields=[(b"connection", b"a" * 300)])),
        ),
        (
            headers._header_plans,
            lambda: headers.headers_for_client(MANY, via="f", head=head(), private=None),
        ),
        (
            parsing._framing_fields,
            lambda: parsing.parse_head(
                b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b:%b\r\n" % pair for pair in MANY) + b"\r\n",
                "GET",
                frozenset(),
            ),
        ),
        (_layouts, lambda: head_layout_of(tuple(name for name, _ in MANY))),
    ],
    ids=["claims", "forwarded", "connection", "plan", "framing", "shape"],
)
def test_what_is_long_is_worked_out_and_forgotten(kept, use):
    kept.clear()
    use()

    assert len(kept) == 0


def test_a_long_host_is_claimed_like_any_other():
    assert (b"x-forwarded-host", LONG.encode()) in headers_for_legacy(head(LONG))
