"""What a copy says, and what may be told of a request."""

from __future__ import annotations

import io
from contextvars import copy_context

import pytest

from overgrow.forwarding.headers import headers_for_legacy
from overgrow.routing.identity import Identity
from overgrow.routing.model import Decision, Route
from overgrow.shadow.sampling import build_copy_head, shape_of_request
from overgrow.shadow.sessions import SessionCookieNames
from overgrow.shadow.write_attempts import mark_shadow_requests, watch_for_writes
from overgrow.wsgi.environ import build_environ
from tests.unit.shadow.mirrored import HEAD


def decided(route, identity=None):
    return Decision(route, "migrated", "target", "r", identity=identity)


def test_a_copy_keeps_target_order_and_duplicates():
    headers = [(b"host", b"h"), (b"x", b"1"), (b"accept", b"*/*"), (b"x", b"2")]

    copy = build_copy_head(HEAD._replace(headers=headers, target=b"/%2f?a&a"))

    assert copy.target == b"/%2f?a&a"
    assert copy.headers == [*headers, (b"x-overgrow-shadow", b"1")]


def test_a_condition_that_guards_a_write_stays():
    headers = [(b"if-match", b'"1"'), (b"if-none-match", b"*")]

    assert build_copy_head(HEAD._replace(headers=headers)).headers[:2] == headers


@pytest.mark.parametrize(
    ("route", "template"),
    [
        (Route("r", path="/orders/<int:id>"), "/orders/<int:id>"),
        (Route("r", prefix="/admin"), "/admin"),
    ],
    ids=["path", "prefix"],
)
def test_what_was_asked_is_told_without_values(route, template):
    head = HEAD._replace(target=b"/orders/7?q=secret&page=2", headers=[])

    asked = shape_of_request(head, decided(route), SessionCookieNames())

    assert (asked.method, asked.template, asked.query_keys) == ("GET", template, ("page", "q"))
    assert "secret" not in repr(asked)


def test_the_app_of_the_copies_sees_the_mark():
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        return [b"body"]

    assert mark_shadow_requests(app)({"REQUEST_METHOD": "GET"}, None) == [b"body"]
    assert seen == {
        "REQUEST_METHOD": "GET",
        "HTTP_X_OVERGROW_SHADOW": "1",
        "overgrow.shadow": True,
    }


def test_a_copy_of_an_unsafe_request_is_not_read_only():
    seen = {}

    def serve():
        watch_for_writes()
        mark_shadow_requests(lambda environ, _: seen.update(environ) or [])(
            {"REQUEST_METHOD": "POST"}, None
        )

    copy_context().run(serve)

    assert seen == {"REQUEST_METHOD": "POST", "HTTP_X_OVERGROW_SHADOW": "1"}


def test_both_sides_are_told_the_user_that_a_trusted_peer_names():
    """A copy without it would be a stranger's, and every answer to it a difference."""
    head = HEAD._replace(headers=[(b"x-forwarded-user", b"alice")], peer_trusted=True)

    copy = build_copy_head(head)

    to_migrated = build_environ(copy, io.BytesIO(), multiprocess=True)
    to_old = headers_for_legacy(copy, via="x", upstream_host=None, has_body=False)
    assert to_migrated["HTTP_X_FORWARDED_USER"] == "alice"
    assert (b"x-forwarded-user", b"alice") in to_old


@pytest.mark.parametrize("trusted", [True, False])
def test_whom_a_trusted_peer_names_is_signed_in(trusted):
    named = [(b"x-forwarded-user", b"alice")]

    head = HEAD._replace(headers=named, peer_trusted=trusted)

    asked = shape_of_request(head, decided(Route("r", path="/x")), SessionCookieNames())

    assert asked.signed_in is trusted


def test_where_a_table_names_a_session_no_trusted_peer_signs_anybody_in():
    head = HEAD._replace(headers=[(b"x-forwarded-user", b"ada")], peer_trusted=True)
    named = Route("r", path="/a", shadow_session="shop")

    assert shape_of_request(head, decided(Route("r", path="/a")), SessionCookieNames()).signed_in
    assert not shape_of_request(head, decided(named), SessionCookieNames()).signed_in


@pytest.mark.parametrize("user", [Identity("ann"), None])
def test_where_the_table_has_identity_it_alone_says_who_is_signed_in(user):
    head = HEAD._replace(headers=[(b"cookie", b"sessionid=expired"), (b"authorization", b"x")])
    route = Route("r", path="/a", target="migrated", asks_identity=True)

    asked = shape_of_request(head, decided(route, user), SessionCookieNames())

    assert asked.signed_in is (user is not None)
