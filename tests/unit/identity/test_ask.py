"""The reader `ask`: what legacy's answers mean, and which requests ask the same."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overgrow.identity.ask import AskReader, UserAnswer, outcome_of_answer
from overgrow.identity.reader import Lookup, LookupFailed, Materials, StoreAway
from overgrow.routing.facts import head_of
from overgrow.routing.identity import Identity, IdentitySource, Refusal

SOURCE = IdentitySource("ask", ask="/whoami")
NOBODY = Refusal("anonymous")


def answer(said, status=200, kind="application/json; charset=utf-8"):
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return UserAnswer(status, kind, body)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"id": "7"}, ("7", None, ())),
        ({"id": 7, "name": "Ann", "roles": ["staff", 3]}, ("7", "Ann", ("staff",))),
        ({"id": "é", "name": None, "roles": "staff"}, ("é", None, ())),
    ],
)
def test_an_answer_with_an_id_is_somebody(said, expected):
    found = outcome_of_answer(answer(said), SOURCE)

    assert expected == (found.id, found.name, found.roles)


@pytest.mark.parametrize(
    "said",
    [
        answer(b"", 401),
        answer(b"", 403),
        answer(b"", 302),
        answer({"id": None}),
    ],
)
def test_a_refusal_or_a_redirect_is_nobody(said):
    assert outcome_of_answer(said, SOURCE) == NOBODY


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer(b"<html>", kind="text/html"), id="a page"),
        pytest.param(answer({"id": "7"}, kind="text/plain"), id="not said to be JSON"),
        pytest.param(answer({"user": "7"}), id="no id"),
        pytest.param(answer({"id": True}), id="a truth value"),
        pytest.param(answer({"id": ""}), id="an empty id"),
        pytest.param(answer({"id": "a\nb"}), id="a line end in the id"),
        pytest.param(answer({"id": {"$ne": 1}}), id="an object as id"),
        pytest.param(answer({"id": "x" * 1025}), id="a long id"),
        pytest.param(answer([7]), id="a list"),
        pytest.param(answer(b'{"id": 7'), id="broken JSON"),
        pytest.param(answer(b"[" * 60_000), id="deep JSON"),
        pytest.param(answer(b'{"id": "7"}' + b" " * 70_000), id="a large answer"),
        pytest.param(answer({"id": "7"}, 404), id="not found"),
        pytest.param(answer({"id": "7"}, 500), id="an error"),
        pytest.param(answer({"id": "7"}, 201), id="another success"),
        pytest.param(UserAnswer(0, why="legacy-connect"), id="no answer"),
    ],
)
def test_any_other_answer_says_nothing_about_the_user(said):
    with pytest.raises(StoreAway, match="GET /whoami on legacy"):
        outcome_of_answer(said, SOURCE)


@pytest.mark.parametrize(
    ("said", "is_alone"),
    [
        (UserAnswer(0, why="legacy-connect"), False),
        (UserAnswer(0, why="legacy-timeout"), False),
        (UserAnswer(0, why="legacy-closed"), True),
        (UserAnswer(0, why="legacy-protocol"), True),
        (answer(b"", 500), True),
        (answer(b"[]"), True),
    ],
)
def test_only_a_legacy_that_is_not_reached_is_away_for_all(said, is_alone):
    with pytest.raises(StoreAway) as caught:
        outcome_of_answer(said, SOURCE)

    assert isinstance(caught.value, LookupFailed) is is_alone


@given(st.binary(max_size=200), st.sampled_from([200, 204, 302, 401, 500]))
def test_no_answer_raises_anything_else(body, status):
    try:
        found = outcome_of_answer(UserAnswer(status, "application/json", body), SOURCE)
    except StoreAway:
        return
    assert isinstance(found, Identity | Refusal)


def test_the_keys_of_the_answer_can_be_named():
    source = IdentitySource("ask", ask="/me", id_key="sub", name_key="nick", roles_key="groups")
    found = outcome_of_answer(answer({"sub": "7", "nick": "Ann", "groups": ["a"]}), source)

    assert ("7", "Ann", ("a",)) == (found.id, found.name, found.roles)


def request(*headers, method="POST"):
    return head_of(method, b"/cart?x=1", list(headers), peer="::1", scheme="https")


def key_of(source, *headers):
    return AskReader(Materials(source), None).read(request(*headers), 0.0)


def test_a_request_without_credentials_asks_nothing():
    assert key_of(SOURCE, (b"accept", b"*/*")) == Refusal("no-value")


def test_requests_with_the_same_named_cookie_ask_the_same():
    source = IdentitySource("ask", ask="/whoami", cookie="sid")
    first = key_of(source, (b"cookie", b"sid=1; page=a"))
    same = key_of(source, (b"cookie", b"page=b; sid=1"))
    other = key_of(source, (b"cookie", b"page=b; sid=2"))

    assert first.key == same.key != other.key


def test_an_authorization_beside_the_named_cookie_is_a_question_of_its_own():
    source = IdentitySource("ask", ask="/whoami", cookie="sid")
    cookie = (b"cookie", b"sid=1")
    keys = {
        key_of(source, *headers).key
        for headers in (
            [cookie],
            [cookie, (b"authorization", b"Basic x")],
            [cookie, (b"authorization", b"Basic y")],
        )
    }

    assert len(keys) == 3


@pytest.mark.parametrize(
    ("signed", "forged"),
    [
        pytest.param(b"sid=YWRtaW4; sid.sig=good", b"sid=YWRtaW4", id="a missing signature"),
        pytest.param(b"sid=YWRtaW4; sid.sig=good", b"sid=YWRtaW4; sid.sig=x", id="a wrong one"),
        pytest.param(b"sid=chunks-2; sidC1=a", b"sid=chunks-2; sidC1=b", id="a cookie in parts"),
    ],
)
def test_cookies_that_belong_to_the_named_one_tell_users_apart(signed, forged):
    source = IdentitySource("ask", ask="/whoami", cookie="sid")

    assert key_of(source, (b"cookie", signed)).key != key_of(source, (b"cookie", forged)).key


def test_an_answer_for_one_host_is_not_used_for_another():
    source = IdentitySource("ask", ask="/whoami", cookie="sid")
    found = [key_of(source, (b"host", host), (b"cookie", b"sid=1")) for host in (b"a", b"b", b"A")]

    assert [each.key == found[0].key for each in found] == [True, False, True]
    assert len({each.session_key for each in found}) == 1


def test_an_empty_named_cookie_asks_nothing():
    source = IdentitySource("ask", ask="/whoami", cookie="sid")

    assert key_of(source, (b"cookie", b"sid=; remember=1")) == Refusal("no-value")


def test_without_a_named_cookie_every_credential_tells_users_apart():
    keys = {
        key_of(SOURCE, *headers).key
        for headers in (
            [(b"cookie", b"a=1")],
            [(b"cookie", b"a=2")],
            [(b"cookie", b"a=1"), (b"authorization", b"Basic x")],
        )
    }

    assert len(keys) == 3


def test_a_key_does_not_contain_the_session():
    assert b"hunter2" not in key_of(SOURCE, (b"cookie", b"sid=hunter2")).key


def test_the_question_is_a_get_of_the_path_with_the_users_cookies():
    asked = []

    async def ask(head):
        asked.append(head)
        return answer({"id": "7"})

    reader = AskReader(Materials(SOURCE), ask)
    headers = [
        (b"host", b"shop.example"),
        (b"cookie", b"sid=1"),
        (b"content-length", b"3"),
        (b"content-type", b"text/plain"),
        (b"if-none-match", b'"x"'),
        (b"range", b"bytes=0-1"),
        (b"accept", b"text/html"),
    ]
    lookup = reader.read(request(*headers), 0.0)
    assert isinstance(lookup, Lookup)
    asyncio.run(reader.fetch(lookup, 0.0))

    assert (asked[0].method, asked[0].target) == ("GET", b"/whoami")
    assert asked[0].headers == [
        (b"host", b"shop.example"),
        (b"cookie", b"sid=1"),
        (b"accept", b"application/json"),
    ]
