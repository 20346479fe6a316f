"""The source files below a folder, and bytecode that is older than they are."""

from __future__ import annotations

import os
import py_compile
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from overgrow.app_loader.source_tree import remove_stale_bytecode, scan_sources


def test_sources_are_found_whether_they_were_imported_or_not(tmp_path):
    (tmp_path / "shop" / "templates").mkdir(parents=True)
    wanted = [
        tmp_path / "app.py",
        tmp_path / "shop" / "views.py",
        tmp_path / "shop/templates/a.html",
    ]
    for path in wanted:
        path.write_text("")

    assert {str(path) for path in wanted} == set(scan_sources(tmp_path))


@pytest.mark.parametrize("name", [".venv", "venv", "node_modules", "__pycache__", ".git"])
def test_what_others_wrote_is_not_looked_at(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "a.py").write_text("")

    assert {} == scan_sources(tmp_path)


def test_an_edit_changes_what_is_found(tmp_path):
    (tmp_path / "a.py").write_text("")
    before = scan_sources(tmp_path)
    os.utime(tmp_path / "a.py", (1, 1))

    assert before != scan_sources(tmp_path)


@pytest.mark.parametrize(("age_s", "is_kept"), [(10, True), (-0.1, False)])
def test_bytecode_older_than_its_source_is_removed(tmp_path, age_s, is_kept):
    source = tmp_path / "a.py"
    source.write_text("x = 1")
    py_compile.compile(str(source))
    cached = Path(cache_from_source(str(source)))
    made_s = cached.stat().st_mtime
    os.utime(source, (made_s - age_s, made_s - age_s))
    remove_stale_bytecode(tmp_path)

    assert is_kept == cached.exists()
