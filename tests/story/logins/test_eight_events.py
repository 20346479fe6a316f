"""What happens to a login on legacy is seen by the reader at the next look, for each framework.

The original framework runs; every event is done by its own code. `seen` is what the front door would tell the Flask
app (without its cache), `me` is what the site itself says: they must agree.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from itertools import count

import pytest

from tests.logins.running import USERS
from tests.story.logins.conftest import KINDS

IN_THE_COOKIE = {"django-cookies", "flask"}  # a copy outlives the logout on legacy itself
DJANGO = ("django", "django-cookies", "django-cached")


def user(name, *roles):
    return {"id": str(USERS_IN_ORDER[name]), "name": name, "roles": list(roles)}


USERS_IN_ORDER = dict(zip(USERS, count(1), strict=False))


@pytest.fixture(params=KINDS)
def login(request, open_login):
    return open_login(request.param)


@pytest.fixture
def kind(request):
    return request.node.callspec.params["login"]


def test_a_login_is_known_until_the_logout(login, kind):
    visitor, other = login.visitor("ann"), login.visitor("bob")
    copy = visitor.cookies[login.source.cookie]

    before = (visitor.me(), login.seen(visitor))
    visitor.post("/logout")

    assert ((user("ann"), user("ann")), None) == (before, visitor.me())
    assert user("bob") == other.me() == login.seen(other)
    expected = [user("ann")] if kind in IN_THE_COOKIE else ["unknown-session", "anonymous"]
    assert login.seen_value(copy) in expected


def test_a_visitor_who_is_not_signed_in_is_nobody(login):
    visitor = login.visitor()
    visitor.get("/visit")

    assert (None, "anonymous") == (visitor.me(), login.seen(visitor))


def test_a_changed_password_ends_what_legacy_ends(login, kind):
    visitor = login.visitor("cleo", **login.password_of("cleo"))

    login.change_password("cleo")

    expected = (None, "revoked") if kind in DJANGO else (user("cleo"), user("cleo"))
    seen = login.seen(visitor)
    assert expected == (visitor.me(), seen)
    assert user("cleo") == login.seen(login.visitor("cleo", **login.password_of("cleo")))


@pytest.mark.parametrize("login", DJANGO, indirect=True)
def test_a_user_who_changes_the_own_password_stays(login):
    visitor = login.visitor("gus", **login.password_of("gus"))

    login.passwords["gus"] = secrets.token_hex(4)
    visitor.post("/own-password", password=login.passwords["gus"])

    assert user("gus") == visitor.me() == login.seen(visitor)


def test_a_disabled_user_is_refused_until_enabled_again(login):
    visitor, looking, administrator = login.visitor("dora"), login.visitor("dora"), login.visitor()

    administrator.post("/change", user="dora", active="0")
    disabled = (login.seen(visitor), looking.me())
    administrator.post("/change", user="dora")

    assert (("disabled", None), user("dora")) == (disabled, login.seen(visitor))


def test_a_granted_and_a_revoked_role_are_known(login):
    visitor, administrator = login.visitor("emil"), login.visitor()

    administrator.post("/change", user="emil", grant="editor")
    granted = (login.seen(visitor), visitor.me())
    administrator.post("/change", user="emil", revoke="editor")

    editor = user("emil", "editor")
    assert ((editor, editor), user("emil")) == (granted, login.seen(visitor))
    assert user("emil") == visitor.me()


def test_a_new_secret_keeps_logins_while_the_former_is_listed(login, kind):
    visitor = login.visitor("fay")
    former, today = (
        login.site.settings.get("SECRET", login.secrets[0].decode()),
        secrets.token_hex(),
    )

    login.site.restart(SECRET=today, FORMER_SECRETS=former)
    visitor.port = login.site.port
    login.secrets = (today.encode(), former.encode())
    both = login.seen(visitor)
    alone = replace(login, secrets=(today.encode(),)).seen(visitor)

    assert user("fay") == both == visitor.me()
    assert alone == (user("fay") if kind == "php" else "bad-signature")
