"""Whom a flip asks before it writes: the running workers, and only where more clients go to migrated."""

from __future__ import annotations

import pytest

from overgrow.table.editing.flip import MOST_ATTEMPTS
from overgrow.table.editing.transaction import locked_for_edit
from overgrow.table.reading.problems import EditRefused
from tests.unit.table.test_edit import Shop


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


class Workers:
    """Workers that take a text or refuse it, and what they were asked."""

    def __init__(self, *, refuse: bool = False, meanwhile=None) -> None:
        self.asked: list[bytes] = []
        self.refuse = refuse
        self.meanwhile = meanwhile

    def __call__(self, data: bytes) -> None:
        self.asked.append(data)
        if self.meanwhile is not None:
            self.meanwhile()
        if self.refuse:
            raise EditRefused("workers-refuse", "worker 0 would reject the table")


@pytest.mark.parametrize("to", ["migrated", "1%", "100%"])
def test_workers_are_asked_for_the_very_text_that_is_written(shop, to):
    workers = Workers()
    shop.flip("get-x", to, ask=workers)

    assert [shop.config.read_bytes()] == workers.asked


@pytest.mark.parametrize("to", ["legacy", "gone", "0%"])
def test_nobody_is_asked_where_no_more_clients_go_to_migrated(shop, to):
    shop.flip("get-x", "50%")
    workers = Workers(refuse=True)
    shop.flip("get-x", to, ask=workers)

    assert [] == workers.asked


def test_a_rollback_asks_only_towards_migrated(shop):
    workers = Workers()
    shop.flip("get-x", "migrated")
    shop.rollback(ask=workers)
    back = list(workers.asked)
    shop.flip("get-x", "migrated")
    shop.flip("get-x", "legacy")
    shop.rollback(ask=workers)

    assert ([], [shop.config.read_bytes()]) == (back, workers.asked)


def test_what_a_worker_would_reject_is_not_written(shop):
    refused = shop.refused(shop.flip, "get-x", "migrated", ask=Workers(refuse=True))

    assert "workers-refuse" == refused.code


def test_nobody_has_to_wait_while_the_workers_are_asked(shop):
    def edit_too():
        with locked_for_edit(shop.config, shop.state, {}, 0.1):
            pass

    shop.flip("get-x", "migrated", ask=Workers(meanwhile=edit_too))

    assert "migrated" in shop.text


def test_a_file_that_changed_meanwhile_is_asked_about_anew(shop):
    notes = iter(["# one\n", ""])

    def note():
        shop.config.write_text(shop.text + next(notes))

    workers = Workers(meanwhile=note)
    shop.flip("get-x", "migrated", ask=workers)

    assert 2 == len(workers.asked)
    assert shop.config.read_bytes() == workers.asked[-1]


def test_a_file_that_changes_again_and_again_is_given_up(shop):
    workers = Workers(meanwhile=lambda: shop.config.write_text(f"{shop.text}# more\n"))

    with pytest.raises(EditRefused) as caught:
        shop.flip("get-x", "migrated", ask=workers)

    assert ("changed-meanwhile", MOST_ATTEMPTS) == (caught.value.code, len(workers.asked))
