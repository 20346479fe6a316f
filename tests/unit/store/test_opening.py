"""Where the store is, and what is said when it cannot be used."""

from __future__ import annotations

import sqlite3
import sys

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from overgrow.store.engine import (
    StoreError,
    _hold_file_lock,
    engine_of,
    inode_of,
    is_damaged_file_error,
    open_engine,
    replace_damaged,
    store_url,
)
from tests.locking import who_does_not_wait


def test_the_store_is_a_file_in_the_state_folder_by_default(tmp_path):
    assert store_url(tmp_path, None).database == str(tmp_path / "store.sqlite3")


@pytest.mark.parametrize(
    ("asked", "driver"),
    [
        ("postgresql://ana:hunter2@db/evidence", "postgresql+psycopg"),
        ("postgres://db/evidence", "postgresql+psycopg"),
        ("postgresql+psycopg2://db/evidence", "postgresql+psycopg"),
        ("sqlite:////var/lib/evidence.sqlite3", "sqlite"),
    ],
)
def test_the_store_is_where_the_setting_says(tmp_path, asked, driver):
    assert store_url(tmp_path, asked).drivername == driver


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param("evidence", id="no URL"),
        pytest.param("mysql://ana:hunter2@db/evidence", id="another database"),
        pytest.param("mysql://db/evidence?password=hunter2", id="a password as a parameter"),
        pytest.param("sqlite://", id="a database in memory"),
        pytest.param("sqlite:///:memory:", id="a database in memory, by name"),
        pytest.param("nonsense://x:hunter2:z@@", id="nonsense"),
    ],
)
def test_a_setting_of_no_use_is_told_with_the_fix_and_without_the_password(tmp_path, asked):
    with pytest.raises(StoreError, match="Write postgresql://USER:PASSWORD@HOST/NAME") as caught:
        store_url(tmp_path, asked)

    assert "hunter2" not in str(caught.value)


def test_without_the_driver_the_command_that_installs_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(StoreError, match=r"pip install 'overgrow\[postgres\]'") as caught:
        engine_of(store_url(tmp_path, "postgresql://ana:hunter2@db/evidence"))

    assert "hunter2" not in str(caught.value)


def test_a_sqlite_store_lets_readers_read_while_it_is_written(tmp_path):
    engine = open_engine(store_url(tmp_path / "made", None))
    with engine.connect() as connection:
        mode, busy_ms = (
            connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "busy_timeout")
        )
    engine.dispose()

    assert (mode, busy_ms) == ("wal", 2_000)


def test_only_the_owner_can_read_the_file(tmp_path):
    open_engine(store_url(tmp_path, None)).dispose()

    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == {"store.sqlite3": 0o600, "store.sqlite3.lock": 0o600}


def test_a_file_another_worker_has_mended_is_not_set_aside_again(tmp_path):
    file = tmp_path / "store.sqlite3"
    file.write_bytes(b"sound")

    replace_damaged(file, inode_of(file) + 1)

    assert file.read_bytes() == b"sound"


def test_only_errors_of_the_file_itself_are_damage():
    damaged = sqlite3.DatabaseError("malformed")
    damaged.sqlite_errorcode = 11
    locked = sqlite3.OperationalError("locked")
    locked.sqlite_errorcode = 5

    found = [
        is_damaged_file_error(DatabaseError("", {}, damaged)),
        is_damaged_file_error(DatabaseError("", {}, locked)),
        is_damaged_file_error(OSError()),
    ]

    assert found == [True, False, False]


def test_an_error_at_opening_that_is_no_damage_is_passed_on(tmp_path):
    (tmp_path / "store.sqlite3").mkdir()

    with pytest.raises(DatabaseError):
        open_engine(store_url(tmp_path, None))


def test_workers_that_start_together_make_or_mend_a_store_one_at_a_time(tmp_path):
    file = tmp_path / "store.sqlite3"
    works = {"opening": lambda: open_engine(store_url(tmp_path, None)).dispose()}

    assert who_does_not_wait(_hold_file_lock(file), works) == []
