"""Clicks on migrated keep a login on legacy alive, if `touch` renews it, for each framework; else it ends by time.

Lifetimes are seconds, by the frameworks' own settings. A machine that stalls for as long as a lifetime ends a session
by itself; such an attempt says nothing and is made again.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from tests.logins.running import START_S, Visitor
from tests.story.logins.conftest import KINDS
from tests.story.logins.test_documented_examples import front_of

LIFETIME_S = 3
LONGEST_GAP_S = 2.0
ATTEMPTS = 20
ANN = {"id": "1", "name": "ann", "roles": []}


def work_on_migrated(logins):
    """Touch one visitor of each site for three lifetimes; None when the machine stalled meanwhile."""
    visitors = [login.visitor("ann", permanent="1") for login in logins]
    last = begun = time.monotonic()
    while time.monotonic() < begun + 3 * LIFETIME_S:
        for login, visitor in zip(logins, visitors, strict=True):
            login.touch(visitor)
        if time.monotonic() - last > LONGEST_GAP_S:
            return None
        last = time.monotonic()
        time.sleep(0.3)
    found = [
        (login.seen(visitor), visitor.me()) for login, visitor in zip(logins, visitors, strict=True)
    ]
    return found if time.monotonic() - last < LONGEST_GAP_S else None


@pytest.fixture(scope="module")
def logins(open_login):
    settings = {"LIFETIME_S": str(LIFETIME_S), "SLIDING": "1"}
    return [open_login(kind, **settings).with_lifetime(float(LIFETIME_S)) for kind in KINDS]


def test_clicks_on_migrated_keep_the_login_on_legacy(logins):
    attempts = (work_on_migrated(logins) for _ in range(ATTEMPTS))

    found = next(each for each in attempts if each is not None)

    assert dict.fromkeys(KINDS, (ANN, ANN)) == dict(zip(KINDS, found, strict=True))


def test_a_login_without_touch_ends_on_both_sides(logins):
    visitors = [login.visitor("ann", permanent="1") for login in logins]
    kept = [dict(visitor.cookies) for visitor in visitors]

    ends = [
        wait_for_an_end(login, visitor) for login, visitor in zip(logins, visitors, strict=True)
    ]
    for visitor, cookies in zip(visitors, kept, strict=True):
        visitor.cookies = cookies
    for login in logins:
        login.visitor().get("/me")  # PHP ends old sessions when another one begins
    on_legacy = [visitor.me() for visitor in visitors]

    assert (set(ends) <= {"expired", "unknown-session"}, on_legacy) == (True, [None] * len(KINDS))


def wait_for_an_end(login, visitor):
    deadline = time.monotonic() + START_S
    while (seen := login.seen(visitor)) == ANN:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return seen


def test_a_session_that_has_ended_is_not_revived(logins):
    visitors = [login.visitor("ann", permanent="1") for login in logins]
    kept = [dict(visitor.cookies) for visitor in visitors]
    for visitor in visitors:
        visitor.post("/logout")

    for login, visitor, cookies in zip(logins, visitors, kept, strict=True):
        visitor.cookies = dict(cookies)
        login.touch(visitor)
    found = [
        visitor.me()
        for kind, visitor in zip(KINDS, visitors, strict=True)
        if kind not in {"django-cookies", "flask"}  # legacy itself takes a copy of such a cookie
    ]

    assert found == [None] * 5


BEHIND = ("django", "flask", "express-redis", "php")


@pytest.fixture(scope="module")
def fronts(logins, tmp_path_factory):
    """A front door over each site, which renews a session once a second."""
    lasts = {
        "touch: 1m": "",
        "cache: false": f"cache: false\n  touch: 1s\n  lifetime: {LIFETIME_S}s",
    }
    without_lifetime = {**lasts, "cache: false": "cache: false\n  touch: 1s"}
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                front_of(
                    kind,
                    login,
                    tmp_path_factory.mktemp(f"sliding-{kind}"),
                    **(without_lifetime if kind == "express-redis" else lasts),
                )
            )
            for kind, login in zip(KINDS, logins, strict=True)
            if kind in BEHIND
        ]


def test_clicks_behind_the_front_door_keep_the_login_on_legacy(fronts):
    attempts = (click_on_migrated(fronts) for _ in range(ATTEMPTS))

    found = next(each for each in attempts if each is not None)

    assert [(ANN, ANN)] * len(BEHIND) == found


def click_on_migrated(fronts):
    """Click on migrated for three lifetimes, then once on legacy; None when the machine stalled meanwhile."""
    visitors = [Visitor(front.port) for front in fronts]
    for visitor in visitors:
        visitor.log_in("ann", permanent="1")
        visitor.me()  # legacy shows how it renews its cookie
    last = begun = time.monotonic()
    while time.monotonic() < begun + 3 * LIFETIME_S:
        answers = [visitor.get("/account").json() for visitor in visitors]
        if time.monotonic() - last > LONGEST_GAP_S:
            return None
        last = time.monotonic()
        time.sleep(0.2)
    found = [(answer, visitor.me()) for answer, visitor in zip(answers, visitors, strict=True)]
    return found if time.monotonic() - last < LONGEST_GAP_S else None
