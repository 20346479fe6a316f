"""The mount hands over who is signed in, and nobody whom the server in front or a client names."""

from __future__ import annotations

import pytest

from overgrow.routing.identity import Identity
from overgrow.routing.model import TrustedProxies

ANN = Identity("ann", "Ann", ("staff",), {}, "flask")


def seen_by_app(mounted, environ, call, path, user=None, **keys):
    """Return (the environ that the app got, the headers of the response, the front door)."""
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        start_response("200 OK", [])
        return [b""]

    mount, door = mounted(app)
    door.user, door._trusted = user, TrustedProxies(names=frozenset({b"remote-user"}))
    given = environ(path)
    given.update(keys)
    with call(mount, given) as caller:
        caller.body()
    return seen, caller.headers, door


def test_a_known_user_is_in_the_environ_as_on_our_own_server(mounted, environ, call):
    seen, headers, door = seen_by_app(mounted, environ, call, "/m/user", ANN)

    assert seen["REMOTE_USER"] == "ann"
    assert seen["overgrow.identity"] == {
        "id": "ann",
        "name": "Ann",
        "roles": ["staff"],
        "claims": {},
        "source": "flask",
    }
    assert ("set-cookie", "sid=renewed") in headers
    assert door.recorded[0].decision.identity == ANN


@pytest.mark.parametrize("path", ["/m/user", "/m"])
def test_whom_the_server_in_front_names_is_nobody_here(mounted, environ, call, path):
    forged = {"REMOTE_USER": "eve", "overgrow.identity": {"id": "eve"}}
    seen, _, _ = seen_by_app(mounted, environ, call, path, **forged)

    assert seen.keys().isdisjoint(forged)


def test_a_header_that_only_a_proxy_may_send_is_removed(mounted, environ, call):
    sent = {"HTTP_REMOTE_USER": "eve", "HTTP_X_PAGE": "1"}
    seen, _, _ = seen_by_app(mounted, environ, call, "/m", **sent)

    assert (seen.get("HTTP_REMOTE_USER"), seen["HTTP_X_PAGE"]) == (None, "1")


def test_calls_of_legacy_are_recorded_with_the_request(mounted, environ, call):
    seen, _, door = seen_by_app(mounted, environ, call, "/m/calls")

    assert (seen["overgrow.legacy"].count, door.recorded[0].decision.legacy_calls) == (2, 2)
