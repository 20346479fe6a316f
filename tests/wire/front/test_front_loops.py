"""Via, and two front doors chained onto each other (RFC 9110 7.6.3, 15.6.9 of RFC 5842)."""

from __future__ import annotations

import pytest

from tests.wire.front.ends import OK, request
from tests.wire.front.relay import relay_to


def test_two_front_doors_in_a_row_both_sign(wire, trusting):
    """RFC 9110 7.6.3: each appends its own name, both ways."""
    with wire.legacy.scripted(relay_to(trusting.port)):
        client = wire.client()
        client.send(request("GET", "/"))
        seen = trusting.legacy.answers(OK)
        shown = client.message()

    assert ["1.1 door-a", "1.1 door-b"] == seen.all("via")
    assert ["1.1 door-b", "1.1 door-a"] == shown.all("via")
    assert "127.0.0.1, 127.0.0.1" == seen["x-forwarded-for"]


def test_two_front_doors_onto_each_other_end_in_508(wire, trusting):
    """RFC 5842 7.2, RFC 9110 7.6.3: the request goes round until a name comes back twice."""
    with (
        wire.legacy.scripted(relay_to(trusting.port)),
        trusting.legacy.scripted(relay_to(wire.port)),
    ):
        client = wire.client()
        client.send(request("GET", "/"))
        shown = client.message()

    assert 508 == shown.status
    # The doors on the way back pass on no X-Overgrow-* of what is legacy to them.
    assert shown["x-overgrow-error"] is None
    assert ["1.1 door-b", "1.1 door-a"] * 2 == shown.all("via")


@pytest.mark.parametrize("via", ["1.1 door-a, 1.1 door-a", "1.1 x, 1.0 door-a (c), HTTP/2 door-a"])
def test_a_name_that_comes_back_twice_is_a_loop(wire, via):
    """RFC 9110 7.6.3: whatever the protocol version and the comment say."""
    found = wire.refused(request("GET", "/", f"Via: {via}"))

    assert (508, "loop") == (found.status, found.code)


def test_a_name_in_two_lines_is_a_loop(wire):
    """RFC 9110 5.3."""
    found = wire.refused(request("GET", "/", "Via: 1.1 door-a", "Via: 1.1 door-a"))

    assert (508, "loop") == (found.status, found.code)


def test_a_websocket_that_comes_back_twice_is_a_loop(wire):
    """RFC 9110 7.6.3: upgrades are no exception."""
    fields = ("Connection: Upgrade", "Upgrade: websocket", "Via: 1.1 door-a, 1.1 door-a")
    found = wire.refused(request("GET", "/", *fields))

    assert (508, "loop") == (found.status, found.code)


@pytest.mark.parametrize(
    "via",
    [
        pytest.param("1.1 door-a", id="once: a second front door of that name may stand in front"),
        pytest.param("1.1 other, 1.1 other", id="another name twice"),
        pytest.param("1.1 door-ab, 1.1 x-door-a, 1.1 door-a", id="names that only look alike"),
    ],
)
def test_anything_else_is_no_loop(wire, via):
    """RFC 9110 7.6.3, docs/wire.md#answers-of-the-front-door: 508 only when NAME itself comes back twice."""
    assert [via, "1.1 door-a"] == wire.seen("GET", "/", f"Via: {via}").all("via")
