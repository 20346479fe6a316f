"""A SQL store: rows by name, times of every spelling, and errors that show no address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy

from overgrow.identity.reader import StoreAway
from overgrow.identity.stores.sql import MAX_ROWS, SqlStore, instant_s

AT = 1_800_000_000.0


@pytest.fixture
def store(tmp_path):
    (tmp_path / "legacy.db").touch()
    store = SqlStore(f"sqlite:///{tmp_path}/legacy.db")
    store.execute("CREATE TABLE s (id TEXT, Data TEXT)", {})
    store.execute("INSERT INTO s VALUES (:id, 'x')", {"id": "a'b"})
    yield store
    store.close()


def test_rows_come_by_names_in_lower_case(store):
    assert [{"id": "a'b", "data": "x"}] == store.rows(
        "SELECT id, Data FROM s WHERE id = :id", {"id": "a'b"}
    )


def test_an_id_cannot_become_part_of_a_query(store):
    assert [] == store.rows("SELECT id FROM s WHERE id = :id", {"id": "' OR 1=1 --"})


def test_a_store_opens_again_after_it_was_closed(store):
    store.close()

    assert [{"n": 1}] == store.rows("SELECT count(*) AS n FROM s", {})


def test_no_more_rows_come_than_the_bound(store):
    numbers = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n LIMIT 9999"
    )

    assert MAX_ROWS == len(store.rows(numbers, {}))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite:////nowhere/of/all/legacy.db", "the database does not answer"),
        ("postgresql://ann:hush@127.0.0.1:1/shop", "the database does not answer"),
        ("nosuch://ann:hush@host/shop", "the driver of the database is not installed"),
        ("hush", "the store is not a URL that SQLAlchemy understands"),
    ],
)
def test_a_store_that_is_away_says_so_and_shows_no_address(url, sentence):
    with pytest.raises(StoreAway) as caught:
        SqlStore(url).rows("SELECT 1", {})

    assert (sentence, None) == (str(caught.value), caught.value.__cause__)


def test_a_query_that_fails_says_which_kind_of_error_it_was(store):
    with pytest.raises(StoreAway, match=r"refuses the query \(OperationalError\)"):
        store.rows("SELECT hush FROM nowhere", {})


@pytest.mark.parametrize(
    "value",
    [
        AT,
        int(AT),
        int(AT) * 1000,
        datetime.fromtimestamp(AT, UTC),
        datetime.fromtimestamp(AT, UTC).replace(tzinfo=None),
        datetime.fromtimestamp(AT, timezone(timedelta(hours=5))),
        "2027-01-15 08:00:00",
        "2027-01-15 08:00:00.000000",
        "2027-01-15T08:00:00Z",
        "2027-01-15 09:00:00+01:00",
    ],
)
def test_a_time_is_read_from_every_spelling(value):
    assert instant_s(value) == AT


@pytest.mark.parametrize("value", [None, True, "soon", "", b"2027", [AT]])
def test_what_is_no_time_is_none(value):
    assert instant_s(value) is None


def test_a_connection_that_the_database_closed_is_made_again(store, monkeypatch):
    store.rows("SELECT 1", {})
    failures = iter(
        [sqlalchemy.exc.OperationalError("", {}, Exception(), connection_invalidated=True)]
    )
    execute = sqlalchemy.Connection.execute

    def execute_after_failures(connection, *given):
        failure = next(failures, None)
        if failure is not None:
            raise failure
        return execute(connection, *given)

    monkeypatch.setattr(sqlalchemy.Connection, "execute", execute_after_failures)

    assert [{"n": 1}] == store.rows("SELECT count(*) AS n FROM s", {})


def test_a_sqlite_file_that_is_missing_is_away_and_is_not_made(tmp_path):
    store = SqlStore(f"sqlite:///{tmp_path}/missing.db")

    with pytest.raises(StoreAway, match="does not answer"):
        store.rows("SELECT 1", {})
    assert [] == list(tmp_path.iterdir())


def test_a_sqlite_file_that_was_replaced_is_read(store, tmp_path):
    store.rows("SELECT id FROM s", {})
    (tmp_path / "new #?.db").touch()
    new = SqlStore(f"sqlite:///{tmp_path}/new %23%3F.db")
    new.execute("CREATE TABLE s AS SELECT 'new' AS id", {})

    (tmp_path / "new #?.db").replace(tmp_path / "legacy.db")

    assert [{"id": "new"}] == store.rows("SELECT id FROM s", {})
