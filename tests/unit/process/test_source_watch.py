"""When a reload is due while developing."""

from __future__ import annotations

import os
import time

import pytest

from overgrow.process.source_watch import SourceWatch


@pytest.fixture
def shop(tmp_path):
    """A source file from long before the app was imported."""
    file = tmp_path / "shop.py"
    file.write_text("")
    os.utime(file, (1_000, 1_000))
    return file


@pytest.fixture
def watch(shop):
    watch = SourceWatch(shop.parent, time.time())
    assert [None, None] == [watch.find_change("a:b"), watch.find_change("a:b")]
    return watch


def save(path, at_s):
    path.write_text("")
    os.utime(path, (at_s, at_s))


def test_a_saved_file_is_due_once_two_looks_agree(shop, watch):
    save(shop, 2_000)

    assert [None, "shop.py", None] == [watch.find_change("a:b") for _ in range(3)]


def test_a_file_that_is_still_being_written_is_waited_for(shop, watch):
    found = []
    for at_s in (2_000, 3_000, 4_000):
        save(shop, at_s)
        found.append(watch.find_change("a:b"))

    assert [None, None, None, "shop.py"] == [*found, watch.find_change("a:b")]


def test_a_new_file_and_one_that_is_gone_are_changes(shop, watch):
    save(shop.with_name("views.py"), 2_000)
    shop.unlink()

    assert [None, "shop.py and 1 more"] == [watch.find_change("a:b") for _ in range(2)]


def test_what_was_tried_is_not_tried_again(shop, watch):
    save(shop, 2_000)
    tried = [watch.find_change("a:b") for _ in range(6)]

    assert ["shop.py"] == [each for each in tried if each]


def test_a_file_saved_while_the_app_was_imported_is_due(shop):
    began_s = time.time() - 60
    save(shop, time.time())
    watch = SourceWatch(shop.parent, began_s)

    assert [None, "shop.py"] == [watch.find_change("a:b") for _ in range(2)]


def test_another_app_in_the_table_is_a_change(watch):
    assert [None, "app: c:d", None] == [watch.find_change("c:d") for _ in range(3)]
