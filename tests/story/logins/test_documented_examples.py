"""The examples of docs/sharing-a-login.md, each run: the original framework behind the front door, and a moved page.

`/me` is answered by legacy, `/account` by the Flask app; both must say the same. The examples are taken from the page
word for word, but for places that differ on each machine, and `cache: false`, so that no test waits for it.
"""

from __future__ import annotations

import re
import subprocess
from contextlib import ExitStack
from pathlib import Path

import jwt
import pytest

from tests.logins.running import SECRET, Visitor
from tests.programs import needed
from tests.story.front import ROOT, eventually, running_front
from tests.story.logins.conftest import SITES

PAGE = (ROOT / "docs" / "sharing-a-login.md").read_text("utf-8")
HEADINGS = {
    "django": "Django",
    "django-cookies": "Django",
    "flask": "Flask",
    "php": "PHP",
    "express-sql": "Express",
    "express-redis": "Express",
}
SEEDED = "a-secret-that-is-shown-nowhere"


def example_under(heading):
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert found, heading
    return found[1].replace("  from:", "  cache: false\n  from:")


def user(number, name, *roles):
    return {"id": str(number), "name": name, "roles": list(roles)}


def front_of(kind, login, folder, **changes):
    """A front door over a running site, by the example of the page."""
    table = example_under(HEADINGS[kind])
    changes["/var/lib/php/sessions"] = str(login.site.folder / "sessions")
    for written, instead in changes.items():
        table = table.replace(written, instead)
    return running_front(
        table,
        folder,
        login.site.port,
        data=folder / "data",
        OVERGROW_APP="tests.logins.account_app:create_app",
        LEGACY_SECRET=login.secrets[0].decode(),
        LEGACY_FORMER_SECRET=SEEDED,
        LEGACY_DB=login.users_store or login.store or "",
        LEGACY_SESSIONS=login.store or "",
    )


@pytest.fixture(scope="module")
def open_front(open_login, tmp_path_factory):
    """A running site and the front door over it; each is started once."""
    fronts = {}
    with ExitStack() as stack:

        def opened(kind):
            login = open_login(kind)
            if kind not in fronts:
                folder = tmp_path_factory.mktemp(f"front-{kind}")
                fronts[kind] = stack.enter_context(front_of(kind, login, folder))
            return login, fronts[kind]

        yield opened


@pytest.fixture(params=HEADINGS)
def world(request, open_front):
    return open_front(request.param)


def account(visitor):
    answer = visitor.get("/account")
    return answer.json() if answer.status == 200 else answer.status


def test_a_login_through_the_front_door_is_known_on_both_sides(world):
    _, front = world
    visitor, stranger = Visitor(front.port), Visitor(front.port)

    visitor.log_in("bob")
    inside = (visitor.me(), account(visitor), account(stranger))
    visitor.post("/logout")

    assert (user(2, "bob"), user(2, "bob"), 401) == inside
    assert (None, 401) == (visitor.me(), account(visitor))


def test_a_login_on_legacy_itself_is_known_behind_the_front_door(world):
    login, front = world
    visitor = login.visitor("ann")
    behind = Visitor(front.port)
    behind.cookies = visitor.cookies

    inside = account(behind)
    visitor.post("/logout")

    assert (user(1, "ann"), 401) == (inside, account(behind))


def test_a_disabled_user_and_a_new_role_are_known_at_once(world):
    login, front = world
    visitor, administrator = Visitor(front.port), login.visitor()
    visitor.log_in("hal")

    administrator.post("/change", user="hal", grant="editor")
    granted = account(visitor)
    administrator.post("/change", user="hal", active="0", revoke="editor")
    disabled = account(visitor)
    administrator.post("/change", user="hal")

    assert (user(8, "hal", "editor"), 401) == (granted, disabled)
    assert user(8, "hal") == account(visitor)


def test_no_secret_and_no_session_is_shown_anywhere(world):
    login, front = world
    visitor = Visitor(front.port)
    visitor.log_in("ann")
    account(visitor)
    visitor.cookies = {name: value[:-2] + "xx" for name, value in visitor.cookies.items()}
    account(visitor)

    pages = [
        front.get(path, admin=True)[2].decode()
        for path in ("/", "/readyz", "/metrics", "/api/status")
    ]
    commands = [front.overgrow(*words).stdout for words in (["config"], ["status"], ["routes"])]
    shown = "\n".join([*pages, *commands, (front.config.parent / "serve.log").read_text()])

    hidden = [SEEDED, login.secrets[0].decode(), visitor.cookies[login.source.cookie][:-2]]
    assert [] == [each for each in hidden if each in shown]


def test_the_documented_token_is_known_behind_the_front_door(tmp_path):
    table, secret = example_under("JSON Web Tokens"), SECRET * 3
    given = {"OVERGROW_APP": "tests.logins.account_app:create_app", "LEGACY_SECRET": secret}
    claims = {"sub": "7", "name": "Ann", "roles": ["staff"], "iss": "shop", "aud": "web"}
    with running_front(table, tmp_path, 1, data=tmp_path / "data", **given) as front:
        found = [
            front.get("/account", headers={"Authorization": f"Bearer {token}"})[0]
            for token in (
                jwt.encode({**claims, "exp": 4_000_000_000}, secret),
                jwt.encode({**claims, "exp": 4_000_000_000}, secret + "x"),
                jwt.encode({**claims, "exp": 1}, secret),
            )
        ]

    assert [200, 401, 401] == found


def test_the_header_of_a_trusted_proxy_is_known_behind_the_front_door(tmp_path):
    table = example_under("A header of an authenticating proxy")
    given = {"OVERGROW_APP": "tests.logins.account_app:create_app"}
    with running_front(table, tmp_path, 1, data=tmp_path / "data", **given) as front:
        headers = {"X-Forwarded-User": "ann"}
        trusted = front.get("/account", headers=headers)[0]
        beside = tmp_path / "beside.yaml"
        beside.write_text(table.replace("127.0.0.1/32", "192.0.2.1/32"))
        beside.rename(front.config)
        eventually(lambda: front.get("/account", headers=headers)[0] == 401)

    assert trusted == 200


@pytest.mark.parametrize("snippet", re.findall(r"```php\n(.*?)```", PAGE, re.DOTALL))
def test_the_documented_php_is_php(tmp_path, snippet):
    file = tmp_path / "snippet.php"
    file.write_text("<?php\n" + snippet)

    found = subprocess.run(
        [needed("php", "php-cli"), "-l", str(file)], capture_output=True, check=False
    )

    assert (0, b"No syntax errors") == (found.returncode, found.stdout.strip()[:16])


def test_every_framework_of_the_page_has_a_site():
    assert set(SITES) - {"django-cached"} <= set(HEADINGS)
    assert Path(ROOT, "docs", "sharing-a-login.md").exists()


def test_requests_go_to_legacy_while_the_users_cannot_be_looked_up(open_front):
    login, front = open_front("flask")
    visitor = Visitor(front.port)
    visitor.log_in("ann")
    database, aside = login.site.folder / "flask.db", login.site.folder / "aside.db"

    database.rename(aside)
    try:
        away = decision_of(visitor.get("/account"))
        note = eventually(lambda: identity_notes(front))[0]
    finally:
        aside.replace(database)
    eventually(lambda: visitor.get("/account").status == 200)

    assert {"side=legacy", "reason=identity"} <= away
    assert "the database does not answer" in note
    eventually(lambda: not identity_notes(front))


def identity_notes(front):
    return [note for note in front.readyz().get("notes", ()) if note.startswith("identity by")]


def decision_of(answer):
    headers = {name.lower(): value for name, value in answer.headers}
    return set(headers["x-overgrow"].split("; "))
