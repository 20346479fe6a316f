from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from overgrow.table import state_dir as module
from overgrow.table.state_dir import (
    SERVER_LOCK,
    ensure_state_dir,
    ensure_state_dir_in_time,
    lock_state_dir,
    login_name,
    recreate_state_dir,
)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def unusable(tmp_path):
    (tmp_path / "file").touch()
    return tmp_path / "file" / "state"


OTHER_SERVER = """
import fcntl, sys
with open(sys.argv[1], "w") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    print("pid 42", file=lock, flush=True)
    print(flush=True)
    input()
"""

NEXT_SERVER = """
import sys
from pathlib import Path
from overgrow.table.state_dir import StateInUse, lock_state_dir
try:
    with lock_state_dir(Path(sys.argv[1]), "pid 43"):
        print("held")
except StateInUse as error:
    print("in use by", error)
"""


def what_the_next_server_finds(folder: Path) -> str:
    command = [sys.executable, "-c", NEXT_SERVER, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def wait_for(holds) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_state_lies_beside_the_table(tmp_path):
    found = ensure_state_dir(tmp_path / "routes.yaml", None)

    assert found == tmp_path / ".overgrow"
    assert found.is_dir()


def test_the_folder_asked_for_is_made(tmp_path):
    assert ensure_state_dir(tmp_path / "routes.yaml", tmp_path / "a/b").is_dir()


def test_an_unusable_folder_gives_a_private_one_and_a_warning(
    tmp_path, unusable, temporary, caplog
):
    with caplog.at_level(logging.WARNING, logger="overgrow"):
        found = ensure_state_dir(tmp_path / "routes.yaml", unusable)

    assert found.parent == temporary
    assert found.stat().st_mode & 0o777 == 0o700
    assert "does not survive" in caplog.text


def test_every_process_finds_the_same_private_folder(tmp_path, unusable, temporary):
    config = tmp_path / "routes.yaml"

    assert ensure_state_dir(config, unusable) == ensure_state_dir(config, unusable)
    assert ensure_state_dir(config, unusable) != ensure_state_dir(tmp_path / "other.yaml", unusable)


@pytest.mark.parametrize("how", ["link", "open to others", "file"])
def test_a_folder_that_somebody_else_may_have_put_there_is_not_used(
    tmp_path, unusable, temporary, how
):
    config = tmp_path / "routes.yaml"
    first = ensure_state_dir(config, unusable)
    first.rmdir()
    if how == "link":
        (tmp_path / "trap").mkdir(mode=0o700)
        first.symlink_to(tmp_path / "trap")
    elif how == "file":
        first.touch()
    else:
        first.mkdir()
        first.chmod(0o777)

    assert ensure_state_dir(config, unusable) != first


def test_a_user_without_a_name_is_named_by_number(monkeypatch):
    def unknown():
        raise KeyError

    assert login_name()
    monkeypatch.setattr(module.getpass, "getuser", unknown)
    assert login_name() == f"uid-{os.getuid()}"


def test_a_folder_that_cannot_be_locked_is_used_with_a_warning(tmp_path, caplog):
    (tmp_path / SERVER_LOCK).mkdir()

    with caplog.at_level(logging.WARNING, logger="overgrow"), lock_state_dir(tmp_path, "me"):
        assert f"{tmp_path / SERVER_LOCK} cannot be locked: Is a directory" in caplog.text


def test_who_holds_the_folder_is_written_into_it(tmp_path):
    (tmp_path / SERVER_LOCK).write_text("a longer text of an earlier holder")

    with lock_state_dir(tmp_path, "pid 41"):
        assert (tmp_path / SERVER_LOCK).read_text() == "pid 41\n"


def test_a_lock_that_another_took_after_its_removal_is_told_once(tmp_path, monkeypatch, caplog):
    looks: list[int] = []
    is_same_file = module.is_same_file
    monkeypatch.setattr(
        module, "is_same_file", lambda *given: looks.append(1) or is_same_file(*given)
    )
    lock = tmp_path / SERVER_LOCK
    with lock_state_dir(tmp_path, "pid 41", look_s=0.01):
        command = [sys.executable, "-c", OTHER_SERVER, str(tmp_path / "theirs")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            other.stdout.readline()
            (tmp_path / "theirs").replace(lock)
            wait_for(lambda: "another front door has it now (pid 42)" in caplog.text)
            seen = len(looks)
            wait_for(lambda: len(looks) > seen + 3)
            other.communicate(b"\n")
        wait_for(lambda: lock.read_text() == "pid 41\n")

    assert caplog.text.count("pid 42") == 1


def test_only_the_owner_may_enter_the_state_folder(tmp_path):
    found = ensure_state_dir(tmp_path / "routes.yaml", None)

    assert found.stat().st_mode & 0o777 == 0o700


def test_a_private_folder_of_another_user_is_not_used(tmp_path, unusable, temporary, monkeypatch):
    config = tmp_path / "routes.yaml"
    first = ensure_state_dir(config, unusable)
    # The folder's name holds the asking user's id, so only its owner can differ.
    found = os.stat_result([*first.lstat()[:4], os.getuid() + 1, *first.lstat()[5:]])
    monkeypatch.setattr(Path, "lstat", lambda path: found)

    assert ensure_state_dir(config, unusable) != first


def test_a_folder_that_is_held_is_refused_to_the_next_server(tmp_path):
    with lock_state_dir(tmp_path, "pid 41"):
        found = what_the_next_server_finds(tmp_path)

    assert found == "in use by pid 41"


def test_a_folder_that_was_given_back_is_the_next_servers(tmp_path):
    with lock_state_dir(tmp_path, "pid 41"):
        pass

    assert what_the_next_server_finds(tmp_path) == "held"


def test_nobody_looks_after_a_lock_that_was_given_back(tmp_path):
    before = threading.enumerate()  # of other tests, which may take a moment to end
    with lock_state_dir(tmp_path, "pid 41", look_s=0.01):
        (look,) = (
            each
            for each in threading.enumerate()
            if each.name == "lock" and each.is_alive() and each not in before
        )
    look.join(60)

    assert not look.is_alive()


@pytest.mark.parametrize("written", ["", "mine\n"])
def test_git_ignores_the_state_folder_unless_somebody_said_otherwise(tmp_path, written):
    folder = tmp_path / ".overgrow"
    if written:
        folder.mkdir()
        (folder / ".gitignore").write_text(written)
    ensure_state_dir(tmp_path / "routes.yaml", None)

    assert (folder / ".gitignore").read_text() == (written or "*\n")


def test_a_state_folder_that_is_made_again_is_like_the_first(tmp_path):
    folder = tmp_path / "gone/.overgrow"
    recreate_state_dir(folder)

    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("lacking", [os.W_OK, os.X_OK])
def test_a_folder_that_this_user_may_not_use_is_not_used(tmp_path, temporary, monkeypatch, lacking):
    # Root may do everything, so the system's answer is a fake's.
    monkeypatch.setattr(os, "access", lambda _, wanted: not wanted & lacking)

    assert ensure_state_dir(tmp_path / "routes.yaml", None).parent == temporary


def test_a_state_folder_that_does_not_answer_is_the_one_wanted(tmp_path, monkeypatch, caplog):
    answers = threading.Event()
    monkeypatch.setattr(module, "ANSWER_S", 0.01)
    monkeypatch.setattr(module, "ensure_state_dir", lambda *_: answers.wait(30))
    found = ensure_state_dir_in_time(tmp_path / "routes.yaml", None)
    answers.set()

    assert found == tmp_path / ".overgrow"
    assert "has not answered" in caplog.text
