"""Waits for a short time until the board shows that all workers follow a change."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from overgrow.admin.view import AdminView, Worker, living_workers
from overgrow.files import ANSWER_S, within
from overgrow.table.editing.flip import FlipResult, keeps_flip
from overgrow.table.reading.parse import revision_of
from overgrow.table.reading.table_file import read_table_file

FOLLOW_S = 3.0  # they take less than one second
LOOK_S = 0.05


class Following(NamedTuple):
    """Whether all workers follow a change, and the slots of those that do not."""

    is_confirmed: bool
    lagging: tuple[int, ...]


def wait_for_workers(
    view: AdminView, follows: Callable[[Worker], bool], limit_s: float = FOLLOW_S
) -> Following:
    """Wait until each living worker follows the change; do not wait for workers that are leaving."""
    deadline = time.monotonic() + limit_s
    while True:
        living = [each for each in living_workers(view) if not each.get("leaving")]
        late = tuple(int(each["slot"]) for each in living if not follows(each))
        if living and not late:
            return Following(is_confirmed=True, lagging=())
        if time.monotonic() >= deadline:
            return Following(is_confirmed=False, lagging=late)
        time.sleep(LOOK_S)


def wait_for_flip(view: AdminView, flipped: FlipResult) -> Following:
    """Wait until all workers run the table of a flip, or a newer one that contains it."""
    return wait_for_workers(view, lambda worker: _runs(view, worker, flipped))


def _runs(view: AdminView, worker: Worker, flipped: FlipResult) -> bool:
    revision = worker.get("revision")
    if revision == flipped.revision:
        return True
    data = within(ANSWER_S, view.config, partial(read_table_file, view.config))
    return revision == revision_of(data) and keeps_flip(data, flipped, os.environ)


def wait_for_kill(view: AdminView, *, killed: bool) -> Following:
    """Wait until all workers have noticed that a kill file was made, or removed."""
    return wait_for_workers(view, lambda worker: bool(worker.get("killed")) is killed)


def wait_for_breakers(view: AdminView, route: str) -> Following:
    """Wait until the breakers of a route are closed in all workers."""
    return wait_for_workers(
        view, lambda worker: all(each["route"] != route for each in worker.get("breakers", ()))
    )
