"""A folder of session files: what may become a path, the lock, and what is gone."""

from __future__ import annotations

import fcntl
import os

import pytest

from overgrow.identity.reader import LookupFailed, StoreAway
from overgrow.identity.stores import folder
from overgrow.identity.stores.folder import FolderStore

ID = "adqv7tem640ga2taglvebrdubg"


def keep(path, text="user_id|i:7;"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_session_file_is_read_with_its_time(tmp_path):
    os.utime(keep(tmp_path / f"sess_{ID}"), (5, 1_800_000_000.5))

    found = FolderStore(str(tmp_path)).read(ID, 100)

    assert (b"user_id|i:7;", 1_800_000_000.5) == (found.data, found.used_at_s)


def test_no_more_of_a_file_is_read_than_asked_for(tmp_path):
    keep(tmp_path / f"sess_{ID}")

    assert b"user" == FolderStore(str(tmp_path)).read(ID, 4).data


@pytest.mark.parametrize(("prefix", "inside"), [("2;", "a/d"), ("1;0600;", "a"), ("", ".")])
def test_a_save_path_of_php_names_the_folders_of_a_session(tmp_path, prefix, inside):
    keep(tmp_path / inside / f"sess_{ID}")

    assert FolderStore(f"{prefix}{tmp_path}").read(ID, 100) is not None


@pytest.mark.parametrize(
    "session_id", ["../outside", "a/../../outside", "..", "", "/etc/passwd", "a\0b", "é" * 22]
)
def test_an_id_with_marks_of_a_path_reaches_no_file(tmp_path, monkeypatch, session_id):
    keep(tmp_path / "outside")
    store = FolderStore(str(tmp_path / "sessions"))
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("a file was opened"))
    monkeypatch.setattr(os, "utime", lambda *_: pytest.fail("a file was touched"))

    store.renew(session_id)

    assert store.read(session_id, 100) is None


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / f"sess_{ID}").symlink_to(keep(tmp_path / "elsewhere"))

    with pytest.raises(StoreAway):
        FolderStore(str(tmp_path)).read(ID, 100)


def test_a_pipe_in_the_place_of_a_session_is_nobody(tmp_path):
    os.mkfifo(tmp_path / f"sess_{ID}")

    assert FolderStore(str(tmp_path)).read(ID, 100) is None


def test_a_file_that_legacy_holds_for_long_is_not_to_be_had(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "LOCK_WAIT_S", 0.05)
    with keep(tmp_path / f"sess_{ID}").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        with pytest.raises(LookupFailed, match="legacy holds the lock"):
            FolderStore(str(tmp_path)).read(ID, 100)


def test_a_session_that_ends_while_its_lock_is_awaited_is_unknown(tmp_path, monkeypatch):
    path = keep(tmp_path / f"sess_{ID}")
    monkeypatch.setattr(folder, "_lock_shared", lambda _: path.unlink())

    assert FolderStore(str(tmp_path)).read(ID, 100) is None


def test_a_missing_session_is_unknown_and_a_missing_folder_is_away(tmp_path):
    missing = FolderStore(str(tmp_path)).read(ID, 100)

    with pytest.raises(StoreAway, match="folder of the sessions is not there"):
        FolderStore(str(tmp_path / "gone")).read(ID, 100)
    assert missing is None


def test_a_renewed_session_counts_as_used_now_and_keeps_its_content(tmp_path):
    os.utime(keep(tmp_path / f"sess_{ID}"), (5, 5))
    store = FolderStore(str(tmp_path))

    store.renew(ID)

    found = store.read(ID, 100)
    assert (b"user_id|i:7;", True) == (found.data, found.used_at_s > 1_700_000_000)


def test_a_session_that_is_gone_is_not_made_by_renewing(tmp_path):
    FolderStore(str(tmp_path)).renew(ID)

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["", "relative", "tcp://host", "9999;/path"])
def test_a_store_that_is_no_folder_says_so(where):
    with pytest.raises(StoreAway, match="not the path of a folder"):
        FolderStore(where)
