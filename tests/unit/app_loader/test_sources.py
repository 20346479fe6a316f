"""The files a process has imported the app from, and what changed since."""

from __future__ import annotations

import importlib
import os
import sys
import time

import pytest

from overgrow.app_loader.sources import ImportedSources


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A module that was imported from a folder, long after it was written."""
    file = tmp_path / "shop_of_sources.py"
    file.write_text("")
    os.utime(file, (1_000, 1_000))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.import_module("shop_of_sources")
    yield file
    del sys.modules["shop_of_sources"]


def test_an_app_whose_files_are_as_they_were_is_not_stale(shop):
    sources = ImportedSources(shop.parent, time.time())

    assert ((shop,), None) == (sources.paths, sources.describe_change())


def test_a_file_that_was_written_since_is_named_with_both_times(shop):
    sources = ImportedSources(shop.parent, time.time())
    shop.write_text("x = 1")
    os.utime(shop, (2_000, 2_000))

    told = sources.describe_change()

    assert told.startswith("the workers imported the app at ")
    assert "shop_of_sources.py changed at 1970-01-01 " in told


def test_a_file_that_is_gone_is_named(shop):
    sources = ImportedSources(shop.parent, time.time())
    shop.unlink()

    assert sources.describe_change().endswith("shop_of_sources.py is gone")


def test_a_file_that_changed_during_its_import_may_be_half_of_what_runs(shop):
    began_s = time.time() - 1
    os.utime(shop)

    assert shop == ImportedSources(shop.parent, began_s).find_changed().path


def test_files_of_other_folders_and_of_the_front_door_do_not_count(shop, tmp_path):
    assert () == ImportedSources(tmp_path / "elsewhere", time.time()).paths
    root = shop.parent / "overgrow"
    assert () == ImportedSources(root, time.time()).paths
