"""Migrations: the versions lead to the tables, on both databases, and newer stores are left alone."""

from __future__ import annotations

import concurrent.futures
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import inspect, select, text

from overgrow.store import engine as engine_module
from overgrow.store.engine import engine_of, open_engine
from overgrow.store.migrations.ours import include_name
from overgrow.store.row_builder import part_from_row
from overgrow.store.schema import (
    HEAD,
    MIGRATIONS,
    alembic_config,
    has_current_version,
    migrate,
    version_of,
)
from overgrow.store.tables import PREFIX, VERSION_TABLE, group_part, metadata


def test_the_versions_lead_to_the_tables(engine):
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )

        assert compare_metadata(context, metadata) == []


def test_the_version_known_is_the_last_there_is():
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == HEAD


def test_a_store_is_of_no_version_before_and_current_after(url):
    engine = engine_of(url)
    with engine.begin() as connection:
        before = version_of(connection)
        migrate(connection)
        after = has_current_version(connection)
    engine.dispose()

    assert (before, after) == (None, True)


def test_migrating_again_changes_nothing(engine):
    with engine.begin() as connection:
        migrate(connection)

        assert has_current_version(connection)


def test_workers_that_start_together_make_one_store(url):
    failures = []

    def start():
        try:
            open_engine(url).dispose()
        except Exception as error:  # noqa: BLE001 - any failure is one
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_a_worker_waits_while_another_makes_the_store_for_long(postgres_url, monkeypatch):
    monkeypatch.setattr(engine_module, "LOCK_TIMEOUT_MS", 50)
    making = engine_of(postgres_url)
    with making.begin() as connection, ThreadPoolExecutor(1) as pool:
        migrate(connection)
        waiting = pool.submit(open_engine, postgres_url)
        concurrent.futures.wait([waiting], timeout=0.5)  # ten times a lock's limit
        gave_up = waiting.done()
        connection.commit()
        waiting.result(60).dispose()
    making.dispose()

    assert not gave_up


def test_a_migration_waits_for_tables_no_longer_than_other_work(postgres_url):
    engine = engine_of(postgres_url)
    with engine.begin() as connection:
        before = connection.execute(text("SHOW lock_timeout")).scalar()
        migrate(connection)
        after = connection.execute(text("SHOW lock_timeout")).scalar()
    engine.dispose()

    assert ("5s", "5s") == (before, after)


def test_a_newer_store_is_left_alone(engine, url):
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))

    with pytest.raises(CommandError, match="9999"):
        open_engine(url)


def test_every_table_of_ours_has_the_prefix(engine):
    names = inspect(engine).get_table_names()

    assert [name for name in names if not name.startswith(PREFIX)] == []


@pytest.mark.parametrize(
    ("name", "kind", "ours"),
    [
        (f"{PREFIX}flip", "table", True),
        ("customers", "table", False),
        (None, "schema", True),
        ("name", "column", True),
    ],
)
def test_tables_of_others_are_not_looked_at(name, kind, ours):
    assert include_name(name, kind, {}) is ours


def test_distances_that_a_comparison_would_not_take_are_forgotten(url):
    engine = engine_of(url)
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0001")
        for kind, types in (("numbers", ("int", "float")), ("mixed", ("int", "str"))):
            connection.execute(text(OLD_PART), {"kind": kind, "one": types[0], "other": types[1]})
        migrate(connection)
        rows = connection.execute(select(group_part).order_by(group_part.c.kind)).all()
    engine.dispose()

    parts = [part_from_row(row) for row in rows]
    assert [(part.kind, part.gap, part.gap_s, part.alike, part.place) for part in parts] == [
        ("mixed", None, None, False, ""),
        ("numbers", 2.0, None, False, ""),
    ]


OLD_PART = """
    INSERT INTO overgrow_group_part
      (route, control, key, kind, path, control_type, candidate_type, rule, severity, gap, gap_s)
    VALUES ('orders', 'legacy', 'k', :kind, '$.a', :one, :other, '', 1, 2.0, 3.0)
"""
