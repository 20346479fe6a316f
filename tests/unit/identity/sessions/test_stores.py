"""Sessions in databases by stated queries, and what a reader does with rows that are not as they should be."""

from __future__ import annotations

import asyncio
import base64

import pytest

from overgrow.identity.reader import Lookup, Materials, StoreAway
from overgrow.identity.readers import BUILDERS
from overgrow.identity.sessions.users import UserTable
from overgrow.identity.stores.sql import SqlStore
from overgrow.routing.facts import Head
from overgrow.routing.identity import Identity, IdentitySource, Refusal
from tests.unit.identity.formats import test_django, test_express, test_flask, test_php

NOW = 1_800_000_000.0
PHP_ID = "adqv7tem640ga2taglvebrdubg"


@pytest.fixture
def database(tmp_path):
    (tmp_path / "legacy.db").touch()
    store = SqlStore(f"sqlite:///{tmp_path}/legacy.db")
    yield store
    store.close()


def head(cookie, value):
    line = cookie.encode() + b"=" + (value if isinstance(value, bytes) else value.encode())
    peer = {"peer": None, "client": None, "scheme": "http", "host": "shop"}
    return Head("GET", b"/", [(b"cookie", line)], **peer)


def outcome_of(reader, value, now_s=NOW):
    """What a reader says of the value of its cookie: at once, or by its store."""

    async def ask():
        found = reader.read(head(reader.source.cookie, value), now_s)
        try:
            return await reader.fetch(found, now_s) if isinstance(found, Lookup) else found
        finally:
            await reader.aclose()

    return asyncio.run(ask())


def touch(reader, value, now_s=NOW):
    async def renew():
        try:
            return await reader.touch(head(reader.source.cookie, value), now_s)
        finally:
            await reader.aclose()

    return asyncio.run(renew())


def php(database, **fields):
    queries = {"sessions_query": "SELECT data, expires FROM s WHERE id = :id", **fields}
    source = IdentitySource("php", "PHPSESSID", **queries)
    return BUILDERS["php"](Materials(source, (), database._url))


def keep(database, **columns):
    names = ", ".join(columns)
    database.execute("DROP TABLE IF EXISTS s", {})
    database.execute(f"CREATE TABLE s ({names})", {})
    values = ", ".join(f":{name}" for name in columns)
    database.execute(f"INSERT INTO s VALUES ({values})", columns)


@pytest.mark.parametrize("data", [test_php.GENUINE["php"], "user_id|i:7;"])
def test_a_php_session_in_a_database_is_read_by_the_stated_query(database, data):
    keep(database, id=PHP_ID, data=data, expires=NOW + 1)

    assert outcome_of(php(database), PHP_ID) == Identity("7", source="php")


@pytest.mark.parametrize(
    ("columns", "query", "expected"),
    [
        ({"expires": NOW}, "data, expires", Refusal("expired")),
        ({"expires": "soon"}, "data, expires", Refusal("expired")),
        ({"expires": None}, "data, expires", Refusal("expired")),
        ({"used": NOW - 10}, "data, used", Identity("7", source="php")),
        ({"used": NOW - 99}, "data, used", Refusal("expired")),
        ({"used": None}, "data, used", Refusal("expired")),
        ({}, "data", Identity("7", source="php")),
        ({}, "7 AS data", Refusal("malformed")),
        ({}, "'x|' AS data", Refusal("malformed")),
    ],
)
def test_a_row_says_until_when_a_php_session_lives(database, columns, query, expected):
    keep(database, id=PHP_ID, data="user_id|i:7;", **columns)
    reader = php(database, sessions_query=f"SELECT {query} FROM s WHERE id = :id", lifetime_s=60.0)

    assert expected == outcome_of(reader, PHP_ID)


def test_a_php_session_in_a_database_is_renewed_as_stated(database):
    keep(database, id=PHP_ID, data="user_id|i:7;", expires=NOW + 1)
    renewal = "UPDATE s SET expires = :expires WHERE id = :id"

    touch(php(database, renewal_query=renewal, lifetime_s=60.0), PHP_ID)
    touch(php(database, lifetime_s=600.0), PHP_ID)  # no statement: nothing is written

    assert [{"expires": NOW + 60}] == database.rows("SELECT expires FROM s", {})


@pytest.mark.parametrize("value", ["../../etc/passwd0123456789", "x", PHP_ID + "/..", "é" * 26])
def test_a_value_that_is_no_id_asks_no_store(value):
    source = IdentitySource("php", "PHPSESSID")
    reader = BUILDERS["php"](Materials(source, (), "/nowhere/at/all"))

    assert outcome_of(reader, value) == Refusal("malformed")


def test_a_database_of_php_without_a_query_is_not_to_be_had():
    with pytest.raises(StoreAway, match="sessions: SELECT"):
        BUILDERS["php"](Materials(IdentitySource("php", "PHPSESSID"), (), "sqlite://"))


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("known", {"sid": test_express.ID, "expired": (NOW + 1) * 1000, "sess": "DATA"}),
        ("stated", {"id": test_express.ID, "expires": NOW + 1, "data": b"DATA"}),
    ],
)
def test_an_express_session_is_read_and_renewed_in_either_table(database, table, columns):
    data = '{"cookie":{"originalMaxAge":60000},"userId":7}'
    filled = {
        name: data if value == "DATA" else data.encode() if value == b"DATA" else value
        for name, value in columns.items()
    }
    keep(database, **filled)
    stated = {}
    if table == "known":
        database.execute("ALTER TABLE s RENAME TO sessions", {})
    else:
        stated["sessions_query"] = "SELECT data, expires FROM s WHERE id = :id"
        stated["renewal_query"] = "UPDATE s SET expires = :expires WHERE id = :id"
    source = IdentitySource("express", "connect.sid", id_key="userId", **stated)
    materials = Materials(source, test_express.SECRETS, database._url)

    found = outcome_of(BUILDERS["express"](materials), test_express.COOKIE)
    touch(BUILDERS["express"](materials), test_express.COOKIE)
    later = outcome_of(BUILDERS["express"](materials), test_express.COOKIE, NOW + 59)
    at_the_end = outcome_of(BUILDERS["express"](materials), test_express.COOKIE, NOW + 60)

    assert Identity("7", source="express") == found == later
    assert at_the_end == Refusal("expired")


def test_a_forged_express_cookie_asks_no_store():
    source = IdentitySource("express", "connect.sid")
    reader = BUILDERS["express"](Materials(source, (b"other",), "nosuch://"))

    assert outcome_of(reader, test_express.COOKIE) == Refusal("bad-signature")


def django(database=None, **fields):
    source = IdentitySource("django", "sessionid", **fields)
    url = database._url if database is not None else None
    return BUILDERS["django"](Materials(source, test_django.SECRETS, url))


@pytest.mark.parametrize(
    ("data", "expires", "expected"),
    [
        (test_django.ROW.decode(), "2999-01-01 00:00:00", Identity("1", source="django")),
        (test_django.ROW.decode(), "2001-01-01 00:00:00", Refusal("expired")),
        (test_django.ROW.decode()[:-1] + "x", "2999-01-01", Refusal("bad-signature")),
        (7, "2999-01-01", Refusal("malformed")),
        ("", "2999-01-01", Refusal("malformed")),
    ],
)
def test_a_django_row_is_read_by_the_stated_query(database, data, expires, expected):
    keep(database, id="a" * 32, data=data, expires=expires)
    users = "SELECT 'x' AS other WHERE :id = 1"
    query = "SELECT data, expires FROM s WHERE id = :id"

    assert expected == outcome_of(
        django(database, sessions_query=query, users_query=users), "a" * 32
    )


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        (test_django.PASSWORD, Identity("1", "ann", source="django")),
        ("md5$x$new", Refusal("revoked")),
    ],
)
def test_a_changed_password_ends_a_django_session(database, password, expected):
    query = f"SELECT 'ann' AS name, '{password}' AS password, 1 AS active WHERE :id = 1"
    reader = django(database, users_query=query)

    assert expected == outcome_of(reader, test_django.COOKIE, test_django.SIGNED_AT)


def test_a_key_of_a_django_row_without_a_database_is_malformed():
    assert outcome_of(django(), "a" * 32) == Refusal("malformed")


def test_of_two_cookies_the_one_counts_that_the_framework_takes():
    twice = test_django.PLAIN + b"; sessionid=" + test_django.COOKIE[:-1]
    flask = BUILDERS["flask"](Materials(IdentitySource("flask", "session"), test_flask.SECRETS))

    found = (
        outcome_of(django(), twice, test_django.SIGNED_AT),
        outcome_of(flask, test_flask.COOKIE + b"; session=x", test_flask.SIGNED_AT),
    )

    assert (Refusal("bad-signature"), Identity("1", source="flask")) == found


def test_a_plain_signed_cookie_of_django_is_never_made_a_session():
    source = IdentitySource("django", "who")

    def reader():
        return BUILDERS["django"](Materials(source, test_django.SECRETS))

    known = outcome_of(reader(), test_django.BEFORE, test_django.SIGNED_AT)
    renewed = touch(reader(), test_django.BEFORE, test_django.SIGNED_AT)

    assert (Identity("1", source="django"), None) == (known, renewed)


def test_a_django_session_that_ends_at_a_date_is_not_renewed(database):
    payload = base64.urlsafe_b64encode(
        b'{"_auth_user_id":"1","_session_expiry":"2999-01-01T00:00:00"}'
    ).rstrip(b"=")
    salt, secret = test_django.django.COOKIE_SALT, test_django.SECRETS[0]

    fixed = test_django.django.sign(payload, salt, secret, NOW)

    assert (None, True) == (touch(django(), fixed), touch(django(), test_django.PLAIN) is not None)


def test_a_session_of_flask_that_is_not_permanent_is_not_renewed():
    reader = BUILDERS["flask"](Materials(IdentitySource("flask", "session"), test_flask.SECRETS))

    assert touch(reader, test_flask.PACKED, test_flask.SIGNED_AT) is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT 'Ann' AS name, 'a, b,,a' AS roles", ("Ann", ("a", "b"))),
        ("SELECT 'Ann' AS Name, 'a' AS Role UNION SELECT 'Ann', 'b'", ("Ann", ("a", "b"))),
        ("SELECT 1 AS active, NULL AS role", (None, ())),
        ("SELECT 'x\ny' AS name", (None, ())),
    ],
)
def test_the_columns_of_a_user_are_known_by_their_names(database, query, expected):
    user = UserTable(database, f"{query} WHERE :id IS NOT NULL").find("7")

    assert expected == (user.name, user.roles)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT 1 AS active WHERE :id = 8", "revoked"),
        ("SELECT 0 AS active WHERE :id = 7", "disabled"),
        ("SELECT NULL AS active WHERE :id = 7", "disabled"),
    ],
)
def test_an_account_that_is_gone_or_disabled_is_refused(database, query, reason):
    assert UserTable(database, query).find("7") == Refusal(reason)


@pytest.mark.parametrize(
    ("user_id", "given"), [("7", "integer"), ("007", "text"), ("x", "text"), ("9" * 30, "text")]
)
def test_an_id_is_a_number_for_the_database_only_where_it_is_one(database, user_id, given):
    assert given == UserTable(database, "SELECT typeof(:id) AS name").find(user_id).name


def test_a_reader_without_its_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "overgrow.identity.stores.redis", None)
    source = IdentitySource("express", "connect.sid")

    with pytest.raises(StoreAway, match=r"pip install overgrow\[identity\]"):
        BUILDERS["express"](Materials(source, (b"s",), "redis://127.0.0.1:1/0"))


def test_a_redis_that_is_away_shows_no_address():
    source = IdentitySource("express", "connect.sid")
    reader = BUILDERS["express"](
        Materials(source, test_express.SECRETS, "redis://:hush@127.0.0.1:1/0")
    )

    with pytest.raises(StoreAway) as caught:
        outcome_of(reader, test_express.COOKIE)
    assert "Redis does not answer" == str(caught.value)


@pytest.mark.parametrize(
    ("reader", "store"),
    [("express", "redis://127.0.0.1:1"), ("php", "/sessions"), ("django", None)],
)
def test_a_query_of_users_without_a_database_is_not_to_be_had(reader, store):
    source = IdentitySource(reader, "c", users_query="SELECT name FROM users WHERE id = :id")

    with pytest.raises(StoreAway, match=r"write users\.store"):
        BUILDERS[reader](Materials(source, (b"s",), store))


class FakeRedis:
    """Keys with what is left of their life in milliseconds; -1 for no end."""

    def __init__(self, **left):
        self.left, self.asked = left, []

    def get(self, key):
        self.asked.append(key)
        return b'{"cookie":{},"passport":{"user":7}}'

    def pttl(self, key):
        return self.left.get(key, -2)

    def pexpire(self, key, milliseconds):
        self.left[key] = milliseconds


@pytest.mark.parametrize(
    ("left", "renewed"),
    [
        pytest.param(5, 60_000, id="as the owner renews it"),
        pytest.param(90_000, 90_000, id="never shorter"),
        pytest.param(-1, -1, id="a key without an end gets none"),
        pytest.param(-2, -2, id="a key that is gone stays gone"),
    ],
)
def test_a_key_of_redis_is_renewed_but_never_given_an_end(monkeypatch, left, renewed):
    key = f"shop:sess:{test_express.ID}"
    redis = FakeRedis(**{key: left})
    source = IdentitySource(
        "express", "connect.sid", sessions_query="shop:sess::id", lifetime_s=60.0
    )
    reader = BUILDERS["express"](Materials(source, test_express.SECRETS, "redis://127.0.0.1:1"))
    monkeypatch.setattr(reader._sessions.store, "_open", lambda: redis)

    asyncio.run(reader.touch(head("connect.sid", test_express.COOKIE), NOW))

    assert (renewed, {key}) == (redis.left[key], set(redis.asked))
