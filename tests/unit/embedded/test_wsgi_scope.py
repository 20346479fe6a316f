"""From an environ to an ASGI scope, and what of it the app may see."""

from __future__ import annotations

import pytest

from overgrow.embedded.relay import MountExtension
from overgrow.embedded.scope import build_scope, peer_of, sanitize_environ, target_of
from overgrow.routing.facts import Head

HEAD = Head("GET", b"/", [], "10.0.0.1", "203.0.113.5", "https", "shop.test")


@pytest.mark.parametrize(
    ("keys", "target"),
    [
        pytest.param({"RAW_URI": "/a%2Fb?c"}, b"/a%2Fb?c", id="as gunicorn tells it"),
        pytest.param({"REQUEST_URI": "/a%2Fb?c"}, b"/a%2Fb?c", id="as uWSGI tells it"),
        pytest.param({"RAW_URI": "/\xc3\xa9"}, b"/\xc3\xa9", id="latin-1 is bytes"),
        pytest.param({"PATH_INFO": "/a b", "QUERY_STRING": "c=%20"}, b"/a%20b?c=%20", id="rebuilt"),
        pytest.param({"PATH_INFO": "/\xff"}, b"/%FF", id="rebuilt from bytes that are no UTF-8"),
        pytest.param({"SCRIPT_NAME": "/x", "PATH_INFO": "/y"}, b"/x/y", id="rebuilt with its root"),
        pytest.param({"PATH_INFO": "/%"}, b"/%25", id="a percent sign of the path is escaped"),
        pytest.param({}, b"/", id="nothing told"),
    ],
)
def test_the_target_is_the_clients_own_where_the_server_tells_it(keys, target):
    assert target_of(keys) == target


@pytest.mark.parametrize(
    ("keys", "peer"),
    [
        ({"REMOTE_ADDR": "192.0.2.9"}, "192.0.2.9"),
        ({"REMOTE_ADDR": ""}, "unix"),
        ({"REMOTE_ADDR": "<local>"}, "unix"),
        ({}, ""),
    ],
)
def test_a_peer_is_an_address_or_a_unix_socket_or_unknown(keys, peer):
    assert peer_of(keys) == peer


def test_the_scope_says_what_the_environ_says(environ):
    keys = environ("/caf%C3%A9?q=1", method="POST", CONTENT_TYPE="text/plain", HTTP_X_A="1,2")
    extension = MountExtension(b"/caf%C3%A9?q=1", "192.0.2.9")

    scope = build_scope(keys, extension)

    assert (scope["type"], scope["method"], scope["scheme"]) == ("http", "POST", "http")
    assert (scope["raw_path"], scope["query_string"]) == (b"/caf%C3%A9", b"q=1")
    assert scope["path"] == "/caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    assert scope["headers"] == [
        (b"host", b"shop.test"),
        (b"x-a", b"1,2"),
        (b"content-type", b"text/plain"),
    ]
    assert (scope["client"], scope["server"]) == (("192.0.2.9", 4711), ("127.0.0.1", 8000))
    assert (scope["http_version"], scope["overgrow"]) == ("1.1", extension)


def test_a_unix_socket_is_no_client_address(environ):
    scope = build_scope(environ(REMOTE_ADDR=""), MountExtension(b"/", "unix"))

    assert scope["client"] is None


def test_the_app_sees_what_the_front_door_found(environ):
    keys = environ()

    sanitize_environ(keys, HEAD)

    assert (keys["REMOTE_ADDR"], keys["wsgi.url_scheme"]) == ("203.0.113.5", "https")
    assert keys["HTTP_HOST"] == "shop.test"


def test_the_app_keeps_the_address_of_a_peer_that_speaks_for_itself(environ):
    keys = environ(REMOTE_ADDR="<local>")

    sanitize_environ(keys, HEAD._replace(peer="unix", client="unix"))

    assert keys["REMOTE_ADDR"] == "<local>"


def test_the_app_does_not_see_what_a_client_could_forge(environ):
    forged = dict.fromkeys(
        ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_OVERGROW_OVERRIDE", "HTTP_PROXY"),
        "forged",
    )
    keys = environ(**forged)

    sanitize_environ(keys, HEAD)

    assert "forged" not in keys.values()


@pytest.mark.parametrize(
    ("cookies", "seen"),
    [
        ("a=1; overgrow_override=v1.x; b=2", "a=1; b=2"),
        ("overgrow_override=v1.x", None),
        ("overgrow_admin=s; a=1", "a=1"),
        ("a=overgrow_override", "a=overgrow_override"),
        ("a=1", "a=1"),
    ],
)
def test_the_app_does_not_see_the_override_cookie(environ, cookies, seen):
    keys = environ(HTTP_COOKIE=cookies)

    sanitize_environ(keys, HEAD)

    assert keys.get("HTTP_COOKIE") == seen


@pytest.mark.parametrize("trusted", [True, False])
def test_the_app_sees_what_a_trusted_peer_says_of_the_user(environ, trusted):
    keys = environ(
        HTTP_X_FORWARDED_USER="alice", HTTP_X_FORWARDED_PORT="1", HTTP_X_FORWARDED="x",
        HTTP_X_OVERGROW="forged", HTTP_X_FORWARDEDNESS="0",
    )  # fmt: skip

    sanitize_environ(keys, HEAD._replace(peer_trusted=trusted))

    shown = {key for key in keys if key.startswith("HTTP_X_")} - {"HTTP_X_FORWARDEDNESS"}
    assert shown == ({"HTTP_X_FORWARDED_USER", "HTTP_X_FORWARDED"} if trusted else set())


def test_the_app_sees_an_ipv4_client_of_an_ipv6_listener_as_such(environ):
    keys = environ(REMOTE_ADDR="::ffff:192.0.2.9")

    sanitize_environ(keys, HEAD._replace(peer="192.0.2.9", client="192.0.2.9"))

    assert keys["REMOTE_ADDR"] == "192.0.2.9"


def test_the_app_does_not_see_a_header_that_names_another_path(environ):
    keys = environ(HTTP_X_ORIGINAL_URL="/admin", HTTP_X_REWRITE_URL="/admin")

    sanitize_environ(keys, HEAD)

    assert "/admin" not in keys.values()
