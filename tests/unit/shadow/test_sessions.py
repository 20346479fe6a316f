"""Who counts as signed in: by a cookie that matters, not by any."""

from __future__ import annotations

import pytest

from overgrow.exchange import Reply
from overgrow.shadow.sessions import SessionCookieNames, is_login_request
from tests.unit.shadow.mirrored import HEAD, Side, Stage, decided


def cookie(text):
    return [(b"cookie", text.encode())]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([], False, id="nothing"),
        pytest.param([(b"authorization", b"Basic x")], True, id="credentials"),
        pytest.param(cookie("sessionid=1"), True, id="of Django"),
        pytest.param(cookie("PHPSESSID=1"), True, id="of PHP"),
        pytest.param(cookie("connect.sid=1"), True, id="of Express"),
        pytest.param(cookie(".AspNetCore.Identity.Application=1"), True, id="of ASP.NET"),
        pytest.param(cookie("wordpress_logged_in_0a=1"), True, id="of WordPress"),
        pytest.param(cookie("remember_token=1"), True, id="of a login that lasts"),
        pytest.param(cookie("_ga=1; theme=dark; cookieconsent=yes"), False, id="of no account"),
        pytest.param(cookie("csrftoken=1; XSRF-TOKEN=2"), False, id="against forgery"),
        pytest.param(cookie("overgrow_id=1"), False, id="our own"),
        pytest.param(cookie("overgrow_id=1; session=2"), True, id="ours and another"),
        pytest.param(cookie("session="), False, id="an empty one"),
        pytest.param(cookie(""), False, id="none"),
    ],
)
def test_a_cookie_whose_name_reads_like_a_sessions_counts(headers, expected):
    assert SessionCookieNames().is_signed_in(headers) is expected


def test_the_cookie_that_a_table_names_counts_alone():
    sessions = SessionCookieNames()

    found = [
        sessions.is_signed_in(cookie(text), "shop") for text in ("shop=1", "sessionid=1", "shop=")
    ]

    assert found == [True, False, False]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/login", True),
        (b"/accounts/login/?next=/", True),
        (b"/wp-login.php", True),
        (b"/api/v1/sessions", True),
        (b"/sign_in", True),
        (b"/users/authenticate", True),
        (b"/blogging", False),
        (b"/orders?next=/login", False),
    ],
)
def test_a_login_is_a_post_to_a_path_that_says_so(target, expected):
    assert is_login_request(HEAD._replace(method="POST", target=target)) is expected
    assert not is_login_request(HEAD._replace(target=target))


def after_login(line, *, target=b"/login", status=302, route=None):
    """The sessions that are known after a login was answered with a cookie."""
    stage = Stage(legacy=Side([Reply(status, [(b"set-cookie", line)], b"ok")]))
    stage.play(b"u=1", method="POST", target=target, decision=decided(route=route))
    return stage.mirror.sessions


@pytest.mark.parametrize(
    ("line", "given", "expected"),
    [
        pytest.param(b"shop=1; HttpOnly", {}, True, id="no script may read it"),
        pytest.param(b"shop=1", {}, False, id="scripts may"),
        pytest.param(b"shop=; HttpOnly; Max-Age=0", {}, False, id="it is deleted"),
        pytest.param(b"shop=1; HttpOnly", {"status": 403}, False, id="a login that failed"),
        pytest.param(b"shop=1; HttpOnly", {"status": 400}, False, id="a login without a name"),
        pytest.param(b"shop=1; HttpOnly", {"target": b"/cart"}, False, id="no login"),
    ],
)
def test_a_cookie_that_a_login_sets_counts_from_then_on(line, given, expected):
    assert after_login(line, **given).is_signed_in(cookie("shop=2")) is expected


def test_a_cookie_against_forgery_is_no_session_whoever_sets_it():
    sessions = after_login(b"csrftoken=1; HttpOnly")

    assert not sessions.is_signed_in(cookie("csrftoken=2"))


def test_a_cookie_of_ours_is_no_session_whoever_answers_with_it():
    assert not after_login(b"overgrow_id=1; HttpOnly").is_signed_in(cookie("overgrow_id=2"))


def test_twenty_cookies_are_learned_and_no_more():
    sessions = SessionCookieNames()
    login = HEAD._replace(method="POST", target=b"/login")
    for number in range(21):
        sessions.learn_from_login(login, 200, [(b"set-cookie", b"shop%d=1; HttpOnly" % number)])

    assert [sessions.is_signed_in(cookie(f"shop{number}=2")) for number in (19, 20)] == [
        True,
        False,
    ]
