"""The evidence store of several worker processes on one PostgreSQL that goes away and comes back."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from overgrow.store.engine import open_engine, store_url
from overgrow.store.reader import open_reader
from overgrow.store.writer import BatchLimits, Writer
from tests.postgres import server
from tests.unit.store.made import WAIT_S, compared

ROOT = Path(__file__).resolve().parents[2]
WORKER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from overgrow.store.engine import store_url
    from overgrow.store.writer import BatchLimits, Writer
    from tests.unit.store.made import compared, mismatched

    folder = Path(sys.argv[1])
    writer = Writer(store_url(folder, sys.argv[2]), folder / "tallies", BatchLimits(batch_records=50))
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(500):
        writer.put(mismatched(f"{number % 3}" * 16, rank=f"{number:016x}"))
        writer.put(compared())
    sys.exit(not writer.close(60))
    """
)


@pytest.fixture(scope="module")
def postgres():
    with server() as running:
        yield running


def counts_of(url):
    with open_reader(url) as reader:
        (status,) = reader.shadow_status()
        return status, reader.groups()


def test_workers_that_start_and_write_together_add_up(postgres, tmp_path):
    asked = postgres.database()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), asked],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    ready = [worker.stdout.readline() for worker in workers]
    for worker in workers:
        worker.communicate("go\n", timeout=90)

    status, groups = counts_of(store_url(tmp_path, asked))

    assert (ready, [worker.returncode for worker in workers]) == (["ready\n"] * 3, [0] * 3)
    assert (status.matched, status.mismatched) == (1_500, 1_500)
    assert [group.count for group in groups] == [501, 501, 498]
    assert all(len(group.examples) == 5 for group in groups)


def test_a_server_that_restarts_costs_nothing_that_was_taken(postgres, tmp_path, caplog):
    url = store_url(tmp_path, postgres.database())
    writer = Writer(url, tmp_path / "tallies", BatchLimits(flush_s=0.02))
    writer.put(compared())
    assert writer.flush(WAIT_S)

    postgres.stop()
    for _ in range(20):
        writer.put(compared())
    waiting = writer.flush(0.3)
    postgres.start()

    assert (waiting, writer.flush(30)) == (False, True)
    assert counts_of(url)[0].matched == 21
    assert writer.close(WAIT_S)
    assert writer.counts.dropped == 0


def test_tables_of_somebody_else_in_the_same_database_stay(postgres, tmp_path):
    asked = postgres.database()
    name = asked.partition("@/")[2].partition("?")[0]
    with postgres.connection(name) as connection:
        connection.execute("CREATE TABLE customers (name text)")
        connection.execute("CREATE TABLE alembic_version (version_num text)")

    open_engine(store_url(tmp_path, asked)).dispose()

    with postgres.connection(name) as connection:
        rows = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
    others = [row[0] for row in rows if not row[0].startswith("overgrow_")]
    assert sorted(others) == ["alembic_version", "customers"]
