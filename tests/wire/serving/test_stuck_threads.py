"""A worker whose threads do not return, as `overgrow serve` runs it."""

from __future__ import annotations

import threading

from tests.story.front import eventually, running_front

TABLE = """\
version: 1
legacy:
  url: ${LEGACY_URL}
routes:
  - path: /slow
    target: migrated
    response_timeout: 200ms
  - path: /quick
    target: migrated
"""
APP = "tests.wire.apps.stuck_app:create_app"


def test_a_worker_whose_threads_are_stuck_is_replaced_by_one_that_serves(tmp_path):
    """docs/operations.md#metrics: more than half of them, for a while; a stuck call itself cannot be ended."""
    given = {"OVERGROW_APP": APP, "OVERGROW_THREADS": "2"}
    with running_front(TABLE, tmp_path, 1, data=tmp_path / "none", **given) as front:
        before = set(front.workers.values())
        calls = [threading.Thread(target=front.get, args=("/slow",)) for _ in range(2)]
        for call in calls:
            call.start()
        for call in calls:
            call.join()
        eventually(
            lambda: b"overgrow_local_threads_stuck 2" in front.get("/metrics", admin=True)[2]
        )
        eventually(lambda: front.workers and not before & set(front.workers.values()))

        assert (200, b"quick") == front.get("/quick")[::2]
