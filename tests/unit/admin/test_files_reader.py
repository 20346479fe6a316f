"""What open pages read of the files on disk, every few seconds."""

import threading

import pytest

from overgrow.admin import alerts
from overgrow.admin.alerts import FilesReader, revision_on_disk
from tests.unit.admin.admin_view import View


@pytest.fixture
def view(tmp_path):
    (tmp_path / "routes.yaml").write_text("version: 1\n")
    return View(tmp_path, None, config=tmp_path / "routes.yaml")


def test_a_changed_table_is_seen_at_once(view):
    reader = FilesReader(view)
    before = reader.read().revision
    view.config.write_text("version: 1 # more\n")

    assert before != reader.read().revision == revision_on_disk(view)


def test_an_unchanged_table_is_read_once(view, monkeypatch):
    reader = FilesReader(view)
    found = reader.read()
    monkeypatch.setattr(alerts, "read_table_file", None)

    assert reader.read() == found


def test_a_table_that_is_gone_has_no_revision_and_is_found_again(view):
    reader = FilesReader(view)
    found, data = reader.read(), view.config.read_bytes()
    view.config.unlink()
    assert reader.read().revision is None
    view.config.write_bytes(data)

    assert reader.read().revision == found.revision


def test_a_table_that_hangs_does_not_hide_the_kill_file(view, monkeypatch):
    (view.state / "kill").touch()
    released = threading.Event()
    monkeypatch.setattr(alerts, "read_table_file", lambda _: released.wait(30))
    monkeypatch.setattr(alerts, "LOOK_S", 0.1)
    found = FilesReader(view).read()
    released.set()

    assert (found.killed_since is not None, found.revision) == (True, None)
